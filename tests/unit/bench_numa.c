/* A machine that is not here - four domains, one of them memory only - in all three forms of the report. */
#include "bench/numa.h"
#include "bench/probe.h"
#include "topo/domains.h"

#include "support/scratch.h"
#include "support/tests.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DOMAINS = 4, CORES = 6 };

static scratch place;

static int make_place(void **state)
{
    (void)state;
    return scratch_make(&place) ? 0 : -1;
}

static int remove_place(void **state)
{
    (void)state;
    scratch_remove(&place);
    return 0;
}

static dn_numa_results *made_up(void)
{
    dn_numa_results *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->version = "0<1";
    snprintf(r->processor, sizeof r->processor, "A \"quick\" <processor> & more");
    r->n_domains = r->latency_ns.n = r->read_bytes_s.n = DOMAINS;
    r->buffer_bytes = 64 << 20;
    for (int i = 0; i < DOMAINS; i++) {
        bool cores = i < DOMAINS - 1;
        r->domains[i] = (dn_domain){i, UINT64_C(8) << 30, cores ? 2 : 0};
        r->copy_bytes_s[i] = cores ? 41e9 : NAN;
        r->triad_bytes_s[i] = cores ? 42e9 : NAN;
        for (int mix = 0; mix < DN_NUMA_MIXES; mix++)
            r->mix_bytes_s[i][mix] = cores ? 80e9 / (1 + mix) : NAN;
        r->places[i].n_pages = 4;
        r->places[i].on[i] = 3;
        r->places[i].on[(i + 1) % DOMAINS] = 1;
        for (int j = 0; j < DOMAINS; j++) {
            r->latency_ns.at[i][j] = cores ? 90 + 50 * abs(i - j) : NAN;
            r->read_bytes_s.at[i][j] = cores ? (80 - 10 * abs(i - j)) * 1e9 : NAN;
        }
    }
    r->n_cores = r->line_ns.n = CORES;
    r->n_usable_cores = 2 * CORES;
    for (int i = 0; i < CORES; i++) {
        r->pus[i] = 100 + i;
        for (int j = 0; j < CORES; j++)
            r->line_ns.at[i][j] = i == j ? NAN : 20 + 30 * (i / 2 != j / 2);
    }
    r->n_caches = 2;
    r->cache_sizes[0] = 32 << 10;
    r->cache_sizes[1] = 1 << 20;
    dn_numa_choose_rungs(r, r->buffer_bytes);
    for (int i = 0; i < r->n_rungs; i++) {
        r->rungs[i].ns = 1 + i;
        r->rungs[i].bytes_s = 64e9 / (1 << i);
    }
    r->n_loads = 2;
    r->loads[0] = (dn_numa_load){0, 300, 70e9};
    r->loads[1] = (dn_numa_load){INFINITY, 90, 0};
    return r;
}

/* Against lists by hand: bytes, and the cache that holds them. */
static void rungs_are(const size_t *caches, int n_caches, size_t limit, const size_t (*expected)[2], int n)
{
    dn_numa_results *r = calloc(1, sizeof *r);
    assert_non_null(r);
    r->n_caches = n_caches;
    memcpy(r->cache_sizes, caches, (size_t)n_caches * sizeof *caches);
    dn_numa_choose_rungs(r, limit);
    assert_int_equal(r->n_rungs, n);
    for (int i = 0; i < n; i++) {
        assert_int_equal(r->rungs[i].bytes, expected[i][0]);
        assert_int_equal(r->rungs[i].cache, expected[i][1]);
    }
    free(r);
}

static void rungs_lie_within_and_beyond_each_cache_and_end_in_memory(void **state)
{
    (void)state;
    enum { K = 1 << 10, M = 1 << 20 };
    rungs_are((const size_t[]){32 * K, M, 32 * M}, 3, 128 * M,
              (const size_t[][2]){
                  {16 * K, 0}, {64 * K, 1}, {512 * K, 1}, {2 * M, 2}, {16 * M, 2}, {64 * M, 3}, {128 * M, 3}},
              7);
    /* The first cache is almost the second; the last does not fit into the buffer. */
    rungs_are((const size_t[]){48 * K, 64 * K, 96 * M}, 3, 8 * M,
              (const size_t[][2]){{24 * K, 0}, {32 * K, 0}, {128 * K, 2}, {8 * M, 2}}, 4);
    rungs_are((const size_t[]){0}, 0, M, (const size_t[][2]){{M, 0}}, 1); /* no cache is known */
}

static void caches_of_a_core_grow_and_leave_out_those_of_instructions(void **state)
{
    (void)state;
    dn_topo *topo;
    size_t bytes[4];
    setenv("HWLOC_SYNTHETIC",
           "pack:2 [numa] l3:1(size=8MiB) l2:2(size=1MiB) l1d:1(size=48KiB) l1i:1(size=64KiB) core:1 pu:2",
           1);
    dn_status status = dn_topo_create(1, &topo);
    unsetenv("HWLOC_SYNTHETIC");
    assert_int_equal(status, DN_OK);
    assert_int_equal(dn_topo_caches_of(topo, 3, bytes, 4), 3);
    assert_int_equal(bytes[0], 48 << 10);
    assert_int_equal(bytes[1], 1 << 20);
    assert_int_equal(bytes[2], 8 << 20);
    assert_int_equal(dn_topo_caches_of(topo, 3, bytes, 2), 2);
    assert_int_equal(dn_topo_caches_of(topo, 99, bytes, 4), 0);
    dn_topo_destroy(&topo);
}

