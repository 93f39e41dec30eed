/* Emulated links: exchanges take as long as the formula says and no shorter, overlap with what happens between begin
 * and finish, bring the same bits; who sleeps is not taken for hung, and hears a stop. */
#include "comm/link.h"

#include "base/clock.h"
#include "support/close.h"
#include "support/full.h"
#include "support/ranks.h"
#include "support/tests.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { P = 3, N = 3000, TRIES = 3 };

static const dn_link link = {.latency_s = 0.02, .bytes_per_s = 4.0 * N / 0.06}; /* the buffer takes 60 ms */

/* Of a sleep of 100 ms and more, the best of three: 5 % where nothing else runs, in the long tier. */
static double noise(void)
{
    return full_run() ? 0.05 : 0.5;
}

static void run_ranks(ranks_body *body, double deadline_s)
{
    ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = P, .arena_bytes = 4 << 20, .deadline_s = deadline_s};
    assert_int_equal(ranks_run(&spec, body, NULL, NULL), 0);
}

static void fill(const dn_comm *comm, float *x)
{
    for (int i = 0; i < N; i++)
        x[i] = (float)sin(i + 100.0 * dn_comm_rank(comm));
}

typedef dn_status exchange(dn_comm *comm, float *x);

static dn_status all_reduce(dn_comm *comm, float *x)
{
    return dn_comm_all_reduce(comm, x, N, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT);
}

static dn_status reduce_scatter(dn_comm *comm, float *x)
{
    return dn_comm_reduce_scatter(comm, x, N, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT);
}

static dn_status all_gather(dn_comm *comm, float *x)
{
    return dn_comm_all_gather(comm, x, N, DN_F32, DN_TRAFFIC_GRADIENT);
}

static dn_status in_place(dn_comm *comm, float *x)
{
    dn_comm_count_in_place(comm, DN_ALL_GATHER, 4 * N / P, 4 * N, DN_TRAFFIC_GRADIENT);
    return DN_OK;
}

static dn_status in_turn(dn_comm *comm, float *x)
{
    int me = dn_comm_rank(comm);
    return me == 0   ? dn_comm_send(comm, x, N, DN_F32, 1, DN_TRAFFIC_GRADIENT)
           : me == 1 ? dn_comm_receive(comm, x, N, DN_F32, 0, DN_TRAFFIC_GRADIENT)
                     : DN_OK;
}

static const struct {
    exchange *call;
    double hops, parts; /* of the buffer, on the link */
    int members;        /* that wait for it */
} exchanges[] = {{all_reduce, 2 * (P - 1), 2 * (P - 1) / (double)P, P},
                 {reduce_scatter, P - 1, (P - 1) / (double)P, P},
                 {all_gather, P - 1, (P - 1) / (double)P, P},
                 {in_place, P - 1, (P - 1) / (double)P, P},
                 {in_turn, 1, 1, 2}};

static int time_exchanges(dn_comm *comm, void *argument)
{
    void *memory;
    RANKS_CHECK(dn_comm_alloc(comm, 2 * N * sizeof(float), &memory) == DN_OK);
    float *x = memory, *without = x + N;
    for (size_t k = 0; k < sizeof exchanges / sizeof *exchanges; k++) {
        double least = INFINITY, want = exchanges[k].hops * link.latency_s + exchanges[k].parts * 0.06;
        RANKS_CLOSE(dn_link_s(&link, exchanges[k].hops, exchanges[k].parts * 4 * N), want, 1e-12);
        fill(comm, without);
        RANKS_CHECK(exchanges[k].call(comm, without) == DN_OK && dn_comm_take_link_s(comm) == 0);
        dn_comm_use_link(comm, &link);
        for (int i = 0; i < TRIES; i++) {
            fill(comm, x);
            double before = dn_clock_s(); /* all ranks begin later than any comes to the barrier */
            RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
            double begun = dn_clock_s();
            RANKS_CHECK(exchanges[k].call(comm, x) == DN_OK);
            double ended = dn_clock_s();
            if (dn_comm_rank(comm) >= exchanges[k].members)
                continue;
            RANKS_BELOW(want, ended - before);
            RANKS_CHECK(memcmp(x, without, sizeof *x * N) == 0);
            least = fmin(least, ended - begun);
        }
        if (dn_comm_rank(comm) < exchanges[k].members)
            RANKS_BELOW(least, (1 + noise()) * want);
        dn_comm_take_link_s(comm);
        dn_comm_use_link(comm, &(dn_link){0});
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    }
    return 0;
}

