/* A comparison: finds the runs that are missing, executes them and reports the results. */
#include "compare/compare.h"

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/lock.h"
#include "base/output.h"
#include "base/printable.h"
#include "base/size.h"
#include "dionode/blas.h"
#include "dionode/topo.h"
#include "dionode/version.h"
#include "report/progress.h"
#include "train/plan.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct comparison {
    dn_config common; /* options->config on its mesh, for n_steps */
    dn_comparison result;
    size_t n_runs, n_open; /* all runs; those still to be made */
    uint64_t open_steps;   /* of these */
    size_t number;         /* of the current run among the open ones, from 1 */
    uint64_t done;         /* steps of the open runs before it */
    uint64_t n_steps;      /* its own */
    const char *now;       /* describes it */
    dn_lock lock;          /* of the output folder */
    dn_progress progress;
} comparison;

dn_compare_options dn_compare_defaults(void)
{
    dn_compare_options o = {.n_seeds = 1, .output = "runs/compare"};
    dn_config_init(&o.config);
    return o;
}

/* ---- preparation ---- */

/* Resolves the mesh, so that the saved configurations mean the same on another machine. */
static dn_status resolve_mesh(comparison *c, int n_workers)
{
    const dn_contender *first = &c->result.contenders[0];
    dn_config config;
    dn_topo *topo;
    dn_plan plan;
    if (!n_workers)
        DN_TRY(dn_plan_mesh(&c->common, &n_workers));
    DN_TRY(dn_topo_create(n_workers, &topo));
    dn_status status = dn_compare_config(&c->common, first, first->trials, &config); /* of clients all name a strategy */
    if (status == DN_OK)
        status = dn_plan_make(&config, dn_topo_n_workers(topo), &plan);
    if (status == DN_OK) {
        char processor[128];
        dn_topo_processor(processor, sizeof processor);
        const int n_threads = dn_topo_place(topo, 0)->n_threads;
        snprintf(c->result.machine, sizeof c->result.machine, "%s, %d worker%s of %d thread%s", processor, plan.n_workers,
                 dn_plural(plan.n_workers), n_threads, dn_plural(n_threads));
        c->result.n_workers = plan.n_workers;
        memcpy(c->result.mesh, plan.mesh, sizeof c->result.mesh);
        c->common.dp_size = plan.mesh[DN_DP];
        c->common.pp_size = plan.mesh[DN_PP];
        c->common.fs_size = plan.mesh[DN_FS];
        c->common.tp_size = plan.mesh[DN_TP];
    }
    dn_topo_destroy(&topo);
    return status;
}

/* Where only the best rates run with all seeds, they are known once all have run with the first one. */
static void count_runs(comparison *c, dn_contender *contender)
{
    size_t n_seeds = c->result.n_seeds, n = contender->n_lrs * n_seeds, n_swept_open = 0, n_open = 0;
    for (size_t k = 0; k < n; k += n_seeds)
        n_swept_open += contender->trials[k].end == DN_TRIAL_OPEN;
    dn_contender_choose(contender, n_seeds);
    bool known = !contender->seeds_at_best || n_swept_open == 0;
    for (size_t k = 0; k < n; k++)
        if (dn_contender_runs(contender, n_seeds, k)) {
            c->n_runs++;
            n_open += contender->trials[k].end == DN_TRIAL_OPEN;
        }
    if (!known) {
        c->n_runs += n_seeds - 1;
        n_open += n_seeds - 1;
    }
    c->n_open += n_open;
    c->open_steps += n_open * contender->n_steps;
}

/* Reads what earlier invocations have done of each run. */
static dn_status prepare(const dn_compare_options *o, comparison *c)
{
    dn_comparison *r = &c->result;
    DN_TRY(dn_compare_expand(o, r));
    c->common = o->config;
    c->common.num_iterations = (int64_t)r->n_steps;
    c->common.stop_after = 0;
    DN_TRY(resolve_mesh(c, o->n_workers));
    r->config = dn_config_dump(&c->common);
    if (!r->config)
        return dn_fail(DN_ERR_MEMORY, "no memory for the configuration's text");
    r->version = dn_version();
    r->command = o->command ? o->command : "";
    DN_TRY(dn_dir_make(o->output));
    DN_TRY(dn_lock_take(o->output, &c->lock));
    for (size_t i = 0; i < r->n_contenders; i++)
        for (size_t k = 0; k < r->contenders[i].n_lrs * r->n_seeds; k++) {
            dn_trial *trial = &r->contenders[i].trials[k];
            dn_config config;
            DN_TRY(dn_compare_config(&c->common, &r->contenders[i], trial, &config));
            DN_TRY(dn_trial_inspect(trial, &config));
        }
    for (size_t i = 0; i < r->n_contenders; i++)
        count_runs(c, &r->contenders[i]);
    return DN_OK;
}

/* ---- the runs ---- */

