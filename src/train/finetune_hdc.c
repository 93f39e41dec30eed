/* Labels by hyperdimensional computing (hdc/learn.h): the encoders of texts, the rounds, and what they cost. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/human.h"
#include "base/random.h"
#include "base/size.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "hdc/encode.h"
#include "hdc/learn.h"
#include "shm/limits.h"
#include "train/finetune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The random stream of projections; those of parameters are their numbers. */
#define PROJECTION_STREAM (UINT64_C(0x70726f6a) << 24)

/* Of this worker: the rows of its clients or, without clients, a part of all. */
typedef struct hdc {
    dn_finetune_run *run;
    uint32_t *rows; /* [n]: n_train to learn from, then such that are held out */
    size_t n, n_train, D;
    dn_hdc_encoder encoder;
    uint64_t *h;        /* [n, words]: of each row, in the order of rows */
    int32_t *predicted; /* [n] */
    dn_hdc_classes classes, changes;
    size_t more; /* bytes that the encoder takes besides */
} hdc;

static const dn_labelled *row_of(const hdc *x, size_t i)
{
    return &x->run->labels.rows[x->rows[i]];
}

static uint64_t *vector_of(const hdc *x, size_t i)
{
    return x->h + i * x->encoder.n_words;
}

/* The system promises more than there is, and ends who then touches it. */
static dn_status ask_memory(const hdc *x, size_t bytes)
{
    uint64_t room = dn_limits_memory("");
    char need[24], have[24];
    return bytes <= room ? DN_OK
                         : dn_fail(DN_ERR_MEMORY,
                                   "%zu hypervectors of %zu signs and %zu classes take %s, and %s are available: use fewer "
                                   "--dimensions, or fewer texts",
                                   x->n, x->D, x->run->labels.n_classes, dn_human_size((double)bytes, need, sizeof need),
                                   dn_human_size((double)room, have, sizeof have));
}

/* Sums, or least numbers, of all workers. */
static dn_status of_all(const hdc *x, double *numbers, size_t n, dn_op op)
{
    return x->run->comm ? dn_comm_all_reduce_scalars(x->run->comm, numbers, n, op) : DN_OK;
}

static void show_life(const hdc *x, size_t i)
{
    if (x->run->comm && i % 64 == 0) {
        dn_status status = dn_comm_tick(x->run->comm, 0, "encoding");
        (void)status; /* the next collective has it */
    }
}

/* ---- encoders of all rows ---- */

static dn_status encode_ngrams(hdc *x)
{
    for (size_t i = 0; i < x->n; i++) {
        show_life(x, i);
        dn_hdc_ngrams(&x->encoder, row_of(x, i)->text, row_of(x, i)->n, vector_of(x, i));
    }
    return DN_OK;
}

/* numbers [room] of a row, apart by commas, blanks or tabs; returns how many there are, SIZE_MAX: it holds something else. */
static size_t read_numbers(const dn_labelled *row, double *numbers, size_t room)
{
    char text[64];
    size_t n = 0;
    for (size_t at = 0, length; at < row->n; at += length + 1) {
        for (length = 0; at + length < row->n && !memchr(", \t\r", row->text[at + length], 4);)
            length++;
        if (length == 0)
            continue;
        char *end = text;
        double value = 0;
        if (length < sizeof text) {
            memcpy(text, row->text + at, length);
            text[length] = 0;
            value = strtod(text, &end);
        }
        if (end != text + length || !isfinite(value))
            return SIZE_MAX;
        if (n < room)
            numbers[n] = value;
        n++;
    }
    return n;
}

/* numbers [n, width] of all rows; the range of the first n_train. */
static dn_status read_records(const hdc *x, double *numbers, size_t width, double *low, double *high)
{
    *low = INFINITY;
    *high = -INFINITY;
    for (size_t i = 0; i < x->n; i++) {
        if (read_numbers(row_of(x, i), numbers + i * width, width) != width)
            return dn_fail(DN_ERR_DATA, "%s:%zu: not a record of %zu numbers, as its first line", x->run->what->labels,
                           (size_t)x->rows[i] + 1, width);
        for (size_t k = 0; k < width && i < x->n_train; k++) {
            *low = fmin(*low, numbers[i * width + k]);
            *high = fmax(*high, numbers[i * width + k]);
        }
    }
    double range[2] = {*low, -*high};
    DN_TRY(of_all(x, range, 2, DN_MIN));
    *low = range[0];
    *high = -range[1];
    return DN_OK;
}

