/* What a comparison makes of its runs' records: how each ended, the best of a sweep, spread, costs, curves.
 */
#include "report/comparison.h"
#include "report/plot.h"
#include "report/strategies_html.h"

#include "../support/scratch.h"
#include "support/close.h"
#include "support/tests.h"

#include <math.h>

static dn_comparison c;
static scratch dir;

static char *drawn; /* what draw has drawn last, as text */

static const char *draw(const dn_plot *plot)
{
    size_t bytes;
    free(drawn);
    FILE *out = open_memstream(&drawn, &bytes);
    dn_plot_write(plot, out);
    fclose(out);
    return drawn;
}

static int set_up(void **state)
{
    c = (dn_comparison){0};
    return scratch_make(&dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    dn_comparison_free(&c);
    free(drawn);
    drawn = NULL;
    scratch_remove(&dir);
    return 0;
}

static void expect_near(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12 * fabs(expected)))
        fail_msg("%.17g, expected %.17g", value, expected);
}

/* One contender of n_lrs learning rates 1, 2, ... and n_seeds. */
static dn_contender *make_contender(size_t n_lrs, size_t n_seeds)
{
    c.n_contenders = 1;
    c.n_seeds = n_seeds;
    c.contenders = calloc(1, sizeof *c.contenders);
    c.contenders[0].n_lrs = n_lrs;
    c.contenders[0].trials = calloc(n_lrs * n_seeds, sizeof *c.contenders[0].trials);
    for (size_t i = 0; i < n_lrs * n_seeds; i++)
        c.contenders[0].trials[i].lr = (double)(i / n_seeds + 1);
    return &c.contenders[0];
}

/* A run of n steps with a loss from 8 down by `fall` a step and these costs, ended with val_loss. */
static void fill(dn_trial *trial, size_t n, double fall, double step_s, double bytes, double val_loss)
{
    trial->record = (dn_record){.n = n, .steps = calloc(n, sizeof(dn_record_step))};
    for (size_t i = 0; i < n; i++)
        trial->record.steps[i] = (dn_record_step){.step = i + 1,
                                                  .loss = 8 - fall * (double)i,
                                                  .val_loss = i + 1 == n ? val_loss : NAN,
                                                  .step_s = step_s * (double)(i + 1),
                                                  .optimizer_s = step_s / 4,
                                                  .tokens_per_s = 100 / step_s,
                                                  .bytes = {bytes, 2 * bytes, 0},
                                                  .state_bytes = 10 * bytes,
                                                  .memory_bytes = 50 * bytes};
    dn_trial_judge(trial, n);
}

static void a_run_ends_open_done_or_diverged(void **state)
{
    dn_trial *t = make_contender(1, 5)->trials;
    fill(&t[0], 4, 1, 1, 1, 3);
    assert_int_equal(t[0].end, DN_TRIAL_DONE);
    fill(&t[1], 4, 1, 1, 1, 9.5); /* far above the first loss */
    assert_int_equal(t[1].end, DN_TRIAL_DIVERGED);
    assert_non_null(strstr(t[1].message, "from 8 to 9.5"));
    dn_record_free(&t[1].record);
    fill(&t[1], 4, 1, 1, 1, 8.5); /* a bad run, and maybe noise */
    assert_int_equal(t[1].end, DN_TRIAL_DONE);
    assert_string_equal(t[1].message, "");
    fill(&t[2], 4, 1, 1, 1, NAN); /* stopped in its last validation */
    assert_int_equal(t[2].end, DN_TRIAL_OPEN);
    t[2].record.steps[3].loss = NAN;
    dn_trial_judge(&t[2], 4);
    assert_int_equal(t[2].end, DN_TRIAL_DIVERGED);
    fill(&t[3], 4, 1, 1, 1, 3);
    dn_trial_judge(&t[3], 5); /* one step is missing */
    assert_int_equal(t[3].end, DN_TRIAL_OPEN);
    dn_trial_judge(&t[4], 5); /* nothing there */
    assert_int_equal(t[4].end, DN_TRIAL_OPEN);
}

