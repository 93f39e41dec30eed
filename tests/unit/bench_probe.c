/* What the machine's measurements rest on: rings that visit everything, teams that are bound, memory that
 * lies where it was asked for. Times are only looked at for being times. */
#include "bench/probe.h"
#include "bench/threads.h"
#include "shm/pages.h"
#include "shm/world.h"
#include "topo/domains.h"
#include "support/tests.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BYTES ((size_t)5 << 20) /* two windows and a half */

static dn_topo *topo;
static int pus[DN_THREADS_MAX], n_pus;
static void *memory;

static int open_all(void **state)
{
    (void)state;
    if (dn_topo_create(1, &topo) != DN_OK || dn_pages_alloc(BYTES, -1, &memory) != DN_OK)
        return -1;
    n_pus = dn_topo_cores(topo, -1, pus, 8);
    n_pus = n_pus < 8 ? n_pus : 8;
    return 0;
}

static int close_all(void **state)
{
    (void)state;
    dn_pages_free(memory, BYTES);
    dn_topo_destroy(&topo);
    return 0;
}

/* The ring of `bytes`: closed, of all steps, and seldom to a neighbour. */
static void check_ring(size_t bytes)
{
    size_t n = dn_probe_link(memory, bytes), seen = 0, near = 0;
    assert_int_equal(n, bytes / 128);
    char *at = memory;
    do {
        char *next = *(char **)at;
        assert_true(next >= (char *)memory && next < (char *)memory + bytes);
        assert_int_equal((next - (char *)memory) % 128, 0);
        near += next - at == 128;
        at = next;
        seen++;
    } while (at != memory && seen <= n);
    assert_int_equal(seen, n);
    assert_true(n < 100 || near < n / 20);
}

static void a_ring_visits_every_step_once(void **state)
{
    (void)state;
    check_ring(128);
    check_ring(4096);
    check_ring(BYTES);
}

static void fresh_pages_are_zero_and_lie_on_a_node(void **state)
{
    (void)state;
    dn_pages_places places;
    char *fresh;
    size_t sum = 0;
    assert_int_equal(dn_pages_alloc(1 << 20, -1, (void **)&fresh), DN_OK);
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal(fresh[i], 0);
    if (dn_pages_locate(fresh, 1 << 20, &places) == DN_OK) { /* some containers forbid to ask */
        for (int node = 0; node < DN_PAGES_NODES; node++)
            sum += places.on[node];
        assert_int_equal(places.n_pages, (1 << 20) / sysconf(_SC_PAGESIZE));
        assert_int_equal(sum, places.n_pages);
        assert_int_equal(places.nowhere, 0);
    }
    dn_pages_free(fresh, 1 << 20);
}

static void pages_that_were_never_touched_lie_nowhere(void **state)
{
    (void)state;
    dn_world *world = NULL;
    dn_pages_places places;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 700 * page; /* more than one question */
    assert_int_equal(dn_world_create(1, bytes, 1, 10, &world), DN_OK);
    char *arena = dn_world_arena(world, 0);
    assert_int_equal(arena[699 * page], 0); /* reading takes a page too */
    if (dn_pages_locate(arena, bytes, &places) == DN_OK)
        assert_true(places.n_pages == 700 && places.nowhere > 0 && places.nowhere < 700);
    dn_world_destroy(&world);
}

static void memory_on_a_node_that_is_not_there_is_refused(void **state)
{
    (void)state;
    void *none = NULL;
    assert_int_equal(dn_pages_alloc(4096, DN_PAGES_NODES, &none), DN_ERR_SYSTEM);
    assert_int_equal(dn_pages_alloc(4096, DN_PAGES_NODES - 1, &none), DN_ERR_SYSTEM);
    assert_int_not_equal(dn_pages_alloc((size_t)1 << 60, -1, &none), DN_OK);
    assert_null(none);
}

/* ---- teams ---- */

static char bound[DN_THREADS_MAX][32];
static _Atomic int n_ran;

static void note(int index, void *argument)
{
    (void)argument;
    dn_topo_bound_pus(bound[index], sizeof bound[index]);
    atomic_fetch_add(&n_ran, 1);
}