static dn_status encode_records(hdc *x)
{
    size_t width = read_numbers(&x->run->labels.rows[0], NULL, 0);
    double low = 0, high = 0;
    if (width == 0 || width == SIZE_MAX || width > DN_HDC_BUNDLE_MAX)
        return dn_fail(DN_ERR_DATA, "%s:1: not a record of numbers, apart by commas or blanks", x->run->what->labels);
    x->more = dn_size_mul(dn_size_mul(x->n, width), sizeof(double));
    DN_TRY(ask_memory(x, x->more));
    double *numbers = calloc(x->n + 1, dn_size_mul(width, sizeof *numbers));
    dn_status status = numbers ? read_records(x, numbers, width, &low, &high)
                               : dn_fail(DN_ERR_MEMORY, "no memory for %zu records of %zu numbers", x->n, width);
    for (size_t i = 0; i < x->n && status == DN_OK; i++)
        dn_hdc_record(&x->encoder, numbers + i * width, width, low, high, vector_of(x, i));
    free(numbers);
    return status;
}

/* projected [B,D] = y phi^T of a micro-batch from row `at` on, y the model's outputs at the last tokens. */
static dn_status project(hdc *x, size_t at, size_t B, const dn_buf *phi, dn_buf *on_device, dn_real *projected)
{
    dn_finetune_run *run = x->run;
    dn_stream *s = run->model.stream;
    size_t C = run->model.plan.spec.C, T;
    const dn_buf *y;
    dn_labelled_batch(&run->texts, x->rows + at, B, run->inputs, run->targets, &T);
    dn_model_set_length(run->model.instance.model, T);
    DN_TRY(dn_model_classify(run->model.instance.model, run->inputs, run->targets, B, run->scores, &y));
    s->kernels->gemm(s, DN_N, DN_T, B, x->D, C, 1, y, C, phi, C, 0, on_device, x->D);
    dn_download(s, projected, on_device, B * x->D);
    DN_TRY(dn_stream_sync(s));
    for (size_t i = 0; i < B * x->D; i++)
        if (!isfinite(projected[i]))
            return dn_fail(DN_ERR_NUMERIC, "line %zu of the labels: the model's output is not finite; its weights are damaged",
                           (size_t)x->rows[at + i / x->D] + 1);
    for (size_t b = 0; b < B; b++)
        dn_hdc_signs(&x->encoder, projected + b * x->D, vector_of(x, at + b));
    return DN_OK;
}

/* The signs of a random projection phi [D,C] of the frozen model's outputs. */
static dn_status encode_features(hdc *x)
{
    dn_loaded_model *m = &x->run->model;
    size_t C = m->plan.spec.C, most = m->plan.micro_batch, n = dn_size_mul(x->D, dn_max(C, most));
    void *phi = NULL, *on_device = NULL;
    DN_TRY(ask_memory(x, dn_size_mul(n, 3 * sizeof(dn_real))));
    dn_real *host = calloc(n, sizeof *host);
    x->more = dn_size_add(3 * n * sizeof *host, m->plan.arena_bytes + m->plan.private_bytes);
    dn_status status = host ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for a projection to %zu signs", x->D);
    if (status == DN_OK)
        status = dn_device_alloc(m->stream, n * sizeof *host, &phi);
    if (status == DN_OK)
        status = dn_device_alloc(m->stream, n * sizeof *host, &on_device);
    if (status == DN_OK) {
        dn_random_normal(x->encoder.seed, PROJECTION_STREAM, 0, x->D * C, 1, host);
        dn_upload(m->stream, phi, host, x->D * C);
        status = dn_stream_sync(m->stream);
    }
    for (size_t at = 0; at < x->n && status == DN_OK; at += most)
        status = project(x, at, dn_min(x->n - at, most), phi, on_device, host);
    dn_device_free(m->stream, phi, n * sizeof *host);
    dn_device_free(m->stream, on_device, n * sizeof *host);
    free(host);
    return status;
}

