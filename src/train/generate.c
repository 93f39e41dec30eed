/*
 * Generation: all samples begin with the same prompt, which is computed once, and then take a token each at a
 * time. Over several workers every rank has all logits and draws the same tokens; rank 0 reads the prompt and
 * writes.
 */
#include "dionode/train.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "device/place.h"
#include "dionode/launch.h"
#include "dionode/tokenizer.h"
#include "formats/hf.h"
#include "train/continuation.h"
#include "train/loaded_model.h"
#include "train/prompt.h"
#include "train/sample.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES = 256 };

/* How long memory is read to see how fast that is. */
#define READ_S 0.1

typedef struct sample {
    dn_continuation text;
    unsigned char *seen; /* [V]: tokens of prompt and text */
    int32_t *tokens;     /* [T+1]: what the cache holds, and the newest one */
    bool ended;
} sample;

typedef struct generation {
    const dn_generation *what;
    const dn_generation_output *output; /* NULL but on rank 0 */
    dn_loaded_model *model;
    dn_comm *comm; /* NULL: alone */
    dn_tokenizer *tokenizer;
    dn_hf_generation folder; /* what a Hugging Face folder says; a run has no such files */
    dn_sampling sampling;    /* complete */
    bool has_text, full;   /* positions were full */
    size_t V, T, words, n; /* words: tokens that may be drawn; n: of each sample, in the cache */
    double few_bytes, many_bytes; /* of weights that a token reads, all but an embedding that is no head: alone or with few
                                     others (DN_MATVEC_ROWS), and with more */
    sample *samples;
    dn_candidates candidates;
    dn_real *logits; /* [n_samples, V]; of those that have not ended */
    dn_generation_stats stats;
} generation;

/* ---- beginning and end ---- */

static dn_status open_tokenizer(generation *g)
{
    DN_TRY(dn_model_tokenizer(g->what->tokenizer, &g->model->plan.config, g->model->foreign, g->model->tokenizer,
                              &g->tokenizer));
    g->has_text = g->tokenizer || g->V <= BYTES;
    g->words = g->tokenizer ? dn_min(g->V, dn_tokenizer_size(g->tokenizer)) : g->V;
    if (g->has_text || (g->what->ids && g->what->n_stops == 0))
        return DN_OK;
    return dn_fail(
        DN_ERR_CONFIG,
        "the model's vocabulary of %zu is not one of bytes: name its tokenizer (--tokenizer), or use --ids",
        g->V);
}

static dn_status open_samples(generation *g)
{
    size_t B = (size_t)g->what->n_samples;
    g->samples = calloc(B, sizeof *g->samples);
    g->logits = calloc(dn_size_mul(B, g->V), sizeof *g->logits);
    if (!g->samples || !g->logits)
        return dn_fail(DN_ERR_MEMORY, "no memory for %zu samples", B);
    for (size_t b = 0; b < B; b++) {
        sample *x = &g->samples[b];
        DN_TRY(dn_continuation_open(&x->text, g->tokenizer, g->what->stops, g->what->n_stops));
        x->seen = calloc(g->V, 1);
        x->tokens = calloc(g->T + 1, sizeof *x->tokens);
        if (!x->seen || !x->tokens)
            return dn_fail(DN_ERR_MEMORY, "no memory for sample %zu", b);
    }
    return dn_candidates_open(&g->candidates, g->V);
}

static void close_samples(generation *g)
{
    for (int b = 0; g->samples && b < g->what->n_samples; b++) {
        dn_continuation_close(&g->samples[b].text);
        free(g->samples[b].seen);
        free(g->samples[b].tokens);
    }
    free(g->samples);
    free(g->logits);
    dn_candidates_close(&g->candidates);
    dn_tokenizer_close(&g->tokenizer);
}

/* ---- output ---- */

/* What a callback returns: it has no line to leave, but errno. */
static dn_status taken(dn_status status)
{
    int error = errno;
    return status == DN_OK ? DN_OK
           : error         ? dn_fail_errno(status, error, "cannot write the output")
                           : dn_fail(status, "cannot write the output");
}

static dn_status write_prompt(const generation *g, const dn_prompt *prompt)
{
    dn_status status = DN_OK;
    for (int b = 0; g->output && b < g->what->n_samples && status == DN_OK; b++)
        status = taken(g->output->token(g->output->context, b, -1, prompt->text, prompt->n_text));
    return status;
}

static dn_status end_sample(generation *g, size_t b, const char *reason)
{
    g->samples[b].ended = true;
    return g->output ? taken(g->output->end(g->output->context, (int)b, reason)) : DN_OK;
}

