/* Groups out of groups, exchanges in two halves, reductions by NUMA domain, and what the statistics says of
 * all.
 */
#include "support/ranks.h"
#include "support/tests.h"
#include "support/typed.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int draw(void **state)
{
    typed_draw();
    return 0;
}

static void run_both_kinds(ranks_spec spec, ranks_body *body)
{
    for (spec.kind = AS_THREADS; spec.kind <= AS_PROCESSES; spec.kind++)
        assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
}

/* ---- split ---- */

/* All-reduce of numbers that tell who brought them. */
static int sum_of(dn_comm *comm, int64_t value, int64_t *sum)
{
    *sum = value;
    return dn_comm_all_reduce(comm, sum, 1, DN_I64, DN_SUM, DN_TRAFFIC_CONTROL) == DN_OK ? 0 : 1;
}

/* Rows and columns of a grid of ranks, alive at once, used in turn with the whole; reversed by key. */
static int split_into_rows_and_columns(dn_comm *comm, void *argument)
{
    enum { WIDTH = 3, HEAP = 300000, N = 50001 };
    int me = dn_comm_rank(comm), P = dn_comm_size(comm), row = me / WIDTH, column = me % WIDTH;
    dn_comm *rows, *columns;
    RANKS_CHECK(dn_comm_split(comm, row, -me, HEAP, &rows) == DN_OK);
    RANKS_CHECK(dn_comm_split(comm, column, 0, HEAP, &columns) == DN_OK);
    int row_size = P - row * WIDTH < WIDTH ? P - row * WIDTH : WIDTH;
    int column_size = (P - column + WIDTH - 1) / WIDTH;
    RANKS_CHECK(dn_comm_size(rows) == row_size && dn_comm_rank(rows) == row_size - 1 - column);
    RANKS_CHECK(dn_comm_size(columns) == column_size && dn_comm_rank(columns) == row);
    for (int round = 0; round < 20; round++) {
        int64_t sums[3], expected[3] = {0};
        for (int r = 0; r < P; r++) {
            expected[0] += r / WIDTH == row ? 1 << r : 0;
            expected[1] += r % WIDTH == column ? 1 << r : 0;
            expected[2] += 1 << r;
        }
        RANKS_CHECK(sum_of(rows, 1 << me, &sums[0]) == 0 && sum_of(columns, 1 << me, &sums[1]) == 0);
        RANKS_CHECK(sum_of(comm, 1 << me, &sums[2]) == 0);
        RANKS_CHECK(memcmp(sums, expected, sizeof sums) == 0);
    }
    void *memory;
    RANKS_CHECK(dn_comm_alloc(columns, N * 4, &memory) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(columns, HEAP, &memory) == DN_ERR_MEMORY);
    for (int i = 0; i < N; i++)
        ((int *)memory)[i] = row + i;
    RANKS_CHECK(dn_comm_all_reduce(columns, memory, N, DN_I32, DN_MAX, DN_TRAFFIC_CONTROL) == DN_OK);
    for (int i = 0; i < N; i++)
        RANKS_CHECK(((int *)memory)[i] == column_size - 1 + i);
    if (column_size > 1) {
        int x = me, from = (row + column_size - 1) % column_size;
        RANKS_CHECK(dn_comm_send(columns, &x, 1, DN_I32, (row + 1) % column_size, DN_TRAFFIC_CONTROL) ==
                    DN_OK);
        RANKS_CHECK(dn_comm_receive(columns, &x, 1, DN_I32, from, DN_TRAFFIC_CONTROL) == DN_OK);
        RANKS_CHECK(x == from * WIDTH + column);
    }
    dn_comm_destroy(&rows);
    dn_comm_destroy(&columns);
    return 0;
}

static void groups_split_from_groups_live_side_by_side(void **state)
{
    for (int n = 2; n <= 11; n += 3)
        run_both_kinds((ranks_spec){.n_ranks = n, .arena_bytes = 6 << 20}, split_into_rows_and_columns);
}