static int count(const char *text, const char *word)
{
    int n = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        n++;
    return n;
}

static void the_text_has_a_line_a_domain_and_a_dash_for_what_is_not(void **state)
{
    (void)state;
    dn_numa_results *r = made_up();
    char *text;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    dn_numa_print(r, out);
    fclose(out);
    assert_non_null(strstr(text, "       2     190.0     140.0      90.0     140.0\n"));
    assert_non_null(strstr(text, "       3         -         -         -         -\n"));
    assert_non_null(strstr(text, "     105"));
    assert_non_null(strstr(
        text, "       0     80.00  100%     40.00   50%     26.67   33%     20.00   25%     16.00   20%\n"));
    assert_non_null(
        strstr(text, "       3         -               -               -               -               -"));
    assert_non_null(strstr(text, "    64 KiB        L2       2.0     32.00       50%\n"));
    assert_non_null(strstr(text, "memory       5.0      4.00        6%\n"));
    assert_non_null(strstr(text, "buffers of 64 MiB a domain"));
    assert_non_null(strstr(text, "a sample"));
    assert_non_null(strstr(text, "node 1 75.0% node 2 25.0% of 4 pages"));
    assert_null(strstr(text, "nan"));
    free(text);
    free(r);
}

static void the_json_has_nulls_for_what_is_not(void **state)
{
    (void)state;
    const char *path = scratch_path(&place, "numa.json");
    dn_numa_results *r = made_up();
    assert_int_equal(dn_numa_write_json(r, path), DN_OK);
    json_t *found = json_load_file(path, 0, NULL);
    assert_non_null(found);
    json_t *latency = json_object_get(found, "latency_ns"), *pauses = json_object_get(found, "loaded");
    assert_int_equal(json_array_size(latency), DOMAINS);
    assert_true(json_real_value(json_array_get(json_array_get(latency, 0), 3)) == 240);
    assert_true(json_is_null(json_array_get(json_array_get(latency, 3), 0)));
    assert_int_equal(json_array_size(json_object_get(found, "line_ns")), CORES);
    json_t *mixes = json_object_get(found, "mixes_gb_s");
    json_t *rungs = json_object_get(json_object_get(found, "ladder"), "rungs");
    assert_int_equal(json_array_size(mixes), DOMAINS);
    assert_true(json_real_value(json_object_get(json_array_get(mixes, 0), "reads_2_writes_1_nt")) == 16);
    assert_true(json_is_null(json_object_get(json_array_get(mixes, 3), "reads_1_writes_1")));
    assert_int_equal(json_array_size(rungs), r->n_rungs);
    assert_string_equal(json_string_value(json_object_get(json_array_get(rungs, 0), "held_by")), "L1");
    assert_string_equal(json_string_value(json_object_get(json_array_get(rungs, r->n_rungs - 1), "held_by")),
                        "memory");
    assert_true(json_is_null(json_object_get(json_array_get(pauses, 1), "pause_ns")));
    json_decref(found);
    free(r);
}

static void the_page_has_all_cells_and_escapes_what_the_system_says(void **state)
{
    (void)state;
    const char *path = scratch_path(&place, "numa.html");
    dn_numa_results *r = made_up();
    assert_int_equal(dn_numa_write_html(r, path), DN_OK);
    size_t bytes;
    char *page = scratch_read(path, &bytes);
    assert_non_null(page);
    assert_int_equal(count(page, "<rect class=\"cell\""), 2 * DOMAINS * DOMAINS + CORES * CORES);
    assert_int_equal(count(page, "<svg"), 4);
    assert_int_equal(count(page, "</svg>"), 4);
    assert_null(strstr(page, "<processor>"));
    assert_null(strstr(page, ">nan<"));
    assert_null(strstr(page, "=\"nan\""));
    assert_non_null(strstr(page, "</html>"));
    assert_non_null(strstr(page, "<tr><td>0</td><td>80.00</td><td>40.00</td><td>50%</td>"));
    assert_int_equal(count(page, "<td>L1</td>") + count(page, "<td>L2</td>") + count(page, "<td>memory</td>"),
                     r->n_rungs);
    free(page);
    assert_int_equal(dn_numa_write_html(r, "/proc/nonexistent/numa.html"), DN_ERR_IO);
    assert_int_equal(dn_numa_write_json(r, "/proc/nonexistent/numa.json"), DN_ERR_IO);
    free(r);
}

TESTS(bench_numa)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rungs_lie_within_and_beyond_each_cache_and_end_in_memory),
        cmocka_unit_test(caches_of_a_core_grow_and_leave_out_those_of_instructions),
        cmocka_unit_test(the_text_has_a_line_a_domain_and_a_dash_for_what_is_not),
        cmocka_unit_test(the_json_has_nulls_for_what_is_not),
        cmocka_unit_test(the_page_has_all_cells_and_escapes_what_the_system_says),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