static void the_best_has_the_lowest_mean_over_seeds_and_all_its_runs(void **state)
{
    dn_contender *a = make_contender(4, 2);
    static const double losses[4][2] = {{3, 5}, {3.5, 3.9}, {1, 19}, {3.6, 3.7}}; /* 19: diverged */
    for (size_t i = 0; i < 8; i++)
        fill(&a->trials[i], 10, 0.1, 1, 1, losses[i / 2][i % 2]);
    dn_comparison_judge(&c);
    assert_int_equal(a->best, 3);
    assert_true(a->at_edge);
    expect_near(a->val_loss.mean, 3.65);
    expect_near(a->val_loss.deviation, sqrt(2 * 0.05 * 0.05));
    assert_true(isnan(dn_contender_loss(a, 2, 2).mean));
    assert_ptr_equal(dn_contender_failure(a, 2, 0), &a->trials[5]);
    assert_null(dn_contender_failure(a, 2, 6));
    a->trials[6].end = DN_TRIAL_FAILED;
    dn_comparison_judge(&c);
    assert_int_equal(a->best, 1);
    assert_false(a->at_edge);
    expect_near(a->val_loss.mean, 3.7);
}

static void one_learning_rate_is_no_edge_and_one_seed_has_no_deviation(void **state)
{
    dn_contender *a = make_contender(1, 1);
    fill(a->trials, 10, 0.1, 1, 1, 3);
    dn_comparison_judge(&c);
    assert_int_equal(a->best, 0);
    assert_false(a->at_edge);
    assert_true(isnan(a->val_loss.deviation));
}

static void where_nothing_ends_well_there_is_no_best(void **state)
{
    dn_contender *a = make_contender(3, 1);
    for (size_t i = 0; i < 3; i++)
        fill(&a->trials[i], 10, -1, 1, 1, 20);
    dn_comparison_judge(&c);
    assert_int_equal(a->best, 3);
}

static void times_are_medians_without_warm_up_and_bytes_are_means(void **state)
{
    dn_contender *a = make_contender(1, 2);
    fill(&a->trials[0], 10, 0.1, 1, 100, 3); /* steps of 1 .. 10 s: median of 3 .. 10 is 6.5 */
    fill(&a->trials[1], 10, 0.1, 3, 100, 3); /* 19.5 */
    a->trials[1].record.steps[9].bytes[0] = 1100;
    dn_comparison_judge(&c);
    expect_near(a->step_s, (6.5 + 19.5) / 2);
    expect_near(a->optimizer_s, (0.25 + 0.75) / 2);
    expect_near(a->tokens_per_s, (100 + 100.0 / 3) / 2);
    expect_near(a->bytes[0], (19 * 100 + 1100) / 20.0);
    expect_near(a->bytes[1], 200);
    assert_true(a->bytes[2] == 0);
    expect_near(a->state_bytes, 1000);
    expect_near(a->memory_bytes, 5000);
}

static void a_curve_of_all_steps_is_the_record(void **state)
{
    dn_contender *a = make_contender(1, 2);
    dn_curve curve;
    fill(&a->trials[0], 10, 0.5, 1, 7, 3);
    fill(&a->trials[1], 10, 0.1, 3, 7, 3);
    dn_comparison_judge(&c);
    assert_int_equal(dn_curve_make(&c, a, 100, &curve), DN_OK);
    assert_int_equal(curve.n, 10);
    for (size_t i = 0; i < 10; i++) {
        double n = (double)(i + 1);
        expect_near(curve.x[DN_CURVE_STEP][i], n);
        expect_near(curve.x[DN_CURVE_SECOND][i], 2 * n * (n + 1) / 2);
        expect_near(curve.x[DN_CURVE_BYTE][i], 21 * n);
        expect_near(curve.loss[i], 8 - 0.3 * (n - 1));
        expect_near(curve.low[i], 8 - 0.5 * (n - 1));
        expect_near(curve.high[i], 8 - 0.1 * (n - 1));
    }
    dn_curve_free(&curve);
}

