/* A machine that is not here - four domains, one of them memory only - in all three forms of the report. */
#include "bench/numa.h"

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
    r->n_loads = 2;
    r->loads[0] = (dn_numa_load){0, 300, 70e9};
    r->loads[1] = (dn_numa_load){INFINITY, 90, 0};
    return r;
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
    free(page);
    assert_int_equal(dn_numa_write_html(r, "/nonexistent/numa.html"), DN_ERR_IO);
    assert_int_equal(dn_numa_write_json(r, "/nonexistent/numa.json"), DN_ERR_IO);
    free(r);
}

TESTS(bench_numa)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_has_a_line_a_domain_and_a_dash_for_what_is_not),
        cmocka_unit_test(the_json_has_nulls_for_what_is_not),
        cmocka_unit_test(the_page_has_all_cells_and_escapes_what_the_system_says),
    };
    return cmocka_run_group_tests(tests, make_place, remove_place);
}