static int split_without_some(dn_comm *comm, void *argument)
{
    dn_comm *child, *grandchild;
    int me = dn_comm_rank(comm);
    RANKS_CHECK(dn_comm_split(comm, me == 1 ? -1 : 0, 0, 4 << 20, &child) == DN_OK);
    RANKS_CHECK((child == NULL) == (me == 1));
    if (child) {
        int64_t sum;
        RANKS_CHECK(dn_comm_split(child, 7, 0, 1000, &grandchild) == DN_OK);
        RANKS_CHECK(sum_of(grandchild, me, &sum) == 0 && sum == 5);
        dn_comm_destroy(&grandchild);
    }
    dn_comm_destroy(&child);
    RANKS_CHECK(dn_comm_split(comm, 0, 0, 1 << 30, &child) == DN_ERR_MEMORY);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void a_rank_may_stay_out_and_children_may_split_again(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 4, .arena_bytes = 8 << 20}, split_without_some);
}

/* Overlapping groups that only their members make: heaps are filled unevenly, and the whole goes on as
 * before. */
static int create_groups_of_some(dn_comm *comm, void *argument)
{
    static const int groups[][3] = {{0, 1, 2}, {3, 0, -1}, {2, 1, 3}, {1, -1, -1}};
    enum { N_GROUPS = sizeof groups / sizeof *groups, HEAP = 100000 };
    const int me = dn_comm_rank(comm);
    dn_comm *made[N_GROUPS] = {NULL}, *child = NULL;
    for (int g = 0; g < N_GROUPS; g++) {
        int n = 0, at = -1;
        for (; n < 3 && groups[g][n] >= 0; n++)
            at = groups[g][n] == me ? n : at;
        if (at < 0)
            continue;
        RANKS_CHECK(dn_comm_create_group(comm, groups[g], n, HEAP, &made[g]) == DN_OK);
        RANKS_CHECK(dn_comm_size(made[g]) == n && dn_comm_rank(made[g]) == at);
    }
    for (int round = 0; round < 20; round++) {
        for (int g = 0; g < N_GROUPS; g++) {
            int64_t sum, expected = 0;
            for (int i = 0; i < 3 && groups[g][i] >= 0; i++)
                expected += 1 << groups[g][i];
            RANKS_CHECK(!made[g] || (sum_of(made[g], 1 << me, &sum) == 0 && sum == expected));
        }
        int64_t sum;
        RANKS_CHECK(sum_of(comm, 1 << me, &sum) == 0 && sum == 15);
    }
    int64_t *memory;
    if (made[0]) { /* read by address: it is at one place on all members */
        RANKS_CHECK(dn_comm_alloc(made[0], 4096, (void **)&memory) == DN_OK);
        memory[0] = me;
        RANKS_CHECK(dn_comm_barrier(made[0]) == DN_OK);
        for (int i = 0; i < 3; i++)
            RANKS_CHECK(*(const int64_t *)dn_comm_view(made[0], dn_comm_chunk_of(memory, 8), i,
                                                       DN_TRAFFIC_CONTROL) == i);
        RANKS_CHECK(dn_comm_barrier(made[0]) == DN_OK);
    }
    RANKS_CHECK(dn_comm_alloc(comm, 4096, (void **)&memory) == DN_OK); /* the whole's heap is filled alike */
    *memory = 1;
    RANKS_CHECK(dn_comm_all_reduce(comm, memory, 512, DN_I64, DN_MAX, DN_TRAFFIC_CONTROL) == DN_OK);
    const int twice[] = {me, me}, others[] = {(me + 1) % 4}, beyond[] = {me, 4},
              pair[] = {me / 2 * 2, me / 2 * 2 + 1};
    RANKS_CHECK(dn_comm_create_group(comm, twice, 2, 0, &child) == DN_ERR_ARG);
    RANKS_CHECK(dn_comm_create_group(comm, others, 1, 0, &child) == DN_ERR_ARG);
    RANKS_CHECK(dn_comm_create_group(comm, beyond, 2, 0, &child) == DN_ERR_ARG);
    RANKS_CHECK(dn_comm_create_group(comm, pair, 2, 1 << 30, &child) == DN_ERR_MEMORY && !child);
    for (int g = 0; g < N_GROUPS; g++)
        dn_comm_destroy(&made[g]);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void members_alone_create_a_group(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 4, .arena_bytes = 8 << 20}, create_groups_of_some);
}