static void a_shorter_curve_averages_stretches_and_loses_no_second_or_byte(void **state)
{
    dn_contender *a = make_contender(1, 1);
    dn_curve curve;
    fill(a->trials, 10, 0.5, 1, 7, 3);
    dn_comparison_judge(&c);
    assert_int_equal(dn_curve_make(&c, a, 3, &curve), DN_OK);
    static const size_t ends[] = {3, 6, 10};
    assert_int_equal(curve.n, 3);
    for (size_t i = 0, begin = 0; i < 3; begin = ends[i++]) {
        double n = (double)ends[i];
        expect_near(curve.x[DN_CURVE_STEP][i], n);
        expect_near(curve.x[DN_CURVE_SECOND][i], n * (n + 1) / 2);
        expect_near(curve.x[DN_CURVE_BYTE][i], 21 * n);
        expect_near(curve.loss[i], 8 - 0.5 * (double)(begin + ends[i] - 1) / 2);
    }
    dn_curve_free(&curve);
}

static void records_are_read_to_a_torn_line_and_gaps_are_nan(void **state)
{
    const char *text =
        "{\"step\": 0, \"val_loss\": 6.5}\n"
        "{\"step\": 1, \"loss\": 5.5, \"step_s\": 0.25, \"bytes_dp\": 3, \"bytes_tp\": 4}\n"
        "{\"step\": 2, \"loss\": 5, \"val_loss\": 4.5, \"optimizer_s\": 0.125, \"state_bytes\": 9, \"memory_bytes\": 11, \"bytes_pp\": 7}\n"
        "{\"step\": 3, \"lo";
    dn_record record;
    assert_true(scratch_write(&dir, "metrics.jsonl", text, strlen(text)));
    assert_int_equal(dn_record_read(dir.path, &record), DN_OK);
    assert_int_equal(record.n, 2);
    assert_true(record.steps[0].loss == 5.5 && record.steps[0].step_s == 0.25 &&
                record.steps[0].bytes[0] == 3 && record.steps[0].bytes[2] == 4);
    assert_true(isnan(record.steps[0].val_loss) && isnan(record.steps[0].bytes[1]));
    assert_true(record.steps[0].bytes[DN_PP] == 0 && record.steps[1].bytes[DN_PP] == 7); /* none without stages */
    assert_true(record.steps[1].step == 2 && record.steps[1].val_loss == 4.5 &&
                record.steps[1].optimizer_s == 0.125 && record.steps[1].state_bytes == 9 && record.steps[1].memory_bytes == 11);
    assert_true(dn_gaps_none(&record.gaps));
    dn_record_free(&record);

    text = "{\"step\": 1}\n{\"step\": 2}\n{\"step\": 4}\n{\"step\": 4}\n{\"step\": 8}\n";
    assert_true(scratch_write(&dir, "metrics.jsonl", text, strlen(text)));
    assert_int_equal(dn_record_read(dir.path, &record), DN_OK);
    assert_string_equal(record.gaps.text, "3, 5-7");
    assert_int_equal(record.gaps.missing, 4);
    assert_int_equal(record.gaps.repeated, 1);
    dn_record_free(&record);

    assert_true(scratch_write(&dir, "metrics.jsonl", "{\"step\": 1}\nno\n", 15));
    assert_int_equal(dn_record_read(dir.path, &record), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "metrics.jsonl:2:"));
    assert_int_equal(dn_record_read(scratch_path(&dir, "absent"), &record), DN_OK);
    assert_int_equal(record.n, 0);
    dn_record_free(&record);
}

/* Takes the line of a step out of what fill() has made. */
static void lose(dn_trial *trial, size_t step)
{
    dn_record *r = &trial->record;
    memmove(&r->steps[step - 1], &r->steps[step], (r->n - step) * sizeof *r->steps);
    r->n--;
    r->gaps.missing++;
}