static void exchanges_take_as_long_as_the_formula_says(void **state)
{
    (void)state;
    run_ranks(time_exchanges, 0);
}

static int overlap(dn_comm *comm, void *argument)
{
    const struct timespec half = {.tv_nsec = 60000000};
    double want = 2 * (P - 1) * link.latency_s + 2 * (P - 1) / (double)P * 0.06, most = want - 0.06, least = INFINITY;
    void *memory;
    uint64_t number;
    RANKS_CHECK(dn_comm_alloc(comm, N * sizeof(float), &memory) == DN_OK);
    dn_comm_use_link(comm, &link);
    for (int i = 0; i < TRIES; i++) {
        fill(comm, memory);
        RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
        double begun = dn_clock_s();
        RANKS_CHECK(dn_comm_begin_all_reduce(comm, memory, N, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT, &number) == DN_OK);
        RANKS_BELOW(dn_comm_take_link_s(comm), 1e-9); /* begin does not wait */
        nanosleep(&half, NULL);
        RANKS_CHECK(dn_comm_finish(comm, number) == DN_OK);
        RANKS_BELOW(want, dn_clock_s() - begun);
        least = fmin(least, dn_comm_take_link_s(comm));
    }
    RANKS_BELOW(least, (1 + noise()) * most);
    /* What began earlier than it is called: as long ago as it takes, and it takes no time. */
    dn_comm_use_link(comm, &link); /* idle since then */
    dn_comm_begun(comm, dn_clock_s() - want);
    RANKS_CHECK(all_reduce(comm, memory) == DN_OK);
    RANKS_BELOW(dn_comm_take_link_s(comm), 1e-9);
    dn_comm_begun(comm, 0);
    /* Bytes of two in flight follow one another, latencies do not. */
    uint64_t second;
    double begun = dn_clock_s(), both = 2 * (P - 1) * link.latency_s + 4 * (P - 1) / (double)P * 0.06;
    RANKS_CHECK(dn_comm_begin_all_reduce(comm, memory, N, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT, &number) == DN_OK);
    RANKS_CHECK(dn_comm_begin_all_reduce(comm, memory, N, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT, &second) == DN_OK);
    RANKS_CHECK(dn_comm_finish(comm, number) == DN_OK);
    RANKS_BELOW(want, dn_clock_s() - begun);
    RANKS_CHECK(dn_comm_finish(comm, second) == DN_OK);
    RANKS_BELOW(both, dn_clock_s() - begun);
    return 0;
}

static void what_happens_between_begin_and_finish_overlaps(void **state)
{
    (void)state;
    run_ranks(overlap, 0);
}

/* One rank comes late: for the others it is the exchange that takes so long, on a link within the link's time. */
static int come_late(dn_comm *comm, void *argument)
{
    const struct timespec late = {.tv_nsec = 60000000};
    const dn_link slow = *(const dn_link *)argument;
    double control = 1, least = INFINITY, most_awaited = 0, most_slept = 0;
    float x[N];
    dn_comm_use_link(comm, &slow);
    for (int i = 0; i < TRIES; i++) {
        fill(comm, x);
        RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &control, 1, DN_SUM) == DN_OK && dn_comm_take_awaited_s(comm) == 0);
        if (dn_comm_rank(comm) == 1)
            nanosleep(&late, NULL);
        double begun = dn_clock_s();
        RANKS_CHECK(all_reduce(comm, x) == DN_OK);
        double took = dn_clock_s() - begun, awaited = dn_comm_take_awaited_s(comm), slept = dn_comm_take_link_s(comm);
        RANKS_BELOW(awaited + slept, took + 1e-9); /* rounding */
        least = fmin(least, took - awaited - slept);
        most_awaited = fmax(most_awaited, awaited);
        most_slept = fmax(most_slept, slept);
    }
    RANKS_BELOW(least, 0.001); /* between looks at the clock */
    if (dn_comm_rank(comm) != 1)
        RANKS_BELOW(0.03, most_awaited);
    RANKS_CHECK((most_slept > 0) == (slow.bytes_per_s > 0)); /* the others may be later than the link, but not always */
    return 0;
}