static void a_group_of_one_splits_into_itself(void **state)
{
    dn_comm *comm, *child;
    void *memory;
    assert_int_equal(dn_comm_create_alone(2 << 20, &comm), DN_OK);
    assert_int_equal(dn_comm_split(comm, 3, 0, 1000, &child), DN_OK);
    assert_int_equal(dn_comm_size(child), 1);
    assert_int_equal(dn_comm_alloc(child, 1000, &memory), DN_OK);
    assert_int_equal(dn_comm_barrier(child), DN_OK);
    dn_comm_destroy(&child);
    dn_comm_destroy(&comm);
}

/* ---- two halves ---- */

enum { N_BUFFERS = 5, BUFFER_COUNT = 9001 };

/* Two items of a buffer, for the last rank and the first. */
static void deal_out(dn_comm *comm, float *x, dn_owned items[2])
{
    items[0] = (dn_owned){x, BUFFER_COUNT / 3, dn_comm_size(comm) - 1};
    items[1] = (dn_owned){x + BUFFER_COUNT / 3, BUFFER_COUNT - BUFFER_COUNT / 3, 0};
}

/* Which of three kinds an exchange is: an all-reduce, a reduce-scatter, or a batch to owners. */
static int check_exchange(dn_comm *comm, float *x, uint64_t call, uint64_t which, float *expected)
{
    size_t first = 0, end = BUFFER_COUNT;
    const int rank = dn_comm_rank(comm);
    if (which == 1)
        dn_comm_chunk_bounds(comm, BUFFER_COUNT, DN_F32, rank, &first, &end);
    if (which == 2) {
        first = rank == dn_comm_size(comm) - 1 ? 0 : BUFFER_COUNT / 3;
        end = rank == 0 ? BUFFER_COUNT : rank == dn_comm_size(comm) - 1 ? BUFFER_COUNT / 3 : first;
    }
    typed_reduce(expected, DN_F32, DN_AVG, call, dn_comm_size(comm), first, end - first);
    RANKS_CHECK(memcmp(x + first, expected, (end - first) * sizeof *x) == 0);
    return 0;
}

