/**
 * Comparing optimizers: short trainings on one corpus and one token budget, one after another, and a table
 * and a page of what each reached and cost.
 */
#ifndef DIONODE_COMPARE_H
#define DIONODE_COMPARE_H

#include "dionode/config.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Lists are texts with commas between entries; an entry given twice is an error. */
typedef struct dn_compare_options {
    dn_config config;       /* what all runs have in common */
    const char *optimizers; /* "dion,adamw"; NULL: all that the key `optimizer` knows */
    const char *ranks;      /* "1,1/2,0.25": values of ortho_fraction, for optimizers that use it; NULL: the
                               configuration's */
    const char *const *lrs; /* [n_lrs] "0.01,0.02" for all optimizers, or "adamw=0.001,0.002" for one, which
                               goes before; an optimizer without any gets half, once and twice its default */
    size_t n_lrs;
    int n_seeds;                   /* runs with the configuration's seed, that + 1, ...; >= 1 */
    int64_t steps, tokens;         /* of each run, one of them, rounded up to steps; both 0: num_iterations */
    int n_workers;                 /* 0: what the mesh sizes say, else one per NUMA domain */
    const char *output;            /* folder of the runs, made if missing */
    const char *json, *html;       /* files; json NULL: none; html NULL: compare.html in output */
    const char *command;           /* to be told with the results */
} dn_compare_options;

/** Options without lists, 1 seed, in runs/compare. */
DN_API dn_compare_options dn_compare_defaults(void);

/**
 * Makes the runs that `output` does not hold yet, each by workers that execute this program again as `train
 * RUN/config.yaml` with their messages in RUN/log.txt, and writes the table to `table` and the files.
 * Progress goes to standard error. A complete run of the same configuration is not made again, and an
 * interrupted one goes on from its checkpoint; of a complete run no checkpoint is kept. A run that diverges,
 * or whose workers die, hang or lack memory, is told of in the results. *signal_out = the signal that stopped
 * it all, or 0; then there are no results yet. Errors: DN_ERR_CONFIG: lists, or a folder that holds another
 * run; the first failure's code if not one run came to its end; DN_ERR_IO; what dn_train has and is no run's
 * own. Call as dn_launch.
 */
DN_API dn_status dn_compare(const dn_compare_options *options, FILE *table, int *signal_out) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
