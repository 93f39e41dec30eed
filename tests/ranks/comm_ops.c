/* The table of a communicator: another can stand in front of it, splits have it too, one rank alone needs
 * none. */
#include "comm/ops.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <string.h>

/* A table in front of the one that it replaces: lets barriers through, leaves all-reduces out. */
typedef struct front {
    dn_comm_ops ops; /* first: the communicator's table is the address of all of it */
    const dn_comm_ops *real;
    int n_barriers, n_left_out;
    uint64_t counted;
} front;

static front *front_of(dn_comm *comm)
{
    return (front *)(uintptr_t)dn_comm_ops_of(comm);
}

static dn_status barrier(dn_comm *comm)
{
    front_of(comm)->n_barriers++;
    return front_of(comm)->real->barrier(comm);
}

static dn_status leave_out(dn_comm *comm, void *buffer, size_t count, dn_type type, dn_op op, dn_traffic kind)
{
    front_of(comm)->n_left_out++;
    return DN_OK;
}

static void count(dn_comm *comm, dn_collective as, dn_traffic kind, size_t own, size_t whole, int root)
{
    front_of(comm)->counted += whole;
}

static int use_another_table(dn_comm *comm, void *argument)
{
    front f = {.ops = *dn_comm_ops_of(comm), .real = dn_comm_ops_of(comm)};
    const dn_owned item = {&f, 0, 0};
    float x[3] = {1, 2, 3};
    dn_comm *pair;
    f.ops.barrier = barrier;
    f.ops.all_reduce = leave_out;
    f.ops.count = count;
    dn_comm_use_ops(comm, &f.ops);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK && f.n_barriers == 1);
    RANKS_CHECK(dn_comm_all_reduce(comm, x, 3, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL) == DN_OK);
    RANKS_CHECK(f.n_left_out == 1 && x[0] == 1 && x[1] == 2 && x[2] == 3);
    dn_comm_count_in_place(comm, DN_ALL_GATHER, 1, 5,
                           DN_TRAFFIC_CONTROL); /* read in place: the table hears of it */
    RANKS_CHECK(f.counted == sizeof x + 5 && dn_comm_get_stats(comm, false).payload[DN_TRAFFIC_CONTROL] == 0);
    RANKS_CHECK(dn_comm_reduce_to_owners(comm, &item, 1, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL) == DN_OK);

    int before = f.n_barriers;
    RANKS_CHECK(dn_comm_split(comm, dn_comm_rank(comm) / 2, 0, 0, &pair) == DN_OK);
    RANKS_CHECK(dn_comm_ops_of(pair) == &f.ops && f.n_barriers > before);
    before = f.n_barriers;
    RANKS_CHECK(dn_comm_barrier(pair) == DN_OK && f.n_barriers == before + 1);
    dn_comm_destroy(&pair);

    dn_comm_use_ops(comm, f.real);
    RANKS_CHECK(dn_comm_all_reduce(comm, x, 3, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL) == DN_OK && x[2] == 12);
    RANKS_CHECK(dn_comm_get_stats(comm, false).payload[DN_TRAFFIC_CONTROL] == sizeof x && f.n_left_out == 1);
    return 0;
}

static void a_table_in_front_hears_every_call_of_a_communicator_and_of_what_is_split_from_it(void **state)
{
    for (ranks_kind kind = AS_THREADS; kind <= AS_PROCESSES; kind++) {
        ranks_spec spec = {.kind = kind, .n_ranks = 4, .arena_bytes = 4 << 20};
        assert_int_equal(ranks_run(&spec, use_another_table, NULL, NULL), 0);
    }
}

static void one_rank_alone_asks_no_table(void **state)
{
    const dn_comm_ops none = {.name = "none"};
    float x[2] = {1, 2}, y[2] = {0};
    const dn_owned item = {x, 2, 0};
    const void *result;
    uint64_t exchange;
    dn_comm *comm;
    assert_int_equal(dn_comm_create_alone(1024, &comm), DN_OK);
    dn_comm_use_ops(comm, &none);
    assert_int_equal(dn_comm_barrier(comm), DN_OK);
    assert_int_equal(dn_comm_all_reduce(comm, x, 2, DN_F32, DN_AVG, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_all_reduce_shared(comm, x, 2, DN_F32, DN_AVG, DN_TRAFFIC_CONTROL, &result),
                     DN_OK);
    assert_ptr_equal(result, x);
    assert_int_equal(dn_comm_reduce(comm, x, 2, DN_F32, DN_AVG, 0, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_reduce_scatter(comm, x, 2, DN_F32, DN_AVG, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_reduce_to_owners(comm, &item, 1, DN_F32, DN_AVG, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_gather_from_owners(comm, &item, 1, DN_F32, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_all_gather(comm, x, 2, DN_F32, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_all_to_all(comm, x, y, 2, DN_F32, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_broadcast(comm, x, sizeof x, 0, DN_TRAFFIC_CONTROL), DN_OK);
    assert_int_equal(dn_comm_begin_all_reduce(comm, x, 2, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL, &exchange),
                     DN_OK);
    assert_int_equal(dn_comm_begin_reduce_scatter(comm, x, 2, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL, &exchange),
                     DN_OK);
    assert_int_equal(dn_comm_begin_reduce_to_owners(comm, &item, 1, DN_F32, DN_SUM, DN_TRAFFIC_CONTROL, 0, &exchange),
                     DN_OK);
    assert_int_equal(dn_comm_advance(comm), DN_OK);
    assert_int_equal(dn_comm_finish(comm, exchange), DN_OK);
    assert_memory_equal(y, x, sizeof x);
    assert_int_equal(dn_comm_get_stats(comm, false).payload[DN_TRAFFIC_CONTROL], 0);
    dn_comm_destroy(&comm);
}

TESTS(comm_ops)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_in_front_hears_every_call_of_a_communicator_and_of_what_is_split_from_it),
        cmocka_unit_test(one_rank_alone_asks_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
