/*
 * The results of a comparison of optimizers, and their output as text, JSON and HTML.
 *
 * A contender is an optimizer at a rank, perhaps under a strategy with settings. It is tried with several learning rates, each with the same seeds; a
 * trial is one run. A contender is represented by the learning rate with the lowest mean final validation
 * loss, among those of which no trial failed. All values come from the trials' metrics.jsonl.
 */
#ifndef REPORT_COMPARISON_H
#define REPORT_COMPARISON_H

#include "report/linktime.h"

#include <stdbool.h>
#include <stdio.h>

typedef enum dn_trial_end {
    DN_TRIAL_OPEN, /* not complete yet */
    DN_TRIAL_DONE,
    DN_TRIAL_DIVERGED, /* NaN, or a loss more than 1 nat above that of the first step */
    DN_TRIAL_FAILED,   /* ended otherwise: a worker died, out of memory */
} dn_trial_end;

typedef struct dn_trial {
    double lr, outer_lr; /* outer_lr NaN: the strategy's default */
    int64_t seed;
    char dir[1024]; /* the run's folder */
    dn_trial_end end;
    char message[512]; /* why it diverged or failed */
    dn_record record;
} dn_trial;

/* Mean and sample standard deviation; the latter is NaN for fewer than two samples. */
typedef struct dn_spread {
    double mean, deviation;
} dn_spread;

typedef struct dn_contender {
    char strategy[24];  /* empty: the configuration's */
    char settings[128]; /* of the strategy: "key=value key=value"; empty: the configuration's */
    char optimizer[16]; /* empty: the strategy takes its place */
    double rank; /* as a fraction of min(rows, cols); 0: the optimizer has none */
    uint64_t n_steps;   /* of each run; of clients, versions that together take as many trainings as the others' */
    size_t n_lrs;       /* rates: inner times outer ones */
    size_t n_outer;     /* of these; at least 1 */
    bool seeds_at_best; /* only the best rate runs with all seeds, the others with the first */
    dn_trial *trials; /* [n_lrs, n_seeds], learning rates ascending; owned */

    /* Filled by dn_comparison_judge. */
    size_t best;        /* index of the best rate; n_lrs: none whose runs are all complete */
    size_t chosen;      /* the best by those that are to run at every rate */
    bool at_edge;       /* its inner or outer rate is the lowest or highest of several: a better one may be outside */
    dn_spread val_loss; /* final, over seeds */
    /* Of the best; mean over seeds of a run's median step, without the first two. */
    double step_s, optimizer_s, tokens_per_s;
    double bytes[DN_RECORD_AXES]; /* a step: mean over all steps of all seeds; NaN if lines of metrics are missing; 0 of clients,
                                     whose workers' exchange is no client's */
    double state_bytes, memory_bytes;
    double hops, cluster_bytes; /* over dp a step: means */
    double link_s[DN_N_LINKS];  /* of the whole run, predicted: mean over seeds */
    double client_bytes_down, client_bytes_up, virtual_s; /* of the whole run of clients: means over seeds */
    uint64_t reached;           /* first step, of the first seed, with the target loss; 0: none */
    double reached_s;           /* virtual seconds of clients until then; NaN: none */
} dn_contender;

typedef struct dn_comparison {
    size_t n_contenders, n_seeds;
    dn_contender *contenders; /* owned */
    bool by_strategy; /* contenders name strategies */
    int n_clients;    /* that train, by strategies of clients; 0: replicas do */
    double target;    /* validation loss to be reached: dn_comparison_judge */
    uint64_t n_steps, step_tokens; /* of clients a step is a training of each, on average */
    int n_workers, mesh[DN_RECORD_AXES];
    const char *version, *command; /* borrowed */
    char machine[256];
    char *config; /* what all runs have in common, as YAML; owned */
} dn_comparison;

void dn_comparison_free(dn_comparison *comparison);

/** Decides how a trial whose metrics are `record` and that met no error has ended. */
void dn_trial_judge(dn_trial *trial, uint64_t n_steps);

/* Above the loss of plain averaging, in nats: what counts as as good. */
#define DN_COMPARISON_SLACK 0.03

/** Fills the second half of every contender from its trials, and the target: the lowest loss of a contender with
 * strategy average, of clients fedavg (of any, if there is none) plus DN_COMPARISON_SLACK. */
void dn_comparison_judge(dn_comparison *comparison);

/** Finds the best rate and its loss; *contender is otherwise unchanged. */
void dn_contender_choose(dn_contender *contender, size_t n_seeds);
/** Whether trial `index` is to be run: all, or the first seed and, at the best rate so far, the others. */
bool dn_contender_runs(const dn_contender *contender, size_t n_seeds, size_t index);

/** Bytes that the whole run of clients took, to them and from them. */
double dn_contender_client_bytes(const dn_contender *contender);

/** Whether any contender exchanges bytes over the axis, or may: NaN. */
bool dn_comparison_uses(const dn_comparison *comparison, int axis);

enum { DN_CONTENDER_NAME = 200 };

/** "dion 1/4", "adamw", "local_sgd muon sync_every=8", "demo". Returns text. */
const char *dn_contender_name(const dn_contender *contender, char *text, size_t bytes);
/** "1", "1/4", "0.3"; "" for 0. Returns text. */
const char *dn_rank_name(double rank, char *text, size_t bytes);
/** Mean and deviation of val_loss over the seeds of a learning rate; NaN unless all trials are done. */
dn_spread dn_contender_loss(const dn_contender *contender, size_t lr, size_t n_seeds);
/** The trial of index `from` or the next one that is not done; NULL: all are. */
const dn_trial *dn_contender_failure(const dn_contender *contender, size_t n_seeds, size_t from);
/** "diverged: why", "failed: why". Returns text. */
const char *dn_trial_message(const dn_trial *trial, char *text, size_t bytes);

/* ---- loss curves of the best runs ---- */

typedef enum dn_curve_by { DN_CURVE_STEP, DN_CURVE_SECOND, DN_CURVE_BYTE, DN_CURVE_N_BY } dn_curve_by;

/* Training loss, averaged over intervals of steps, then over seeds. */
typedef struct dn_curve {
    size_t n;
    double *x[DN_CURVE_N_BY];  /* at the end of an interval, since the start: steps, seconds in steps, bytes
                                  exchanged by one worker over all axes; of clients, virtual seconds and bytes of
                                  all of them; means over seeds. What is summed is NaN if a seed's metrics lack
                                  lines */
    double *loss, *low, *high; /* mean, minimum and maximum over seeds; NaN in an interval without lines */
} dn_curve;

/** The curve of a contender that has a best learning rate, in at most max_points intervals. The caller frees
 * *out, also after a failure. Errors: DN_ERR_MEMORY. */
dn_status dn_curve_make(const dn_comparison *comparison, const dn_contender *contender, size_t max_points,
                        dn_curve *out) DN_MUST_USE;
void dn_curve_free(dn_curve *curve);

/* ---- forms ---- */

/** The table, as text. */
void dn_comparison_print(const dn_comparison *comparison, FILE *out);
/** Everything but the curves. Errors: DN_ERR_IO, DN_ERR_MEMORY. */
dn_status dn_comparison_write_json(const dn_comparison *comparison, const char *path) DN_MUST_USE;
/** A self-contained HTML page. Errors: DN_ERR_IO, DN_ERR_MEMORY. */
dn_status dn_comparison_write_html(const dn_comparison *comparison, const char *path) DN_MUST_USE;

#endif