/* Gives out what is ready of the text, with the token that made it so. */
static dn_status write_text(generation *g, size_t b, int32_t token, size_t ready)
{
    dn_continuation *text = &g->samples[b].text;
    dn_status status =
        g->output ? taken(g->output->token(g->output->context, (int)b, token, text->held, ready)) : DN_OK;
    dn_continuation_drop(text, ready);
    return status;
}

static dn_status finish_text(generation *g, size_t b, int32_t token, const char *reason)
{
    size_t ready = 0;
    if (g->has_text)
        dn_continuation_end(&g->samples[b].text, &ready);
    DN_TRY(write_text(g, b, token, ready));
    return end_sample(g, b, reason);
}

/* ---- tokens ---- */

static dn_status check_logits(const generation *g, const dn_real *logits)
{
    for (size_t i = 0; i < g->V; i++)
        if (!isfinite(logits[i]))
            return g->model->foreign
                       ? dn_fail(DN_ERR_NUMERIC, "%s: the logits of this model are not finite", g->what->run)
                       : dn_fail(DN_ERR_NUMERIC,
                                 "the logits of this model are not finite: its run had diverged by step %llu; use an "
                                 "older checkpoint",
                                 (unsigned long long)g->model->step);
    return DN_OK;
}

static bool ends_text(const generation *g, int32_t token)
{
    for (size_t i = 0; i < g->folder.n_ends; i++)
        if (g->folder.ends[i] == token)
            return true;
    return g->folder.n_ends == 0 && g->tokenizer && token == dn_tokenizer_end(g->tokenizer);
}

/* The drawn token of sample b. over: why it is the last, or NULL. */
static dn_status take(generation *g, size_t b, int32_t token, const char *over)
{
    sample *x = &g->samples[b];
    size_t ready = 0;
    if (ends_text(g, token))
        return finish_text(g, b, token, "end");
    x->seen[token] = 1;
    bool stopped = g->has_text && dn_continuation_add(&x->text, token, &ready);
    if (!stopped && over)
        return finish_text(g, b, token, over);
    DN_TRY(write_text(g, b, token, ready));
    return stopped ? end_sample(g, b, "stop") : DN_OK;
}

/* Whether a text goes on when positions are full: learned ones have no others. */
static bool shifts(const generation *g)
{
    return !g->model->plan.spec.positions && !g->what->no_shift;
}

/* Why token `number` is the last of all samples; NULL: it is not. */
static const char *reason_to_end(generation *g, int64_t number)
{
    if (number + 1 == g->sampling.n_tokens)
        return "length";
    if (g->n < g->T || shifts(g))
        return NULL;
    g->full = true;
    return "positions";
}

/* A token for each sample that goes on; left: those that still do. */
static dn_status draw(generation *g, int64_t number, size_t *left)
{
    const dn_sampling *how = &g->sampling;
    const char *over = reason_to_end(g, number);
    size_t row = 0;
    *left = 0;
    for (size_t b = 0; b < (size_t)g->what->n_samples; b++) {
        sample *x = &g->samples[b];
        if (x->ended)
            continue;
        const dn_real *logits = g->logits + row++ * g->V;
        DN_TRY(check_logits(g, logits));
        int32_t token = dn_sample(&g->candidates, logits, g->words, x->seen, how, b, (uint64_t)number);
        x->tokens[g->n] = token;
        DN_TRY(take(g, b, token, over));
        *left += !x->ended;
        g->stats.tokens += number > 0;
    }
    return DN_OK;
}

static size_t kept_of(const generation *g)
{
    return dn_max(1, g->T / 2);
}

/* All positions are taken: the last half of the tokens begins anew, because rotated keys cannot be moved. */
static dn_status compute_anew(generation *g)
{
    size_t row = 0, kept = kept_of(g);
    g->full = true;
    for (size_t b = 0; b < (size_t)g->what->n_samples; b++) {
        sample *x = &g->samples[b];
        if (x->ended)
            continue;
        memmove(x->tokens, x->tokens + g->n + 1 - kept, kept * sizeof *x->tokens);
        DN_TRY(dn_model_prefill(g->model->instance.model, b, 0, x->tokens, kept, g->logits + row++ * g->V));
    }
    g->n = kept;
    g->stats.decode_bytes += g->many_bytes;
    return DN_OK;
}