static void what_was_awaited_is_told_without_what_was_slept(void **state)
{
    (void)state;
    dn_link none = {0}, slow = {.latency_s = 0.05, .bytes_per_s = 1e9}; /* 0.2 s, more than the late one takes */
    ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = P, .arena_bytes = 4 << 20};
    assert_int_equal(ranks_run(&spec, come_late, &none, NULL), 0);
    assert_int_equal(ranks_run(&spec, come_late, &slow, NULL), 0);
}

/* Only one rank sleeps, longer than the deadline; the others wait for it. */
static int sleep_long(dn_comm *comm, void *argument)
{
    const dn_link slow = {.latency_s = 0.5, .bytes_per_s = 1e9};
    float x[4] = {1};
    if (dn_comm_rank(comm) == 1)
        dn_comm_use_link(comm, &slow);
    RANKS_CHECK(dn_comm_all_reduce(comm, x, 4, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT) == DN_OK);
    double slept_s = dn_comm_take_link_s(comm);
    RANKS_CHECK(dn_comm_rank(comm) != 1 || slept_s > 1.9);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    double control = 1;
    RANKS_CHECK(dn_comm_all_reduce_scalars(comm, &control, 1, DN_SUM) == DN_OK && dn_comm_take_link_s(comm) == 0);
    return 0;
}

static void a_slow_link_is_no_hang(void **state)
{
    (void)state;
    run_ranks(sleep_long, 0.6);
}

static int sleep_into_a_stop(dn_comm *comm, void *argument)
{
    const dn_link slow = {.latency_s = 1e4, .bytes_per_s = 1e9};
    const struct timespec later = {.tv_nsec = 50000000};
    float x[4] = {1};
    dn_comm_use_link(comm, &slow);
    if (dn_comm_rank(comm) == 0) {
        nanosleep(&later, NULL);
        dn_world_request_stop(dn_comm_world(comm), 15);
    }
    RANKS_CHECK(dn_comm_all_reduce(comm, x, 4, DN_F32, DN_SUM, DN_TRAFFIC_GRADIENT) == DN_OK);
    RANKS_CLOSE(x[0], P, 0);
    return 0;
}

static void a_stop_ends_the_sleep(void **state)
{
    (void)state;
    run_ranks(sleep_into_a_stop, 0);
}

static void links_are_read_and_what_is_none_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double bytes_per_s, latency_s;
    } good[] = {{"1Gbit:5ms", 125e6, 5e-3}, {"10Gbit:100us", 1250e6, 1e-4}, {"2.5Mbit:1s", 312500, 1}, {"", 0, 0},
                {"100kbit:0ms", 12500, 0}};
    static const char *const bad[] = {"1Gbit",     "5ms",      "1Gbit:5",    "1Gb:5ms", "0Gbit:5ms", "-1Gbit:5ms",
                                      "1Gbit:-5ms", "nanGbit:1s", "infbit:1s", ":",       "1Gbit:5msx", "1 Gbit:5ms"};
    dn_link got;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(dn_link_parse(good[i].text, "link_dp", &got), DN_OK);
        assert_close(got.bytes_per_s, good[i].bytes_per_s, 1e-6);
        assert_close(got.latency_s, good[i].latency_s, 1e-15);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (dn_link_parse(bad[i], "link_dp", &got) != DN_ERR_CONFIG)
            fail_msg("'%s' is taken for a link", bad[i]);
        assert_non_null(strstr(dn_error_message(), "link_dp"));
        assert_non_null(strstr(dn_error_message(), bad[i]));
    }
}

TESTS(comm_link)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exchanges_take_as_long_as_the_formula_says),
        cmocka_unit_test(what_happens_between_begin_and_finish_overlaps),
        cmocka_unit_test(what_was_awaited_is_told_without_what_was_slept),
        cmocka_unit_test(a_slow_link_is_no_hang),
        cmocka_unit_test(a_stop_ends_the_sleep),
        cmocka_unit_test(links_are_read_and_what_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
