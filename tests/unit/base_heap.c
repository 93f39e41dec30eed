/* The heap against what is before all others, looked for one by one. */
#include "base/heap.h"
#include "base/random.h"
#include "support/tests.h"

typedef struct entry {
    uint32_t key, number;
} entry;

static bool before(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    return x->key != y->key ? x->key < y->key : x->number < y->number;
}

/* Pushes and pops in turns, with keys that come often, until all are out. */
static void what_comes_out_is_before_all_that_stay(void **state)
{
    enum { N = 300 };
    entry heap[N], all[N];
    bool inside[N] = {false};
    size_t n = 0, pushed = 0;
    (void)state;
    for (uint64_t turn = 0; pushed < N || n > 0; turn++) {
        if (pushed < N && (n == 0 || dn_random_bits(7, 0, turn) % 3)) {
            all[pushed] = (entry){(uint32_t)(dn_random_bits(7, 1, turn) % 20), (uint32_t)pushed};
            inside[pushed] = true;
            dn_heap_push(heap, &n, sizeof *heap, before, &all[pushed++]);
            continue;
        }
        entry out;
        dn_heap_pop(heap, &n, sizeof *heap, before, &out);
        size_t first = N;
        for (size_t i = 0; i < pushed; i++)
            if (inside[i] && (first == N || before(&all[i], &all[first])))
                first = i;
        assert_int_equal(out.number, first);
        inside[first] = false;
    }
}

TESTS(base_heap)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_comes_out_is_before_all_that_stay)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