static dn_status decode(generation *g)
{
    dn_cache_row rows[DN_CACHE_SEQUENCES_MAX];
    int32_t tokens[DN_CACHE_SEQUENCES_MAX];
    size_t B = 0;
    for (size_t b = 0; b < (size_t)g->what->n_samples; b++)
        if (!g->samples[b].ended) {
            rows[B] = (dn_cache_row){b, g->n};
            tokens[B++] = g->samples[b].tokens[g->n];
        }
    g->n++;
    g->stats.decode_bytes += (B <= DN_MATVEC_ROWS ? g->few_bytes : g->many_bytes) +
                             (double)(B * g->n * dn_model_cached_bytes(g->model->instance.model));
    return dn_model_decode(g->model->instance.model, rows, tokens, B, g->logits);
}

/* A stop that some rank has heard of is all ranks'. */
static dn_status ask_to_stop(const generation *g, bool *stop)
{
    double heard = g->comm ? dn_comm_stop_requested(g->comm) : 0;
    if (g->comm)
        DN_TRY(dn_comm_all_reduce_scalars(g->comm, &heard, 1, DN_MAX));
    *stop = heard != 0;
    return DN_OK;
}

static dn_status begin(generation *g, const dn_prompt *prompt)
{
    dn_model *model = g->model->instance.model;
    DN_TRY(dn_model_prefill(model, 0, 0, prompt->tokens, prompt->n, g->logits));
    for (size_t b = 0; b < (size_t)g->what->n_samples; b++) {
        sample *x = &g->samples[b];
        memcpy(x->tokens, prompt->tokens, prompt->n * sizeof *x->tokens);
        for (size_t i = 0; i < prompt->n; i++) {
            x->seen[prompt->tokens[i]] = 1;
            dn_continuation_skip(&x->text, prompt->tokens[i]);
        }
        if (b == 0)
            continue;
        memcpy(g->logits + b * g->V, g->logits, g->V * sizeof *g->logits);
        DN_TRY(dn_model_fork(model, 0, b));
    }
    g->n = g->stats.prompt_tokens = prompt->n;
    return DN_OK;
}

static dn_status continue_all(generation *g, const dn_prompt *prompt)
{
    double start_s = dn_clock_s(), decode_s = 0;
    size_t left = (size_t)g->what->n_samples;
    bool stop = false;
    DN_TRY(begin(g, prompt));
    DN_TRY(check_logits(g, g->logits));
    DN_TRY(write_prompt(g, prompt));
    g->stats.prefill_s = dn_clock_s() - start_s;
    for (int64_t i = 0; i < g->sampling.n_tokens && left > 0 && !stop; i++) {
        if (i > 0)
            DN_TRY(g->n == g->T ? compute_anew(g) : decode(g));
        DN_TRY(draw(g, i, &left));
        if (i == 0)
            decode_s = dn_clock_s();
        DN_TRY(ask_to_stop(g, &stop));
    }
    g->stats.decode_s = dn_clock_s() - decode_s;
    return DN_OK;
}

/* Behind the text, which on a terminal would be cut in two by it. */
static void tell_of_positions(const generation *g)
{
    if (g->full && !shifts(g))
        dn_log(DN_LOG_INFO, "the model's %zu positions were full%s: the text ended", g->T,
               g->what->no_shift ? "" : ", and it has learned no others");
    else if (g->full)
        dn_log(DN_LOG_INFO,
               "the model's %zu positions were full: it went on from the last %zu tokens, then and whenever they were full again",
               g->T, kept_of(g));
}

static dn_status generate(generation *g)
{
    dn_prompt prompt = {0};
    DN_TRY(open_tokenizer(g));
    DN_TRY(open_samples(g));
    dn_status status = dn_prompt_read(&prompt, g->what, g->tokenizer, &g->model->plan.spec, g->comm);
    if (status == DN_OK)
        status = continue_all(g, &prompt);
    dn_prompt_free(&prompt);
    DN_TRY(status);
    if (g->what->measure)
        g->stats.read_bytes_per_s = dn_read_peak(g->model->stream, READ_S);
    status = g->output ? taken(g->output->done(g->output->context, &g->stats)) : DN_OK;
    tell_of_positions(g);
    return status;
}