static void what_depends_on_lines_that_are_missing_is_unknown(void **state)
{
    dn_contender *a = make_contender(1, 2);
    fill(&a->trials[0], 10, 0.5, 1, 100, 3);
    fill(&a->trials[1], 10, 0.1, 3, 100, 3);
    lose(&a->trials[1], 4);
    dn_comparison_judge(&c);
    expect_near(a->val_loss.mean, 3);
    expect_near(a->optimizer_s, (0.25 + 0.75) / 2);
    for (int axis = 0; axis < DN_RECORD_AXES; axis++) {
        assert_true(isnan(a->bytes[axis]));
        assert_true(dn_comparison_uses(&c, axis));
    }
    dn_curve curve;
    assert_int_equal(dn_curve_make(&c, a, 100, &curve), DN_OK);
    assert_int_equal(curve.n, 10);
    for (size_t i = 0; i < 10; i++) {
        expect_near(curve.x[DN_CURVE_STEP][i], (double)(i + 1));
        assert_true(isnan(curve.x[DN_CURVE_SECOND][i]) && isnan(curve.x[DN_CURVE_BYTE][i]));
        if (i == 3)
            assert_true(isnan(curve.loss[i]));
        else
            expect_near(curve.loss[i], 8 - 0.3 * (double)i);
    }
    dn_curve_free(&curve);
}

/* A line has its step by its number, not by its place: of the second seed the last of ten is all that is left. */
static void seeds_are_laid_over_each_other_by_steps(void **state)
{
    dn_contender *a = make_contender(1, 2);
    fill(&a->trials[0], 10, 0.5, 1, 100, 3);
    fill(&a->trials[1], 10, 0.1, 3, 100, 4);
    for (size_t step = 9; step > 0; step--)
        lose(&a->trials[1], step);
    dn_comparison_judge(&c);
    dn_curve curve;
    assert_int_equal(dn_curve_make(&c, a, 5, &curve), DN_OK);
    assert_int_equal(curve.n, 5);
    for (size_t i = 0; i < 4; i++)
        assert_true(isnan(curve.loss[i]));
    expect_near(curve.loss[4], ((8 - 0.5 * 8.5) + (8 - 0.1 * 9)) / 2);
    dn_curve_free(&curve);
    for (uint64_t step = 1; step <= 11; step++) {
        double val_loss = dn_record_val_loss(&a->trials[1].record, step);
        assert_true(step == 10 ? val_loss == 4 : isnan(val_loss));
    }
}

static void ranks_are_named_as_people_write_them(void **state)
{
    static const struct {
        double rank;
        const char *name;
    } ranks[] = {{0, ""}, {1, "1"}, {0.25, "1/4"}, {1.0 / 3, "1/3"}, {0.0625, "1/16"}, {0.3, "0.3"}};
    for (size_t i = 0; i < sizeof ranks / sizeof *ranks; i++) {
        char text[32];
        assert_string_equal(dn_rank_name(ranks[i].rank, text, sizeof text), ranks[i].name);
    }
}

static void ticks_are_round_and_about_as_many_as_asked_for(void **state)
{
    for (double range = 1e-9; range < 1e12; range *= 1.7) {
        double step = dn_plot_tick(range, 6), digit = step / pow(10, floor(log10(step) + 1e-9));
        assert_true(fabs(digit - 1) < 1e-6 || fabs(digit - 2) < 1e-6 || fabs(digit - 5) < 1e-6);
        /* The largest ratio of neighbours is 2.5: never further off than its root. */
        assert_true(range / step > 6 / sqrt(2.5) - 1e-9 && range / step < 6 * sqrt(2.5) + 1e-9);
    }
    const char *prefix;
    expect_near(2.5e7 * dn_plot_prefix(2.5e7, &prefix), 25);
    assert_string_equal(prefix, "M");
    assert_true(dn_plot_prefix(0, &prefix) == 1);
}