static void each_member_runs_once_on_its_own_pu(void **state)
{
    (void)state;
    atomic_store(&n_ran, 0);
    assert_int_equal(dn_threads_run(topo, pus, n_pus, note, NULL), DN_OK);
    assert_int_equal(atomic_load(&n_ran), n_pus);
    for (int i = 0; i < n_pus; i++) {
        char wanted[16];
        snprintf(wanted, sizeof wanted, "%d", pus[i]);
        assert_string_equal(bound[i], wanted);
    }
}

static void a_team_with_a_pu_that_is_not_there_does_not_run(void **state)
{
    (void)state;
    const int bad[3] = {pus[0], 8000, pus[0]};
    atomic_store(&n_ran, 0);
    assert_int_equal(dn_threads_run(topo, bad, 3, note, NULL), DN_ERR_SYSTEM);
    assert_non_null(strstr(dn_error_message(), "8000"));
    assert_int_equal(atomic_load(&n_ran), 0);
}

/* ---- probes ---- */

static void probes_give_times_and_rates(void **state)
{
    (void)state;
    /* Long enough for every thread to get its turn on a busy machine. */
    const dn_probe_cpus cpus = {topo, pus, n_pus, 0.1};
    double ns = 0, bytes_s = 0;
    for (dn_probe_kind kind = DN_PROBE_READ; kind <= DN_PROBE_TRIAD; kind++) {
        assert_int_equal(dn_probe_bandwidth(&cpus, kind, memory, BYTES, &bytes_s), DN_OK);
        assert_true(bytes_s > 1e6 && bytes_s < 1e14);
    }
    assert_int_equal(dn_probe_bandwidth(&cpus, DN_PROBE_READ, memory, 64, &bytes_s), DN_ERR_ARG);
    void *ring = memory;
    dn_probe_link(memory, BYTES);
    assert_int_equal(dn_probe_latency(&cpus, &ring, &ns), DN_OK);
    assert_true(ns > 0.1 && ns < 1e6);
    if (n_pus < 2)
        return;
    assert_int_equal(dn_probe_loaded(&cpus, &ring, memory, BYTES, 10, &ns, &bytes_s), DN_OK);
    assert_true(ns > 0.1 && ns < 1e6 && bytes_s > 0);
    assert_int_equal(dn_probe_line(topo, pus[0], pus[1], &ns), DN_OK);
    assert_true(ns > 0.1 && ns < 1e7);
}

/* Words behind a[n] are only read; each pass adds as much to every word of a. */
static void mixes_read_what_they_say_and_write_one_array(void **state)
{
    (void)state;
    const dn_probe_cpus cpus = {topo, pus, 1, 1e-6};
    uint64_t *words = memory;
    enum { N = 3 * 384 };
    for (int n_others = 0; n_others <= 2; n_others++) {
        size_t n = N / (size_t)(n_others + 1);
        double bytes_s;
        for (size_t i = 0; i < N; i++)
            words[i] = i < n ? 7 : 1;
        assert_int_equal(dn_probe_bandwidth(&cpus, (dn_probe_kind)(DN_PROBE_READ_1_WRITE_1 - n_others),
                                            memory, N * sizeof *words, &bytes_s),
                         DN_OK);
        uint64_t added = words[0] - 7;
        assert_true(added >= 3 &&
                    added % (uint64_t)(n_others ? n_others : 1) == 0); /* three turns, a pass each */
        for (size_t i = 0; i < N; i++)
            assert_int_equal(words[i], i < n ? 7 + added : 1);
    }
}

TESTS(bench_probe)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ring_visits_every_step_once),
        cmocka_unit_test(fresh_pages_are_zero_and_lie_on_a_node),
        cmocka_unit_test(pages_that_were_never_touched_lie_nowhere),
        cmocka_unit_test(memory_on_a_node_that_is_not_there_is_refused),
        cmocka_unit_test(each_member_runs_once_on_its_own_pu),
        cmocka_unit_test(a_team_with_a_pu_that_is_not_there_does_not_run),
        cmocka_unit_test(probes_give_times_and_rates),
        cmocka_unit_test(mixes_read_what_they_say_and_write_one_array),
    };
    alarm(60);
    return cmocka_run_group_tests(tests, open_all, close_all);
}
