/* Every collective, type, op, kind of buffer and size class against plain arithmetic, bit for bit, for groups
 * of 1 to 16 ranks, threads and processes, whoever comes first. */
#include "support/full.h"
#include "support/ranks.h"
#include "support/tests.h"
#include "support/typed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_RANKS 16
#define MAX_COUNT 40001

/* None, one, around a line of the barrier, around cache lines, a chunk and more: through the stages in one
 * part; then in place, or through the stages in several parts. */
static const size_t counts[] = {0, 1, 7, 12, 13, 33, 2049, 10007, MAX_COUNT};
#define N_COUNTS (sizeof counts / sizeof *counts)

typedef struct one_call {
    uint64_t number; /* also chooses who is root, and who comes late */
    char *buffer;
    char *other; /* as large: where a result goes that is not made in place */
    char *expected;
    size_t count;
    dn_type type;
    dn_op op;
    int root;
} one_call;

typedef int call_body(dn_comm *comm, const one_call *c);

static bool same(const void *a, const void *b, size_t bytes)
{
    return bytes == 0 || memcmp(a, b, bytes) == 0;
}

/* ---- bodies: buffer holds what this rank brings ---- */

static int all_reduce(dn_comm *comm, const one_call *c)
{
    int P = dn_comm_size(comm);
    typed_reduce(c->expected, c->type, c->op, c->number, P, 0, c->count);
    RANKS_CHECK(dn_comm_all_reduce(comm, c->buffer, c->count, c->type, c->op, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CHECK(same(c->buffer, c->expected, c->count * dn_type_bytes(c->type)));
    return 0;
}

static int all_reduce_shared(dn_comm *comm, const one_call *c)
{
    const void *result;
    typed_reduce(c->expected, c->type, c->op, c->number, dn_comm_size(comm), 0, c->count);
    RANKS_CHECK(dn_comm_all_reduce_shared(comm, c->buffer, c->count, c->type, c->op, DN_TRAFFIC_GRADIENT,
                                          &result) == DN_OK);
    RANKS_CHECK(same(result, c->expected, c->count * dn_type_bytes(c->type)));
    return 0;
}

static int reduce(dn_comm *comm, const one_call *c)
{
    typed_reduce(c->expected, c->type, c->op, c->number, dn_comm_size(comm), 0, c->count);
    RANKS_CHECK(dn_comm_reduce(comm, c->buffer, c->count, c->type, c->op, c->root, DN_TRAFFIC_GRADIENT) ==
                DN_OK);
    RANKS_CHECK(dn_comm_rank(comm) != c->root ||
                same(c->buffer, c->expected, c->count * dn_type_bytes(c->type)));
    return 0;
}

static int reduce_scatter(dn_comm *comm, const one_call *c)
{
    size_t first, end, size = dn_type_bytes(c->type);
    dn_comm_chunk_bounds(comm, c->count, c->type, dn_comm_rank(comm), &first, &end);
    typed_reduce(c->expected, c->type, c->op, c->number, dn_comm_size(comm), first, end - first);
    RANKS_CHECK(dn_comm_reduce_scatter(comm, c->buffer, c->count, c->type, c->op, DN_TRAFFIC_MOMENTUM) ==
                DN_OK);
    RANKS_CHECK(same(c->buffer + first * size, c->expected, (end - first) * size));
    return 0;
}

/* Three items of uneven sizes (some may be empty), with owners that differ from call to call. */
static int reduce_to_owners(dn_comm *comm, const one_call *c)
{
    size_t size = dn_type_bytes(c->type), n = c->count, cuts[] = {0, n / 5, n / 2, n};
    int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    dn_owned items[3];
    for (size_t i = 0; i < 3; i++)
        items[i] = (dn_owned){c->buffer + cuts[i] * size, cuts[i + 1] - cuts[i],
                              (int)((c->number + i * i) % (uint64_t)P)};
    RANKS_CHECK(dn_comm_reduce_to_owners(comm, items, 3, c->type, c->op, DN_TRAFFIC_FACTORS) == DN_OK);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    for (size_t i = 0; i < 3; i++) {
        size_t bytes = items[i].count * size;
        typed_reduce(c->expected, c->type, c->op, c->number, P, cuts[i], items[i].count);
        RANKS_CHECK(same(dn_comm_peer(comm, items[i].buffer, items[i].owner), c->expected, bytes));
        typed_bring(c->expected, c->type, c->number, me, n);
        if (P > 1 && items[i].owner != me)
            RANKS_CHECK(same(items[i].buffer, c->expected + cuts[i] * size, bytes));
    }
    return 0;
}

enum { N_OWNED = 7 };

/* Items of uneven sizes, two of them empty, back to back, with owners that differ from call to call. */
static void deal_out(const dn_comm *comm, const one_call *c, dn_owned *items, size_t *cuts)
{
    size_t n = c->count, at[] = {0, n / 9, n / 9, n / 4, n / 2, n / 2 + n / 5, n, n};
    memcpy(cuts, at, sizeof at);
    for (size_t i = 0; i < N_OWNED; i++)
        items[i] = (dn_owned){c->buffer + cuts[i] * dn_type_bytes(c->type), cuts[i + 1] - cuts[i],
                              (int)((c->number * 3 + i * i) % (uint64_t)dn_comm_size(comm))};
}

static int gather_from_owners(dn_comm *comm, const one_call *c)
{
    dn_owned items[N_OWNED];
    size_t cuts[N_OWNED + 1], size = dn_type_bytes(c->type);
    deal_out(comm, c, items, cuts);
    RANKS_CHECK(dn_comm_gather_from_owners(comm, items, N_OWNED, c->type, DN_TRAFFIC_BASIS) == DN_OK);
    for (size_t i = 0; i < N_OWNED; i++) {
        typed_bring(c->expected, c->type, c->number, items[i].owner, c->count);
        RANKS_CHECK(same(items[i].buffer, c->expected + cuts[i] * size, items[i].count * size));
    }
    return 0;
}

/* Nothing between the two: the second one's meeting is the one that the first one's readers need. */
static int reduce_to_owners_and_gather(dn_comm *comm, const one_call *c)
{
    dn_owned items[N_OWNED];
    size_t cuts[N_OWNED + 1];
    deal_out(comm, c, items, cuts);
    RANKS_CHECK(dn_comm_reduce_to_owners(comm, items, N_OWNED, c->type, c->op, DN_TRAFFIC_FACTORS) == DN_OK);
    RANKS_CHECK(dn_comm_gather_from_owners(comm, items, N_OWNED, c->type, DN_TRAFFIC_BASIS) == DN_OK);
    typed_reduce(c->expected, c->type, c->op, c->number, dn_comm_size(comm), 0, c->count);
    RANKS_CHECK(same(c->buffer, c->expected, c->count * dn_type_bytes(c->type)));
    return 0;
}

static int broadcast(dn_comm *comm, const one_call *c)
{
    size_t bytes = c->count * dn_type_bytes(c->type);
    typed_bring(c->expected, c->type, c->number, c->root, c->count);
    RANKS_CHECK(dn_comm_broadcast(comm, c->buffer, bytes, c->root, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(same(c->buffer, c->expected, bytes));
    return 0;
}

static int all_gather(dn_comm *comm, const one_call *c)
{
    size_t first, end, size = dn_type_bytes(c->type);
    RANKS_CHECK(dn_comm_all_gather(comm, c->buffer, c->count, c->type, DN_TRAFFIC_CONTROL) == DN_OK);
    for (int rank = 0; rank < dn_comm_size(comm); rank++) {
        typed_bring(c->expected, c->type, c->number, rank, c->count);
        dn_comm_chunk_bounds(comm, c->count, c->type, rank, &first, &end);
        RANKS_CHECK(same(c->buffer + first * size, c->expected + first * size, (end - first) * size));
    }
    return 0;
}

static int all_to_all(dn_comm *comm, const one_call *c)
{
    int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    size_t row = c->count / (size_t)P, bytes = row * dn_type_bytes(c->type);
    RANKS_CHECK(dn_comm_all_to_all(comm, c->buffer, c->other, row, c->type, DN_TRAFFIC_CONTROL) == DN_OK);
    for (int rank = 0; rank < P; rank++) {
        typed_bring(c->expected, c->type, c->number, rank, c->count);
        RANKS_CHECK(same(c->other + (size_t)rank * bytes, c->expected + (size_t)me * bytes, bytes));
    }
    return 0;
}

/* ---- running a body over counts, types, ops ---- */

typedef struct plan {
    call_body *body;
    bool private_too;
    bool has_op;
} plan;

/* The last rank of a call is another one in each. */
static void come_late(const dn_comm *comm, uint64_t call)
{
    if ((call + (uint64_t)dn_comm_rank(comm)) % 5 == 0)
        usleep(20);
}

static int call_once(dn_comm *comm, call_body *body, one_call c)
{
    c.root = (int)(c.number % (uint64_t)dn_comm_size(comm));
    typed_bring(c.buffer, c.type, c.number, dn_comm_rank(comm), c.count);
    come_late(comm, c.number);
    if (body(comm, &c) != 0) {
        fprintf(stderr, "# count %zu, type %d, op %d\n", c.count, c.type, c.op);
        return 1;
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK); /* who reads peers has read them */
    return 0;
}

/* All types with all ops at two counts, elsewhere one op in turn; in large groups one type in turn. */
static int for_all_counts(dn_comm *comm, const plan *p, one_call c)
{
    int P = dn_comm_size(comm);
    for (size_t i = 0; i < N_COUNTS; i++)
        for (c.type = 0; c.type < DN_N_TYPES; c.type++) {
            bool all_ops = p->has_op && P <= 3 && (i == 1 || i == 6);
            if (P > 3 && c.type != (i + (size_t)P) % DN_N_TYPES)
                continue;
            for (int o = 0; o < (all_ops ? DN_N_OPS : 1); o++) {
                c.op = all_ops ? (dn_op)o : (dn_op)((i + c.type + (size_t)P / 5) % DN_N_OPS);
                c.count = counts[i];
                c.number++;
                if (call_once(comm, p->body, c) != 0)
                    return 1;
            }
        }
    return 0;
}

static int for_all_places(dn_comm *comm, void *argument)
{
    const plan *p = argument;
    void *buffer, *other;
    char *private = malloc(3 * TYPED_MAX_BYTES);
    RANKS_CHECK(dn_comm_alloc(comm, TYPED_MAX_BYTES + 8, &buffer) == DN_OK);
    RANKS_CHECK(dn_comm_alloc(comm, TYPED_MAX_BYTES, &other) == DN_OK);
    /* Eight bytes off any line. */
    one_call c = {.buffer = (char *)buffer + 8, .other = other, .expected = private};
    int result = for_all_counts(comm, p, c);
    if (result == 0 && p->private_too) {
        c.buffer = private + TYPED_MAX_BYTES;
        c.other = private + 2 * TYPED_MAX_BYTES;
        c.number = 1000;
        result = for_all_counts(comm, p, c);
    }
    free(private);
    return result;
}

static void run_for_all_groups(const plan *p)
{
    for (int n_ranks = 1; n_ranks <= MAX_RANKS; n_ranks++)
        for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
            ranks_spec spec = {.kind = kind, .n_ranks = n_ranks, .arena_bytes = 2 << 20};
            if (n_ranks > 3 && kind != (ranks_kind)(n_ranks % 2))
                continue;
            if (n_ranks > 5 && n_ranks % 8 != 0 && n_ranks != 7 && !full_run())
                continue;
            plan copy = *p;
            assert_int_equal(ranks_run(&spec, for_all_places, &copy, NULL), 0);
        }
}

static void all_reduce_gives_all_the_bits_of_the_sum_in_rank_order(void **state)
{
    run_for_all_groups(&(plan){all_reduce, true, true});
}

static void all_reduce_can_leave_one_shared_result(void **state)
{
    run_for_all_groups(&(plan){all_reduce_shared, false, true});
}

static void reduce_gives_the_root_the_result(void **state)
{
    run_for_all_groups(&(plan){reduce, true, true});
}

static void reduce_scatter_gives_each_rank_its_slice(void **state)
{
    run_for_all_groups(&(plan){reduce_scatter, true, true});
}

static void reduce_to_owners_gives_each_item_to_its_owner_and_leaves_the_rest(void **state)
{
    run_for_all_groups(&(plan){reduce_to_owners, false, true});
}

static void gather_from_owners_gives_all_each_owners_copy(void **state)
{
    run_for_all_groups(&(plan){gather_from_owners, false, false});
}

static void reduced_to_owners_and_gathered_at_once_is_an_all_reduce(void **state)
{
    run_for_all_groups(&(plan){reduce_to_owners_and_gather, false, true});
}

static void broadcast_gives_all_the_bytes_of_the_root(void **state)
{
    run_for_all_groups(&(plan){broadcast, true, false});
}

static void all_gather_gives_all_the_slices_of_all(void **state)
{
    run_for_all_groups(&(plan){all_gather, true, false});
}

static void all_to_all_transposes_rows_between_ranks(void **state)
{
    run_for_all_groups(&(plan){all_to_all, true, false});
}

/* ---- NaN ---- */

static int nan_from_each_rank_in_turn(dn_comm *comm, void *argument)
{
    enum { N = 40001 }; /* in place */
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, N * sizeof(float), &memory) == DN_OK);
    float *x = memory;
    for (int from = 0; from < dn_comm_size(comm); from++)
        for (dn_op op = 0; op < DN_N_OPS; op++) {
            double s[2] = {1, from == dn_comm_rank(comm) ? NAN : 2};
            for (size_t i = 0; i < N; i++)
                x[i] = i == N / 2 ? (float)s[1] : 1;
            RANKS_CHECK(dn_comm_all_reduce(comm, x, N, DN_F32, op, DN_TRAFFIC_CONTROL) == DN_OK);
            RANKS_CHECK(dn_comm_all_reduce_scalars(comm, s, 2, op) == DN_OK);
            RANKS_CHECK(!isnan(x[0]) && isnan(x[N / 2]) && !isnan(x[N - 1]));
            RANKS_CHECK(!isnan(s[0]) && isnan(s[1]));
            uint16_t narrow =
                from == dn_comm_rank(comm) ? 0x7f81 : 0x3f80; /* a NaN that rounding could lose */
            RANKS_CHECK(dn_comm_all_reduce(comm, &narrow, 1, DN_BF16, op, DN_TRAFFIC_CONTROL) == DN_OK);
            RANKS_CHECK((narrow & 0x7fff) > 0x7f80);
        }
    return 0;
}

static void nan_of_any_rank_goes_through_every_op(void **state)
{
    ranks_spec spec = {.kind = AS_THREADS, .n_ranks = 3, .arena_bytes = 1 << 20};
    assert_int_equal(ranks_run(&spec, nan_from_each_rank_in_turn, NULL, NULL), 0);
}

static int draw(void **state)
{
    typed_draw();
    return 0;
}

TESTS(comm_collectives)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_reduce_gives_all_the_bits_of_the_sum_in_rank_order),
        cmocka_unit_test(all_reduce_can_leave_one_shared_result),
        cmocka_unit_test(reduce_gives_the_root_the_result),
        cmocka_unit_test(reduce_scatter_gives_each_rank_its_slice),
        cmocka_unit_test(reduce_to_owners_gives_each_item_to_its_owner_and_leaves_the_rest),
        cmocka_unit_test(gather_from_owners_gives_all_each_owners_copy),
        cmocka_unit_test(reduced_to_owners_and_gathered_at_once_is_an_all_reduce),
        cmocka_unit_test(broadcast_gives_all_the_bytes_of_the_root),
        cmocka_unit_test(all_gather_gives_all_the_slices_of_all),
        cmocka_unit_test(all_to_all_transposes_rows_between_ranks),
        cmocka_unit_test(nan_of_any_rank_goes_through_every_op),
    };
    return cmocka_run_group_tests(tests, draw, NULL);
}