static void a_plot_leaves_out_what_is_not_finite_and_scales_to_its_edges(void **state)
{
    const double x[] = {0, 1, 2, 4}, y[] = {1, NAN, 2, 3};
    const dn_plot_line line = {.name = "a<b", .n = 4, .x = x, .y = y};
    const dn_plot plot = {.name = "p",
                          .x_label = "x",
                          .y_label = "y",
                          .x_scale = 1,
                          .y_most = NAN,
                          .lines = &line,
                          .n_lines = 1};
    const char *text = draw(&plot);
    const char *points = strstr(text, "points=\"");
    double at[3][2];
    assert_non_null(points);
    assert_int_equal(sscanf(points, "points=\"%lf,%lf %lf,%lf %lf,%lf \"", &at[0][0], &at[0][1], &at[1][0],
                            &at[1][1], &at[2][0], &at[2][1]),
                     6);
    /* Linear in both: equal steps of 2, and of 1, are equal on paper, to the printed tenth. */
    assert_close((at[1][0] - at[0][0]), (at[2][0] - at[1][0]), 0.21);
    assert_close((at[1][1] - at[0][1]), (at[2][1] - at[1][1]), 0.21);
    assert_true(at[0][0] < at[2][0] && at[0][1] > at[2][1]);
    assert_null(strstr(text, "nan"));
    assert_null(strstr(text, "a<b"));
}

static void a_plot_of_nothing_or_of_one_point_is_still_a_plot(void **state)
{
    const double x[] = {3}, y[] = {INFINITY};
    for (int n = 0; n <= 1; n++)
        for (int log_x = 0; log_x < 2; log_x++) {
            const dn_plot_line line = {.name = "a", .n = 1, .x = x, .y = n ? x : y};
            const dn_plot plot = {.name = "p",
                                  .x_label = "x",
                                  .y_label = "y",
                                  .x_scale = 1,
                                  .log_x = log_x,
                                  .y_most = NAN,
                                  .lines = &line,
                                  .n_lines = 1};
            const char *text = draw(&plot);
            assert_non_null(strstr(text, "</svg>"));
            assert_null(strstr(text, "nan"));
            assert_null(strstr(text, "inf"));
        }
}

static void bands_lie_below_all_lines(void **state)
{
    const double x[] = {0, 1}, y[] = {1, 2}, low[] = {0, 1}, high[] = {2, 3};
    const dn_plot_line lines[] = {{.name = "a", .n = 2, .x = x, .y = y, .low = low, .high = high},
                                  {.name = "b", .n = 2, .x = x, .y = y, .low = low, .high = high}};
    const dn_plot plot = {.name = "p", .x_label = "x", .y_label = "y", .x_scale = 1, .y_most = NAN, .lines = lines,
                          .n_lines = 2};
    const char *second_band = strstr(strstr(draw(&plot), "<polygon") + 1, "<polygon");
    assert_non_null(second_band);
    assert_true(second_band < strstr(drawn, "<polyline"));
}

static void a_narrow_logarithmic_axis_has_a_tick_beside_each_of_its_values(void **state)
{
    const double x[] = {0.01, 0.02, 0.04}, y[] = {1, 2, 3};
    const dn_plot_line line = {.name = "a", .n = 3, .x = x, .y = y};
    const dn_plot plot = {.name = "p", .x_label = "x", .y_label = "y", .x_scale = 1, .log_x = true, .y_most = NAN,
                          .lines = &line, .n_lines = 1};
    const char *text = draw(&plot);
    assert_non_null(strstr(text, ">0.01<"));
    assert_non_null(strstr(text, ">0.02<"));
    assert_non_null(strstr(text, ">0.04<"));
}