/* Five exchanges under way, of three kinds, with barriers between, finished in another order than begun. */
static int begin_and_finish(dn_comm *comm, void *argument)
{
    static const int order[] = {2, 0, 4, 1, 3};
    static _Thread_local float expected[BUFFER_COUNT];
    void *buffers[N_BUFFERS];
    uint64_t numbers[N_BUFFERS];
    dn_owned items[N_BUFFERS][2];
    for (int i = 0; i < N_BUFFERS; i++)
        RANKS_CHECK(dn_comm_alloc(comm, sizeof expected, &buffers[i]) == DN_OK);
    for (uint64_t round = 0; round < 30; round++) {
        for (uint64_t i = 0; i < N_BUFFERS; i++) {
            typed_bring(buffers[i], DN_F32, 10 * round + i, dn_comm_rank(comm), BUFFER_COUNT);
            deal_out(comm, buffers[i], items[i]);
            dn_status status = i % 3 == 1 ? dn_comm_begin_reduce_scatter(comm, buffers[i], BUFFER_COUNT, DN_F32,
                                                                         DN_AVG, DN_TRAFFIC_MOMENTUM, &numbers[i])
                               : i % 3 == 2
                                   ? dn_comm_begin_reduce_to_owners(comm, items[i], 2, DN_F32, DN_AVG,
                                                                    DN_TRAFFIC_GRADIENT, round % 3 ? DN_BEGIN_KEEP : 0, &numbers[i])
                                   : dn_comm_begin_all_reduce(comm, buffers[i], BUFFER_COUNT, DN_F32,
                                                              DN_AVG, DN_TRAFFIC_GRADIENT, &numbers[i]);
            RANKS_CHECK(status == DN_OK);
            if ((round + i + (uint64_t)dn_comm_rank(comm)) % 3 == 0)
                RANKS_CHECK(dn_comm_advance(comm) == DN_OK);
            if (round % 2)
                RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        }
        for (uint64_t i = 0; i < N_BUFFERS; i++) {
            uint64_t k = (uint64_t)order[i];
            RANKS_CHECK(dn_comm_finish(comm, numbers[k]) == DN_OK);
            if (check_exchange(comm, buffers[k], 10 * round + k, k % 3, expected) != 0)
                return 1;
        }
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    return 0;
}

static void exchanges_in_two_halves_give_the_same_bits(void **state)
{
    for (int n = 1; n <= 5; n++)
        run_both_kinds((ranks_spec){.n_ranks = n, .arena_bytes = 1 << 20}, begin_and_finish);
}

static int begin_different_calls(dn_comm *comm, void *argument)
{
    void *buffer;
    uint64_t number;
    RANKS_CHECK(dn_comm_alloc(comm, 64, &buffer) == DN_OK);
    size_t count = dn_comm_rank(comm) == 1 ? 5 : 6;
    RANKS_CHECK(dn_comm_begin_all_reduce(comm, buffer, count, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL, &number) ==
                DN_OK);
    dn_status status = dn_comm_finish(comm, number);
    RANKS_CHECK(status == DN_ERR_ARG || status == DN_ERR_PEER);
    RANKS_CHECK(strstr(dn_error_message(), "rank 1 called all-reduce of 5, rank 0 called all-reduce of 6"));
    return 0;
}

static void different_exchanges_are_told_so(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 3, .arena_bytes = 4096}, begin_different_calls);
}

static int begin_too_many(dn_comm *comm, void *argument)
{
    void *buffer;
    uint64_t number = 0;
    dn_status status = DN_OK;
    int n = 0;
    RANKS_CHECK(dn_comm_alloc(comm, 64, &buffer) == DN_OK);
    while (status == DN_OK && n++ < 100)
        status = dn_comm_begin_reduce_scatter(comm, buffer, 1, DN_F32, DN_MIN, DN_TRAFFIC_CONTROL, &number);
    RANKS_CHECK(n == 33 && status == DN_ERR_ARG);
    float private = 0;
    RANKS_CHECK(dn_comm_begin_all_reduce(comm, &private, 1, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL, &number) ==
                DN_ERR_ARG);
    return 0;
}

static void only_so_many_exchanges_can_be_under_way(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 2, .arena_bytes = 4096}, begin_too_many);
}

/* ---- domains ---- */

enum { LARGE = 100003 };

/* Domain by domain, then the sums of domains: the order that comm.h promises. */
static float by_domains(uint64_t call, dn_op op, const int *domains, int P, float *column, size_t i)
{
    float total = 0, part = 0;
    bool any = false;
    for (int domain = 0; domain < P; domain++) {
        bool started = false;
        for (int rank = 0; rank < P; rank++) {
            if (domains[rank] != domain)
                continue;
            float x = column[(size_t)rank * LARGE + i];
            part = !started ? x : op == DN_MIN ? (x < part ? x : part) : part + x;
            started = true;
        }
        if (started)
            total = !any ? part : op == DN_MIN ? (part < total ? part : total) : total + part;
        any |= started;
    }
    return op == DN_AVG ? total * (1 / (float)P) : total;
}

static const int synthetic[8] = {0, 1, 1, 0, 1, 0, 1, 1}; /* three and five */

