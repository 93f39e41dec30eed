/* The spectrum by which FedPepTAO chooses how many blocks get prompts, against a Hessian that is known in closed form: where the score layer
 * alone is trained, the loss is that of a softmax regression on the frozen outputs y of the texts' last tokens. */
#include "support/tests.h"

#include "support/close.h"
#include "support/model.h"
#include "support/scratch.h"
#include "train/finetune.h"
#include "train/prompt_share.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One batch is not a multiple of a micro-batch. */
enum { CLASSES = 3, TEXTS = 8, MICRO_BATCH = 3, MOMENTS = 4 };

/* Of a folder's model, texts of 1 to 8 bytes that its vocabulary has. */
static void open_run(dn_finetune_run *run)
{
    scratch s;
    char lines[16 * TEXTS];
    size_t n = 0;
    for (int i = 0; i < TEXTS; i++)
        n += (size_t)sprintf(lines + n, "%d\t%.*s\n", i % CLASSES, 1 + i, &"!#$%&'()*+,-./012"[i]);
    assert_true(scratch_make(&s) && scratch_write(&s, "labels", lines, n));
    *run = (dn_finetune_run){.n_workers = 1};
    dn_config_init(&run->config);
    must(dn_labels_read(s.path, &run->labels));
    scratch_remove(&s);
    run->texts.labels = &run->labels;
    must(dn_config_set(&run->config, "optimizer=adamw"));
    snprintf(run->config.init_from, sizeof run->config.init_from, "%s/hf/gpt2", ORACLE_DIR);
    strcpy(run->config.trainable, "[score.weight]");
    run->config.sequence_length = TEXTS;
    run->config.batch_size = run->config.device_batch_size = MICRO_BATCH;
    must(dn_loaded_model_tune(&run->model, &run->config, &(dn_tuning){.classes = CLASSES}, NULL));
    must(dn_labelled_encode(&run->labels, NULL, run->model.plan.spec.V, TEXTS, &run->texts));
    run->inputs = calloc(MICRO_BATCH * TEXTS, sizeof *run->inputs);
    run->targets = calloc(MICRO_BATCH * TEXTS, sizeof *run->targets);
    run->scores = calloc(MICRO_BATCH * CLASSES, sizeof *run->scores);
}

static void close_run(dn_finetune_run *run)
{
    dn_loaded_model_close(&run->model);
    dn_labelled_close(&run->texts);
    dn_labels_close(&run->labels);
    free(run->inputs);
    free(run->targets);
    free(run->scores);
}

/* Outputs y [TEXTS,C] and probabilities p [TEXTS,CLASSES]. */
static void outputs(dn_finetune_run *run, const uint32_t *rows, double *y, double *p)
{
    size_t C = run->model.plan.spec.C, T;
    for (size_t i = 0; i < TEXTS; i++) {
        const dn_buf *last;
        double sum = 0;
        dn_labelled_batch(&run->texts, rows + i, 1, run->inputs, run->targets, &T);
        dn_model_set_length(run->model.instance.model, T);
        must(dn_model_classify(run->model.instance.model, run->inputs, run->targets, 1, run->scores, &last));
        dn_real *host = host_copy(run->model.stream, last, C);
        for (size_t c = 0; c < C; c++)
            y[i * C + c] = (double)host[c];
        free(host);
        for (size_t k = 0; k < CLASSES; k++)
            sum += p[i * CLASSES + k] = exp((double)run->scores[k]);
        for (size_t k = 0; k < CLASSES; k++)
            p[i * CLASSES + k] /= sum;
    }
}

/* out [CLASSES,C] = the mean over texts of (diag(p) - p p^T) V y y^T. */
static void multiply(const double *y, const double *p, size_t C, const double *V, double *out)
{
    memset(out, 0, CLASSES * C * sizeof *out);
    for (size_t i = 0; i < TEXTS; i++, y += C, p += CLASSES) {
        double u[CLASSES] = {0}, mean = 0;
        for (size_t k = 0; k < CLASSES; k++)
            for (size_t c = 0; c < C; c++)
                u[k] += V[k * C + c] * y[c];
        for (size_t k = 0; k < CLASSES; k++)
            mean += p[k] * u[k];
        for (size_t k = 0; k < CLASSES; k++)
            for (size_t c = 0; c < C; c++)
                out[k * C + c] += p[k] * (u[k] - mean) * y[c] / TEXTS;
    }
}

/* Differences over a length of some e^(1/3), e a last bit, are off by its square, and by rounding over it: e^(2/3), 4e-11 in double and
 * 2e-5 in float, of third derivatives and gradients, for which there is a factor of 100. A factor of the Hessian shows to the power k. */
static void the_spectrum_has_the_moments_of_the_hessian_that_is_known(void **state)
{
    (void)state;
    const double tolerance = 100 * pow(DN_REAL_EPS, 2. / 3);
    dn_finetune_run run;
    uint32_t rows[TEXTS];
    open_run(&run);
    size_t C = run.model.plan.spec.C, n = CLASSES * C, n_nodes;
    assert_int_equal(run.model.plan.n_trained_elements, n);
    double *start = calloc(3 * n + TEXTS * (C + CLASSES), sizeof *start), *power = start + n, *next = power + n, *y = next + n,
           *p = y + TEXTS * C, nodes[DN_SHARE_PRODUCTS], weights[DN_SHARE_PRODUCTS], size = 0;
    for (size_t i = 0; i < n; i++)
        start[i] = power[i] = dn_random_bits(3, 0, i) & 1 ? 1 : -1;
    for (uint32_t i = 0; i < TEXTS; i++)
        rows[i] = i;
    outputs(&run, rows, y, p);
    must(dn_prompt_spectrum(&run, rows, TEXTS, start, nodes, weights, &n_nodes));
    for (size_t i = 0; i < n_nodes; i++)
        size = fmax(size, fabs(nodes[i]));
    for (int k = 0; k < MOMENTS; k++) {
        double found = 0, known = 0;
        for (size_t i = 0; i < n_nodes; i++)
            found += weights[i] * pow(nodes[i], k);
        for (size_t i = 0; i < n; i++)
            known += start[i] * power[i] / (double)n;
        assert_close(found, known, tolerance * pow(size, k));
        if (k > 0)
            assert_above(known, 4 * tolerance * pow(size, k)); /* so that a factor of 1.25 would show */
        multiply(y, p, C, power, next);
        memcpy(power, next, n * sizeof *power);
    }
    free(start);
    close_run(&run);
}

TESTS(curvature)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_spectrum_has_the_moments_of_the_hessian_that_is_known)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