typedef dn_status encode_fn(hdc *x);

static const struct {
    const char *name;
    encode_fn *encode;
} encoders[] = {{"ngram", encode_ngrams}, {"record", encode_records}, {"features", encode_features}};

/* ---- learning ---- */

/* Of the encoder, all hypervectors and what is predicted of them, sums and their changes. */
static size_t bytes_of(const hdc *x)
{
    size_t one = dn_hdc_words(x->D) * sizeof *x->h + sizeof *x->predicted,
           sums = dn_size_mul(x->run->labels.n_classes, x->D * sizeof *x->classes.sums);
    return dn_size_add(dn_size_add(dn_hdc_encoder_bytes(x->D), dn_size_mul(x->n, one)), dn_size_mul(2, sums));
}

static dn_status judge(hdc *x, double *accuracy)
{
    size_t n_test = x->n - x->n_train;
    double right = 0;
    dn_hdc_predict_all(&x->classes, vector_of(x, x->n_train), n_test, x->predicted);
    for (size_t i = 0; i < n_test; i++)
        right += x->predicted[i] == row_of(x, x->n_train + i)->class;
    DN_TRY(of_all(x, &right, 1, DN_SUM));
    *accuracy = right / (double)x->run->n_test;
    return DN_OK;
}

/* Changes of all workers are added to the classes, divided by a number. */
static dn_status merge(hdc *x, int32_t divisor)
{
    if (x->run->comm)
        DN_TRY(dn_comm_all_reduce(x->run->comm, x->changes.sums, x->changes.n * x->D, DN_I32, DN_SUM, DN_TRAFFIC_DELTA));
    dn_hdc_merge(&x->classes, &x->changes, divisor);
    dn_hdc_settle(&x->classes);
    memset(x->changes.sums, 0, x->changes.n * x->D * sizeof *x->changes.sums);
    return dn_finetune_pass_on(x->run);
}

static dn_status retrain(hdc *x, int32_t round)
{
    dn_hdc_predict_all(&x->classes, x->h, x->n_train, x->predicted);
    for (size_t i = 0; i < x->n_train; i++)
        if (x->predicted[i] != row_of(x, i)->class) {
            dn_hdc_add(&x->changes, (size_t)row_of(x, i)->class, 1, vector_of(x, i));
            dn_hdc_add(&x->changes, (size_t)x->predicted[i], -1, vector_of(x, i));
        }
    return merge(x, round);
}

/* Of all clients, each way, for sums and for each round of changes. */
static void count(const hdc *x, int32_t rounds, dn_finetuned *out)
{
    out->loss = NAN;
    out->n_trained = x->classes.n * x->D;
    out->bytes = out->n_trained * sizeof *x->classes.sums;
    out->memory = bytes_of(x) + x->more;
    if (x->run->partition) {
        out->n_rounds = (uint64_t)rounds + 1;
        out->exchanged = 2 * (double)out->n_rounds * (double)x->run->n_clients * (double)out->bytes;
    }
}

static dn_status learn(hdc *x, encode_fn *encode, dn_finetuned *out)
{
    int32_t rounds = (int32_t)x->run->what->rounds;
    double started = dn_clock_s(), judging;
    DN_TRY(encode(x));
    for (size_t i = 0; i < x->n_train; i++)
        dn_hdc_add(&x->changes, (size_t)row_of(x, i)->class, 1, vector_of(x, i));
    DN_TRY(merge(x, 1));
    judging = dn_clock_s();
    DN_TRY(judge(x, &out->at_once));
    judging = dn_clock_s() - judging;
    for (int32_t round = 1; round <= rounds; round++) {
        DN_TRY(retrain(x, round));
        if (x->run->progress)
            x->run->progress((uint64_t)round, (uint64_t)rounds, NAN, x->run->context);
    }
    out->seconds = dn_clock_s() - started - judging;
    count(x, rounds, out);
    return judge(x, &out->accuracy);
}