/* A phone shows 22 of a plot's units as a letter's height, of which a digit is some 0.55 wide; numbers are half a digit apart. */
static void numbers_below_a_logarithmic_axis_do_not_touch_on_a_phone(void **state)
{
    for (double most = 0.003; most < 4; most *= 1.4) {
        const double x[] = {0.002, most}, y[] = {1, 2};
        const dn_plot_line line = {.name = "a", .n = 2, .x = x, .y = y};
        const dn_plot plot = {.name = "p", .x_label = "x", .y_label = "y", .x_scale = 1, .log_x = true, .y_most = NAN,
                              .lines = &line, .n_lines = 1};
        double right = -INFINITY;
        int n = 0;
        for (const char *at = draw(&plot); (at = strstr(at, "text-anchor=\"middle\">")); n++) {
            const char *place = at;
            while (strncmp(place, "x=\"", 3) != 0)
                place--;
            at += strlen("text-anchor=\"middle\">");
            const double digit = 0.55 * 22;
            double half = 0.5 * digit * (double)strcspn(at, "<"), middle = atof(place + 3);
            if (middle - half < right)
                fail_msg("axis to %g: %.8s begins at %.0f, before it must be %.0f", most, at, middle - half, right);
            right = middle + half + 0.5 * digit;
        }
        assert_true(n > 0);
    }
}

/* The page of what is compared; the caller frees it. */
static char *read_page(void)
{
    size_t bytes;
    c.version = c.command = "";
    c.config = strdup("");
    assert_int_equal(dn_comparison_write_html(&c, scratch_path(&dir, "page.html")), DN_OK);
    char *page = scratch_read(scratch_path(&dir, "page.html"), &bytes);
    assert_non_null(page);
    return page;
}

/* The runs of fill() exchange over dp and fs, nothing over tp. */
static void the_page_shows_validation_on_its_way_and_no_column_of_nothing(void **state)
{
    dn_contender *contender = make_contender(1, 1);
    strcpy(contender->optimizer, "muon");
    fill(&contender->trials[0], 4, 1, 1, 1000, 5);
    contender->trials[0].record.steps[1].val_loss = 6;
    dn_comparison_judge(&c);
    c.n_steps = 4;
    size_t bytes;
    char *page = read_page();
    assert_non_null(strstr(page, "<th>dp per step</th><th>fs per step</th><th>state</th>"));
    const char *plot = strstr(page, "aria-label=\"validation loss by step\"");
    assert_non_null(plot);
    int n_points = 0;
    for (const char *at = plot; (at = strstr(at + 1, "<circle")) && at < strstr(plot, "</figure>");)
        n_points++;
    assert_int_equal(n_points, 2);
    free(page);
    FILE *out = open_memstream(&page, &bytes);
    dn_comparison_print(&c, out);
    fclose(out);
    assert_non_null(strstr(page, "fs/step"));
    assert_null(strstr(page, "tp/step"));
    free(page);
}