static dn_status check(const dn_generation *what)
{
    const dn_sampling *s = &what->sampling;
    const struct {
        const char *name;
        bool right;
    } options[] = {{"n_samples", what->n_samples >= 1 && what->n_samples <= DN_CACHE_SEQUENCES_MAX},
                   {"n_tokens", s->n_tokens >= 0},
                   {"repetition_penalty", !(s->repetition_penalty <= 0)},
                   {"temperature", !(s->temperature < 0)},
                   {"top_k", s->top_k >= -1},
                   {"top_p", !(s->top_p < 0 || s->top_p > 1)},
                   {"min_p", !(s->min_p < 0 || s->min_p > 1)}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!options[i].right)
            return dn_fail(DN_ERR_CONFIG, "%s is out of range", options[i].name);
    for (size_t i = 0; i < what->n_stops; i++)
        if (!*what->stops[i])
            return dn_fail(DN_ERR_CONFIG, "an empty stop string ends every text before it begins");
    return DN_OK;
}

static double first_of(double asked, double in_folder, double otherwise)
{
    return !isnan(asked) ? asked : !isnan(in_folder) ? in_folder : otherwise;
}

/* What was asked for, else what a folder says, else what suits most. */
static dn_sampling complete(dn_sampling asked, const dn_hf_generation *folder)
{
    asked.repetition_penalty = first_of(asked.repetition_penalty, folder->repetition_penalty, 1);
    asked.temperature = first_of(asked.temperature, folder->temperature, 0.8);
    asked.top_k = asked.top_k >= 0 ? asked.top_k : folder->top_k >= 0 ? folder->top_k : 40;
    asked.top_p = first_of(asked.top_p, folder->top_p, 1);
    asked.min_p = first_of(asked.min_p, folder->min_p, 0);
    return asked;
}

static dn_status prepare_weights(generation *g)
{
    bool rounded = false;
    const dn_instance *instance = &g->model->instance;
    g->few_bytes = dn_instance_read_bytes(instance, g->what->weights_bf16);
    g->many_bytes = dn_instance_read_bytes(instance, false);
    if (g->what->weights_bf16)
        DN_TRY(dn_weights_narrow(instance->weights, g->model->plan.spec.tied == DN_YES, &rounded));
    if (rounded)
        dn_log(DN_LOG_INFO, "%s: its weights are not of bfloat16, and are rounded to it", g->what->run);
    return DN_OK;
}

static dn_status run(const dn_generation *what, const dn_generation_output *output, dn_comm *comm)
{
    dn_loaded_model model;
    DN_TRY(check(what));
    dn_status status = dn_loaded_model_generate(&model, what->run, comm, (size_t)what->n_samples, what->cache_bf16);
    generation g = {.what = what, .output = output, .model = &model, .comm = comm};
    g.V = model.plan.spec.V;
    g.T = model.plan.spec.T;
    if (status == DN_OK)
        status = prepare_weights(&g);
    if (status == DN_OK)
        status = dn_hf_read_generation(what->run, &g.folder);
    g.sampling = complete(what->sampling, &g.folder);
    if (status == DN_OK)
        status = generate(&g);
    close_samples(&g);
    dn_loaded_model_close(&model);
    return status;
}

dn_status dn_generate(const dn_generation *what, const dn_generation_output *output)
{
    return run(what, output, NULL);
}

/* ---- several workers ---- */

dn_status dn_generate_launch(const dn_generation *what, int n_workers, char *const *argv, int *signal_out)
{
    dn_plan plan;
    dn_topo *topo;
    DN_TRY(check(what));
    DN_TRY(dn_loaded_model_plan(&plan, what->run, n_workers, (size_t)what->n_samples));
    DN_TRY(dn_topo_create(n_workers, &topo));
    dn_device_place(plan.config.device, topo);
    const dn_launch_spec spec = {.topo = topo,
                                 .argv = argv,
                                 .arena_bytes = dn_size_add(plan.model_bytes, dn_mesh_heap_bytes(plan.mesh)),
                                 .deadline_s = plan.config.timeout_s};
    dn_topo_warn(topo);
    dn_status status = dn_launch(&spec, signal_out);
    dn_topo_destroy(&topo);
    return status;
}

int dn_generate_worker(const dn_generation *what, const dn_generation_output *output)
{
    dn_plan plan;
    dn_comm *comm = NULL;
    dn_status status = dn_loaded_model_plan(&plan, what->run, 1, 1);
    if (status == DN_OK)
        status = dn_device_select(plan.config.device, plan.config.device_debug);
    if (status == DN_OK)
        status = dn_comm_join(0, plan.config.timeout_s, &comm);
    bool first = status == DN_OK && dn_comm_rank(comm) == 0;
    if (status == DN_OK && !first)
        dn_log_set(NULL, NULL); /* what all ranks notice, one tells */
    if (status == DN_OK)
        status = run(what, first ? output : NULL, comm);
    return dn_comm_leave(&comm, status);
}