/* Clients are dealt to workers in turn; what is held out, and rows of no clients, in parts. */
static dn_status take_rows(hdc *x)
{
    const dn_finetune_run *run = x->run;
    dn_range part = dn_shard_range(run->n_train, 1, run->n_workers, run->rank), test = dn_shard_range(run->n_test, 1, run->n_workers, run->rank);
    x->rows = calloc(run->labels.n, sizeof *x->rows);
    if (!x->rows)
        return dn_fail(DN_ERR_MEMORY, "no memory for the order of %zu texts", run->labels.n);
    for (size_t i = part.first; i < part.end && !run->partition; i++)
        x->rows[x->n_train++] = run->rows[i];
    for (int client = run->rank; run->partition && client < run->n_clients; client += run->n_workers)
        for (size_t i = 0; i < dn_partition_rows(run->partition, client); i++)
            x->rows[x->n_train++] = run->by_client[dn_partition_row(run->partition, client, i)];
    x->n = x->n_train;
    for (size_t i = test.first; i < test.end; i++)
        x->rows[x->n++] = run->rows[run->n_train + i];
    return DN_OK;
}

static dn_status open(hdc *x)
{
    size_t K = x->run->labels.n_classes;
    DN_TRY(take_rows(x));
    DN_TRY(ask_memory(x, bytes_of(x)));
    DN_TRY(dn_hdc_open(x->D, (uint64_t)x->run->config.seed, &x->encoder));
    DN_TRY(dn_hdc_classes_open(x->D, K, &x->classes));
    DN_TRY(dn_hdc_classes_open(x->D, K, &x->changes));
    x->h = calloc(x->n + 1, x->encoder.n_words * sizeof *x->h);
    x->predicted = calloc(x->n + 1, sizeof *x->predicted);
    return x->h && x->predicted ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for %zu hypervectors of %zu signs", x->n, x->D);
}

/* NULL: there is none of that name. */
static encode_fn *encoder_of(const dn_finetuning *what)
{
    for (size_t i = 0; i < sizeof encoders / sizeof *encoders; i++)
        if (strcmp(encoders[i].name, what->encoder) == 0)
            return encoders[i].encode;
    return NULL;
}

dn_status dn_finetune_hdc_check(const dn_finetuning *what)
{
    if (!encoder_of(what))
        return dn_fail(DN_ERR_CONFIG, "there is no encoder '%s': use one of %s", what->encoder, DN_FINETUNE_ENCODERS);
    if (what->dimensions < 1 || what->dimensions > DN_HDC_D_MAX || what->rounds < 0 || what->rounds > 1000000)
        return dn_fail(DN_ERR_CONFIG, "dimensions are from 1 to %d, rounds from 0 to 1000000", DN_HDC_D_MAX);
    return DN_OK;
}

dn_status dn_finetune_hdc(dn_finetune_run *run, dn_finetuned *out)
{
    const dn_finetuning *what = run->what;
    hdc x = {.run = run, .D = (size_t)what->dimensions};
    /* A text changes a class by 1 at most, in round r by 1/r: 1 + 1/2 + ... < 1 + log(rounds). */
    if ((double)run->labels.n * (2 + log((double)dn_max(what->rounds, 1))) > DN_HDC_SUM_MAX)
        return dn_fail(DN_ERR_DATA, "%s: %zu texts and %d rounds: the sums would not fit; use fewer --rounds, or fewer texts",
                       what->labels, run->labels.n, (int)what->rounds);
    dn_status status = open(&x);
    if (status == DN_OK)
        status = learn(&x, encoder_of(what), out);
    dn_hdc_close(&x.encoder);
    dn_hdc_classes_close(&x.classes);
    dn_hdc_classes_close(&x.changes);
    free(x.rows);
    free(x.h);
    free(x.predicted);
    return status;
}