static int check_domains(dn_comm *comm, float *x, float *all, dn_op op)
{
    int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const size_t S = LARGE * sizeof *x;
    const void *result;
    size_t first, end;
    for (int rank = 0; rank < P; rank++)
        typed_bring(all + (size_t)rank * LARGE, DN_F32, op, rank, LARGE);
    dn_comm_get_stats(comm, true);
    memcpy(x, all + (size_t)me * LARGE, S);
    RANKS_CHECK(dn_comm_reduce_scatter(comm, x, LARGE, DN_F32, op, DN_TRAFFIC_GRADIENT) == DN_OK);
    dn_comm_chunk_bounds(comm, LARGE, DN_F32, me, &first, &end);
    RANKS_CHECK(dn_comm_get_stats(comm, true).crossed[DN_TRAFFIC_GRADIENT] == (end - first) * sizeof *x);
    for (size_t i = first; i < end; i++)
        RANKS_CHECK(x[i] == by_domains(op, op, synthetic, P, all, i));
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    memcpy(x, all + (size_t)me * LARGE, S);
    RANKS_CHECK(dn_comm_all_reduce_shared(comm, x, LARGE, DN_F32, op, DN_TRAFFIC_GRADIENT, &result) == DN_OK);
    RANKS_CHECK(result == dn_comm_peer(comm, x, synthetic[me] == 0 ? 0 : 1)); /* in the own domain */
    for (size_t i = 0; i < LARGE; i++)
        RANKS_CHECK(((const float *)result)[i] == by_domains(op, op, synthetic, P, all, i));
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    memcpy(x, all + (size_t)me * LARGE, S);
    dn_comm_get_stats(comm, true);
    RANKS_CHECK(dn_comm_all_reduce(comm, x, LARGE, DN_F32, op, DN_TRAFFIC_GRADIENT) == DN_OK);
    /* Its slice, read from the other domain and written there: both ways over all ranks (G-1) S. */
    RANKS_CHECK(dn_comm_get_stats(comm, true).crossed[DN_TRAFFIC_GRADIENT] == 2 * (end - first) * sizeof *x);
    for (size_t i = 0; i < LARGE; i++)
        RANKS_CHECK(x[i] == by_domains(op, op, synthetic, P, all, i));
    return 0;
}

static int reduce_by_domains(dn_comm *unused, void *argument)
{
    dn_world *world = dn_comm_world(unused);
    dn_comm *comm;
    void *x;
    for (int rank = 0; rank < dn_comm_size(unused); rank++)
        dn_world_set_domain(world, rank, synthetic[rank]); /* all tell the same */
    if (dn_comm_create(world, dn_comm_rank(unused), &comm) != DN_OK)
        return 1;
    RANKS_CHECK(dn_comm_alloc(comm, LARGE * 4, &x) == DN_OK);
    float *all = malloc((size_t)dn_comm_size(comm) * LARGE * 4);
    int failed = check_domains(comm, x, all, DN_AVG) || check_domains(comm, x, all, DN_MIN);
    free(all);
    dn_comm_destroy(&comm);
    return failed;
}

static void large_reductions_go_by_domain_and_cross_as_little_as_can_be(void **state)
{
    run_both_kinds((ranks_spec){.n_ranks = 8, .arena_bytes = 1 << 20}, reduce_by_domains);
}

/* ---- statistics ---- */