/* Steps of 1 s, 3 of it slept on a link in the last; an exchange of 4 hops and 200 bytes in every second. */
static void time_on_a_link_is_computation_and_what_exceeds_the_overlap(void **state)
{
    dn_record_step steps[4] = {{.step = 1, .step_s = 1, .hops = 0, .cluster_bytes = 0, .link_s = NAN, .delay = NAN},
                               {.step = 2, .step_s = 1, .hops = 4, .cluster_bytes = 200, .link_s = NAN, .delay = NAN},
                               {.step = 3, .step_s = 1, .hops = 0, .cluster_bytes = 0, .link_s = NAN, .delay = NAN},
                               {.step = 4, .step_s = 4, .hops = 4, .cluster_bytes = 200, .link_s = 3, .delay = NAN}};
    const dn_record record = {.n = 4, .steps = steps};
    const dn_link link = {.latency_s = 0.5, .bytes_per_s = 100}; /* 2 + 2 s */
    expect_near(dn_record_link_s(&record, UINT64_MAX, &link), 4 + 2 * 4);
    expect_near(dn_record_link_s(&record, 3, &link), 3 + 4);
    expect_near(dn_record_link_s(&record, UINT64_MAX, &dn_links[0].link), 4); /* without the link that it slept on */
    steps[1].overlap_bytes = 100, steps[1].overlap_s = 5; /* half of the bytes, 1 s, were on their way before the step */
    steps[3].overlap_bytes = 200, steps[3].overlap_s = 0.25;
    expect_near(dn_record_link_s(&record, UINT64_MAX, &link), 4 + 2 * 4 - 1 - 0.25);
    steps[1].overlap_bytes = steps[3].overlap_bytes = NAN; /* on one node */
    for (int i = 0; i < 4; i++)
        steps[i].delay = 3;
    expect_near(dn_record_link_s(&record, UINT64_MAX, &link), 4 + 2 * 1);
    for (int i = 0; i < 4; i++)
        steps[i].delay = 5;
    expect_near(dn_record_link_s(&record, UINT64_MAX, &link), 4);
    for (int i = 0; i < 4; i++)
        steps[i].delay = NAN;
    steps[1].wait_s = 0.5, steps[3].wait_s = 1; /* the exchange was awaited without a network, too: the longer counts */
    expect_near(dn_record_link_s(&record, UINT64_MAX, &link), 4 + 2 * 4 - 0.5 - 1);
    expect_near(dn_record_link_s(&record, UINT64_MAX, &(dn_link){.latency_s = 0.05, .bytes_per_s = 1000}), 4); /* 0.2 + 0.2 s */
    expect_near(dn_record_link_s(&record, UINT64_MAX, &dn_links[0].link), 4);
    steps[3].hops = NAN; /* of a version that counted none */
    assert_true(isnan(dn_record_link_s(&record, UINT64_MAX, &link)));
    steps[1].val_loss = 3;
    steps[0].val_loss = steps[2].val_loss = NAN;
    steps[3].val_loss = 2;
    assert_int_equal(dn_record_reaches(&record, 3), 2);
    assert_int_equal(dn_record_reaches(&record, 2.5), 4);
    assert_int_equal(dn_record_reaches(&record, 1), 0);
}

/* Two seeds of four versions, in 5 and 10 s each: clients get 10 bytes for each, and send 1, 2, 3 and 4. */
static void bytes_of_clients_are_summed_and_their_seconds_are_virtual(void **state)
{
    dn_contender *a = make_contender(1, 2);
    char *text;
    size_t bytes;
    c.n_clients = 6;
    c.n_steps = 2;
    a->n_steps = 4;
    strcpy(a->strategy, "fedavg");
    for (size_t k = 0; k < 2; k++) {
        fill(&a->trials[k], 4, 0.5, 1, 1000, 3 + (double)k);
        for (size_t i = 0; i < 4; i++) {
            dn_record_step *x = &a->trials[k].record.steps[i];
            x->client_bytes_down = 10;
            x->client_bytes_up = (double)(i + 1);
            x->virtual_s = (double)(5 * (k + 1) * (i + 1));
        }
    }
    dn_comparison_judge(&c);
    expect_near(a->client_bytes_down, 40);
    expect_near(a->client_bytes_up, 10);
    expect_near(a->virtual_s, 30);
    expect_near(c.target, 3.53);
    assert_int_equal(a->reached, 4);
    expect_near(a->reached_s, 20); /* of the first seed */
    assert_false(dn_comparison_uses(&c, DN_DP)); /* of workers */
    dn_curve curve;
    assert_int_equal(dn_curve_make(&c, a, 2, &curve), DN_OK);
    for (size_t i = 0; i < 2; i++) {
        expect_near(curve.x[DN_CURVE_SECOND][i], i == 0 ? 15 : 30);
        expect_near(curve.x[DN_CURVE_BYTE][i], i == 0 ? 23 : 50);
    }
    dn_curve_free(&curve);
    text = read_page();
    assert_non_null(strstr(text, "<td>4</td><td>40 B</td><td>10 B</td><td>30</td><td>20</td></tr>"));
    assert_non_null(strstr(text, "aria-label=\"validation loss by virtual second\""));
    assert_null(strstr(text, "four networks"));
    free(text);
    FILE *out = open_memstream(&text, &bytes);
    dn_comparison_print(&c, out);
    fclose(out);
    assert_non_null(strstr(text, "2 trainings of each of 6 clients"));
    free(text);
    lose(&a->trials[1], 2);
    dn_comparison_judge(&c);
    assert_true(isnan(a->client_bytes_up));
    expect_near(a->virtual_s, 30);
}