static void show(uint64_t step, void *context)
{
    comparison *c = context;
    char text[DN_PROGRESS_TEXT];
    snprintf(text, sizeof text, "run %zu/%zu: %.100s", c->number, c->n_open, c->now);
    uint64_t done = step > 0 ? step - 1 : 0; /* the last step stays open until its validation is done */
    dn_progress_show(&c->progress, c->done + dn_min(done, c->n_steps - 1), text);
}

static dn_status make_run(comparison *c, const dn_contender *contender, dn_trial *trial, int *signal_out)
{
    char name[DN_CONTENDER_NAME], now[DN_CONTENDER_NAME + 96], outer[32] = "", time[32];
    dn_config config;
    DN_TRY(dn_compare_config(&c->common, contender, trial, &config));
    if (!isnan(trial->outer_lr))
        snprintf(outer, sizeof outer, ", outer lr %g", trial->outer_lr);
    snprintf(now, sizeof now, "%s, lr %g%s, seed %lld", dn_contender_name(contender, name, sizeof name), trial->lr, outer,
             (long long)trial->seed);
    c->now = now;
    c->n_steps = contender->n_steps;
    c->number++;
    show(0, c);
    double started = dn_clock_s();
    DN_TRY(dn_trial_run(trial, &config, show, c, signal_out));
    if (*signal_out)
        return DN_OK;
    dn_human_time(dn_clock_s() - started, time, sizeof time);
    if (trial->end == DN_TRIAL_DONE)
        dn_progress_line(&c->progress, "run %zu/%zu: %s: validation loss %.4f after %s", c->number, c->n_open,
                         c->now, trial->record.steps[trial->record.n - 1].val_loss, time);
    else
        dn_progress_line(&c->progress, "run %zu/%zu: %s: %s: %s", c->number, c->n_open, c->now,
                         trial->end == DN_TRIAL_DIVERGED ? "diverged" : "failed", trial->message);
    c->done += contender->n_steps;
    show(0, c);
    return DN_OK;
}

/* Signals that arrive between two runs stay pending for the next run, which then stops at once. */
static dn_status make_runs(comparison *c, int *signal_out)
{
    dn_comparison *r = &c->result;
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    sigaddset(&stop, SIGXCPU);
    sigaddset(&stop, SIGUSR1);
    dn_progress_begin(&c->progress, stderr, 0, c->open_steps);
    sigprocmask(SIG_BLOCK, &stop, &before);
    dn_status status = DN_OK;
    for (size_t i = 0; i < r->n_contenders; i++)
        for (int stage = 0; stage < 2; stage++) { /* all rates; then the best with the other seeds */
            dn_contender *contender = &r->contenders[i];
            dn_contender_choose(contender, r->n_seeds);
            for (size_t k = 0; k < contender->n_lrs * r->n_seeds; k++)
                if (status == DN_OK && !*signal_out && contender->trials[k].end == DN_TRIAL_OPEN &&
                    dn_contender_runs(contender, r->n_seeds, k))
                    status = make_run(c, contender, &contender->trials[k], signal_out);
        }
    sigprocmask(SIG_SETMASK, &before, NULL);
    dn_progress_end(&c->progress);
    if (status == DN_OK && *signal_out)
        fprintf(stderr, "stopped with %zu of %zu runs made; run the same command again to resume\n",
                c->n_runs - c->n_open + c->number - 1, c->n_runs);
    return status;
}

/* ---- the report ---- */

static dn_status report(const dn_compare_options *o, comparison *c, FILE *table)
{
    dn_comparison *r = &c->result;
    char path[DN_PATH_MAX + 32];
    size_t used = strlen(r->machine);
    const char *blas = dn_blas_describe(); /* after the comma it describes this process, not the workers */
    snprintf(r->machine + used, sizeof r->machine - used, ", %.*s", (int)strcspn(blas, ","), blas);
    dn_comparison_judge(r);
    dn_comparison_print(r, table);
    snprintf(path, sizeof path, "%s/compare.html", o->output);
    const char *html = o->html ? o->html : path;
    DN_TRY(dn_comparison_write_html(r, html));
    if (o->json)
        DN_TRY(dn_comparison_write_json(r, o->json));
    fprintf(stderr, "wrote %s\n", html);
    DN_TRY(dn_flush(table));
    for (size_t i = 0; i < r->n_contenders; i++)
        if (r->contenders[i].best < r->contenders[i].n_lrs)
            return DN_OK;
    return dn_fail(DN_ERR_NUMERIC,
                   "no optimizer completed all runs of any learning rate: use lower ones (--lr), or see "
                   "log.txt in the runs' folders");
}

dn_status dn_compare(const dn_compare_options *options, FILE *table, int *signal_out)
{
    comparison c = {.number = 0};
    *signal_out = 0;
    dn_status status = prepare(options, &c);
    if (status == DN_OK && c.n_open < c.n_runs)
        fprintf(stderr, "%zu of %zu runs are complete already\n", c.n_runs - c.n_open, c.n_runs);
    if (status == DN_OK && c.n_open > 0)
        status = make_runs(&c, signal_out);
    if (status == DN_OK && !*signal_out)
        status = report(options, &c, table);
    dn_lock_release(&c.lock);
    dn_comparison_free(&c.result);
    return status;
}
