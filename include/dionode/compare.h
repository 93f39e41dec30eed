/**
 * Comparing optimizers and strategies: short training runs on the same corpus and token budget, one after another, and a
 * table and an HTML page of the loss that each reached and of its cost.
 */
#ifndef DIONODE_COMPARE_H
#define DIONODE_COMPARE_H

#include "dionode/config.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lists are comma-separated; a duplicate entry is an error. */
typedef struct dn_compare_options {
    dn_config config;       /* common to all runs */
    const char *optimizers; /* "dion,adamw"; NULL: all choices of the key `optimizer` */
    const char *ranks;      /* "1,1/2,0.25": values of ortho_fraction, for optimizers that have it; NULL: the
                               configuration's */
    const char *const *lrs; /* [n_lrs] learning rates: "0.01,0.02" for all optimizers, or "adamw=0.001,0.002"
                               for one, which takes precedence; default: half, once and twice the
                               optimizer's default */
    size_t n_lrs;
    const char *strategies;        /* "average,local_sgd", or "all", which are those of clients where the configuration has clients,
                                      else those of replicas; NULL: the configuration's strategy, unnamed */
    const char *const *settings;   /* [n_settings] "STRATEGY.KEY=8,32": values of a key of that strategy: so many
                                      contenders more */
    size_t n_settings;
    const char *const *outer_lrs;  /* [n_outer_lrs] "0.4,0.7" for all strategies with the key outer_lr, or "STRATEGY=0.4,0.7":
                                      swept as learning rates are */
    size_t n_outer_lrs;
    bool quick;                    /* an optimizer's default learning rate alone, and at most 150 steps, where none are given */
    int n_seeds;           /* runs with seed, seed + 1, ...; >= 1; with strategies rates are swept with the first, and
                              the best runs with the others */
    int64_t steps, tokens; /* length of each run, one of the two; tokens: rounded up to whole steps; both 0:
                              num_iterations. A step of clients is a training of each, on average: of a strategy that
                              makes a version of few there are more versions */
    int n_workers;         /* 0: the product of the mesh sizes, else one per NUMA domain */
    const char *output;    /* directory of the runs, created if missing */
    const char *json, *html;       /* files; json NULL: none; html NULL: compare.html in output */
    const char *command;           /* command line that the results quote */
} dn_compare_options;

/** No lists, 1 seed, output runs/compare. */
DN_API dn_compare_options dn_compare_defaults(void);

/**
 * Trains the runs that `output` does not hold yet, each with workers that execute this program again as
 * `train RUN/config.yaml` and log to RUN/log.txt; then prints the table to `table` and writes the files.
 * Progress goes to standard error. A complete run of the same configuration is reused, an interrupted one
 * resumes from its checkpoint; complete runs keep no checkpoint. A run that diverges, or whose workers die,
 * hang or run out of memory, is reported as such in the results. *signal_out: the signal that stopped the
 * comparison, in which case there are no results, or 0. Errors: DN_ERR_CONFIG: an invalid list, or a
 * directory that holds another run; the code of the first failure if no run completed; DN_ERR_IO; errors of
 * dn_train that concern all runs. Call as dn_launch.
 */
DN_API dn_status dn_compare(const dn_compare_options *options, FILE *table, int *signal_out) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