static void the_front_is_what_no_other_beats_in_both(void **state)
{
    static const double x[] = {5, 1, 3, 3, NAN, 2, 9}, y[] = {1, 4, 2, 3, 0, 4, 1};
    size_t front[7];
    assert_int_equal(dn_pareto_front(x, y, 7, front), 3);
    assert_int_equal(front[0], 1);
    assert_int_equal(front[1], 2);
    assert_int_equal(front[2], 0);
}

static void outer_rates_have_edges_too_and_other_seeds_run_at_the_best(void **state)
{
    dn_contender *a = make_contender(9, 2);
    a->n_outer = 3;
    a->seeds_at_best = true;
    for (size_t i = 0; i < 9; i++)
        fill(&a->trials[2 * i], 10, 0.1, 1, 1, i == 4 ? 3 : i == 5 ? 2.9 : 4);
    dn_comparison_judge(&c);
    assert_int_equal(a->chosen, 5); /* inner in the middle, outer at its end */
    assert_int_equal(a->best, 9);   /* its other seed is missing */
    assert_true(dn_contender_runs(a, 2, 11) && !dn_contender_runs(a, 2, 9));
    fill(&a->trials[11], 10, 0.1, 1, 1, 3.3);
    dn_comparison_judge(&c);
    assert_int_equal(a->best, 5);
    assert_true(a->at_edge);
    expect_near(a->val_loss.mean, 3.1);
    a->trials[10].end = DN_TRIAL_DIVERGED;
    fill(&a->trials[9], 10, 0.1, 1, 1, 3.1);
    dn_comparison_judge(&c);
    assert_int_equal(a->best, 4);
    assert_false(a->at_edge);
    expect_near(c.target, a->val_loss.mean + 0.03);
}

TESTS(report_comparison)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_run_ends_open_done_or_diverged),
        TEST(the_best_has_the_lowest_mean_over_seeds_and_all_its_runs),
        TEST(one_learning_rate_is_no_edge_and_one_seed_has_no_deviation),
        TEST(where_nothing_ends_well_there_is_no_best),
        TEST(times_are_medians_without_warm_up_and_bytes_are_means),
        TEST(a_curve_of_all_steps_is_the_record),
        TEST(a_shorter_curve_averages_stretches_and_loses_no_second_or_byte),
        TEST(records_are_read_to_a_torn_line_and_gaps_are_nan),
        TEST(what_depends_on_lines_that_are_missing_is_unknown),
        TEST(seeds_are_laid_over_each_other_by_steps),
        TEST(ranks_are_named_as_people_write_them),
        TEST(ticks_are_round_and_about_as_many_as_asked_for),
        TEST(a_plot_leaves_out_what_is_not_finite_and_scales_to_its_edges),
        TEST(bands_lie_below_all_lines),
        TEST(a_narrow_logarithmic_axis_has_a_tick_beside_each_of_its_values),
        TEST(numbers_below_a_logarithmic_axis_do_not_touch_on_a_phone),
        TEST(the_page_shows_validation_on_its_way_and_no_column_of_nothing),
        TEST(time_on_a_link_is_computation_and_what_exceeds_the_overlap),
        TEST(bytes_of_clients_are_summed_and_their_seconds_are_virtual),
        TEST(the_front_is_what_no_other_beats_in_both),
        TEST(outer_rates_have_edges_too_and_other_seeds_run_at_the_best),
        TEST(a_plot_of_nothing_or_of_one_point_is_still_a_plot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