static int count_bytes(dn_comm *comm, void *argument)
{
    void *memory;
    const size_t P = (size_t)dn_comm_size(comm), n = 160000, S = 4 * n; /* slices of equal size */
    RANKS_CHECK(dn_comm_alloc(comm, S, &memory) == DN_OK);
    RANKS_CHECK(dn_comm_all_reduce(comm, memory, n, DN_F32, DN_MIN, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(dn_comm_reduce_scatter(comm, memory, n, DN_F32, DN_MIN, DN_TRAFFIC_MOMENTUM) == DN_OK);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    RANKS_CHECK(dn_comm_all_reduce(comm, memory, 24, DN_F32, DN_MIN, DN_TRAFFIC_FACTORS) == DN_OK);
    RANKS_CHECK(dn_comm_all_reduce(comm, memory, 200, DN_F32, DN_MIN, DN_TRAFFIC_CONTROL) == DN_OK);
    dn_comm_stats l = dn_comm_get_stats(comm, true), zero = {0};
    RANKS_CHECK(l.payload[DN_TRAFFIC_GRADIENT] == S && l.moved[DN_TRAFFIC_GRADIENT] == 2 * S);
    RANKS_CHECK(l.payload[DN_TRAFFIC_MOMENTUM] == S && l.moved[DN_TRAFFIC_MOMENTUM] == S + S / P);
    RANKS_CHECK(l.payload[DN_TRAFFIC_FACTORS] == 96 && l.moved[DN_TRAFFIC_FACTORS] == (P + 3) * 96);
    RANKS_CHECK(l.payload[DN_TRAFFIC_CONTROL] == 800 && l.moved[DN_TRAFFIC_CONTROL] == (P + 3) * 800);
    float *private = calloc(n, 4);
    RANKS_CHECK(dn_comm_all_reduce(comm, private, n, DN_F32, DN_MIN, DN_TRAFFIC_GRADIENT) == DN_OK);
    free(private);
    RANKS_CHECK(dn_comm_get_stats(comm, true).moved[DN_TRAFFIC_GRADIENT] == 5 * S - S / P);
    l = dn_comm_get_stats(comm, true);
    RANKS_CHECK(memcmp(&l, &zero, sizeof l) == 0);
    return 0;
}

static void the_stats_count_what_the_algorithms_promise(void **state)
{
    for (int n = 2; n <= 5; n++)
        if (n != 3) /* slices would differ by a line */
            run_both_kinds((ranks_spec){.n_ranks = n, .arena_bytes = 1 << 20}, count_bytes);
}

/* ---- more than 4 GiB ---- */

static int inspect_huge_slices(dn_comm *comm, void *argument)
{
    static const size_t huge[] = {((size_t)1 << 32) + 3, ((size_t)5 << 30) + 1, ((size_t)1 << 52) + 17,
                                  SIZE_MAX / 8};
    for (size_t k = 0; k < sizeof huge / sizeof *huge; k++)
        for (dn_type type = 0; type < DN_N_TYPES; type++) {
            size_t next = 0, first, end, share = huge[k] / (size_t)dn_comm_size(comm);
            for (int rank = 0; rank < dn_comm_size(comm); rank++) {
                dn_comm_chunk_bounds(comm, huge[k], type, rank, &first, &end);
                RANKS_CHECK(first == next && end >= first + share - 64 && end <= first + share + 64);
                next = end;
            }
            RANKS_CHECK(next == huge[k]);
        }
    return 0;
}

static void slices_of_more_elements_than_32_bits_count_are_right(void **state)
{
    for (int n = 1; n <= 16; n += 5) {
        ranks_spec spec = {.kind = AS_THREADS, .n_ranks = n, .arena_bytes = 4096};
        assert_int_equal(ranks_run(&spec, inspect_huge_slices, NULL, NULL), 0);
    }
}

TESTS(comm_groups)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_split_from_groups_live_side_by_side),
        cmocka_unit_test(a_rank_may_stay_out_and_children_may_split_again),
        cmocka_unit_test(members_alone_create_a_group),
        cmocka_unit_test(a_group_of_one_splits_into_itself),
        cmocka_unit_test(exchanges_in_two_halves_give_the_same_bits),
        cmocka_unit_test(different_exchanges_are_told_so),
        cmocka_unit_test(only_so_many_exchanges_can_be_under_way),
        cmocka_unit_test(large_reductions_go_by_domain_and_cross_as_little_as_can_be),
        cmocka_unit_test(the_stats_count_what_the_algorithms_promise),
        cmocka_unit_test(slices_of_more_elements_than_32_bits_count_are_right),
    };
    return cmocka_run_group_tests(tests, draw, NULL);
}
