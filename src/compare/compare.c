/* The comparison as a whole: which runs are missing, making them, telling what came out. */
#include "compare/compare.h"

#include "base/atomic_file.h"
#include "base/clock.h"
#include "base/fail.h"
#include "base/lock.h"
#include "base/output.h"
#include "dionode/blas.h"
#include "dionode/topo.h"
#include "dionode/version.h"
#include "report/progress.h"
#include "train/plan.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

typedef struct comparing {
    dn_config common; /* options->config on its mesh, for n_steps */
    dn_comparison found;
    size_t n_runs, n_open; /* there are; of them to be made */
    size_t number;         /* of the run going on among those to be made, from 1 */
    uint64_t done;         /* steps of the runs before it */
    const char *now;       /* what it is */
    dn_lock lock;          /* of the folder, from before it is looked into to the end */
    dn_progress progress;
} comparing;

dn_compare_options dn_compare_defaults(void)
{
    dn_compare_options o = {.n_seeds = 1, .output = "runs/compare"};
    dn_config_init(&o.config);
    return o;
}

/* ---- before ---- */

/* The mesh is written down, so that the runs mean the same on another machine. */
static dn_status settle_mesh(comparing *c, int n_workers)
{
    int asked = n_workers;
    dn_topo *topo;
    dn_plan plan;
    if (!asked)
        DN_TRY(dn_plan_mesh(&c->common, &asked));
    DN_TRY(dn_topo_create(asked, &topo));
    dn_status status = dn_plan_make(&c->common, dn_topo_n_workers(topo), &plan);
    if (status == DN_OK) {
        char processor[128];
        dn_topo_processor(processor, sizeof processor);
        snprintf(c->found.machine, sizeof c->found.machine, "%s, %d workers x %d threads", processor,
                 plan.n_workers, dn_topo_place(topo, 0)->n_threads);
        c->found.n_workers = plan.n_workers;
        memcpy(c->found.mesh, plan.mesh, sizeof c->found.mesh);
        c->common.dp_size = plan.mesh[DN_DP];
        c->common.fs_size = plan.mesh[DN_FS];
        c->common.tp_size = plan.mesh[DN_TP];
    }
    dn_topo_destroy(&topo);
    return status;
}

/* Visits all trials in the order in which they are made. */
static dn_status each_trial(comparing *c, dn_status (*visit)(comparing *, dn_contender *, dn_trial *, void *),
                            void *context)
{
    for (size_t i = 0; i < c->found.n_contenders; i++) {
        dn_contender *contender = &c->found.contenders[i];
        for (size_t k = 0; k < contender->n_lrs * c->found.n_seeds; k++)
            DN_TRY(visit(c, contender, &contender->trials[k], context));
    }
    return DN_OK;
}

static dn_status look_at(comparing *c, dn_contender *contender, dn_trial *trial, void *context)
{
    (void)context;
    dn_config config;
    dn_compare_config(&c->common, &c->found, contender, trial, &config);
    DN_TRY(dn_trial_look(trial, &config));
    c->n_runs++;
    c->n_open += trial->end == DN_TRIAL_OPEN;
    return DN_OK;
}

static dn_status prepare(const dn_compare_options *o, comparing *c)
{
    DN_TRY(dn_compare_expand(o, &c->found));
    c->common = o->config;
    c->common.num_iterations = (int64_t)c->found.n_steps;
    c->common.stop_after = 0;
    DN_TRY(settle_mesh(c, o->n_workers));
    c->found.config = dn_config_dump(&c->common);
    if (!c->found.config)
        return dn_fail(DN_ERR_MEMORY, "no memory for the configuration's text");
    c->found.version = dn_version();
    c->found.command = o->command ? o->command : "";
    DN_TRY(dn_dir_make(o->output));
    DN_TRY(dn_lock_take(o->output, &c->lock));
    return each_trial(c, look_at, NULL);
}

/* ---- the runs ---- */

static void show(uint64_t step, void *context)
{
    comparing *c = context;
    char text[DN_PROGRESS_TEXT];
    snprintf(text, sizeof text, "run %zu/%zu: %s", c->number, c->n_open, c->now);
    uint64_t made = step > 0 ? step - 1 : 0,
             most = c->found.n_steps - 1; /* what follows the last counts as it */
    dn_progress_show(&c->progress, c->done + (made < most ? made : most), text);
}

static void tell_end(comparing *c, const dn_trial *trial, double seconds)
{
    char time[32];
    dn_human_time(seconds, time, sizeof time);
    if (trial->end == DN_TRIAL_DONE)
        dn_progress_line(&c->progress, "run %zu/%zu: %s: validation loss %.4f after %s", c->number, c->n_open,
                         c->now, trial->record.steps[trial->record.n - 1].val_loss, time);
    else
        dn_progress_line(&c->progress, "run %zu/%zu: %s: %s: %s", c->number, c->n_open, c->now,
                         trial->end == DN_TRIAL_DIVERGED ? "diverged" : "failed", trial->message);
}

static dn_status make_run(comparing *c, dn_contender *contender, dn_trial *trial, void *context)
{
    int *signal_out = context;
    char name[64], now[128];
    dn_config config;
    if (trial->end != DN_TRIAL_OPEN || *signal_out)
        return DN_OK;
    dn_compare_config(&c->common, &c->found, contender, trial, &config);
    snprintf(now, sizeof now, "%s, lr %g, seed %lld", dn_contender_name(contender, name, sizeof name),
             trial->lr, (long long)trial->seed);
    c->now = now;
    c->number++;
    show(0, c);
    double started = dn_clock_s();
    DN_TRY(dn_trial_run(trial, &config, show, c, signal_out));
    if (*signal_out)
        return DN_OK;
    tell_end(c, trial, dn_clock_s() - started);
    c->done += c->found.n_steps;
    show(0, c);
    return DN_OK;
}

/* Between two runs nobody listens for signals: they wait for the next run, which then stops at once. */
static dn_status make_runs(comparing *c, int *signal_out)
{
    sigset_t stop, before;
    sigemptyset(&stop);
    sigaddset(&stop, SIGINT);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGHUP);
    sigaddset(&stop, SIGUSR1);
    dn_progress_begin(&c->progress, stderr, 0, c->n_open * c->found.n_steps);
    sigprocmask(SIG_BLOCK, &stop, &before);
    dn_status status = each_trial(c, make_run, signal_out);
    sigprocmask(SIG_SETMASK, &before, NULL);
    dn_progress_end(&c->progress);
    if (status == DN_OK && *signal_out)
        fprintf(stderr, "stopped with %zu of %zu runs made; the same command goes on from there\n",
                c->n_runs - c->n_open + c->number - 1, c->n_runs);
    return status;
}

/* ---- after ---- */

static dn_status check_any(const comparing *c)
{
    for (size_t i = 0; i < c->found.n_contenders; i++)
        if (c->found.contenders[i].best < c->found.contenders[i].n_lrs)
            return DN_OK;
    return dn_fail(DN_ERR_NUMERIC, "with no optimizer and learning rate did all runs come to their end: give "
                                   "lower ones (--lr), or see log.txt in the runs' folders");
}

static dn_status tell(const dn_compare_options *o, comparing *c, FILE *table)
{
    char path[DN_PATH_MAX + 32];
    size_t used = strlen(c->found.machine);
    const char *blas = dn_blas_describe(); /* what follows the comma is of this process, not of the workers */
    snprintf(c->found.machine + used, sizeof c->found.machine - used, ", %.*s", (int)strcspn(blas, ","),
             blas);
    dn_comparison_judge(&c->found);
    dn_comparison_print(&c->found, table);
    snprintf(path, sizeof path, "%s/compare.html", o->output);
    const char *html = o->html ? o->html : path;
    DN_TRY(dn_comparison_write_html(&c->found, html));
    if (o->json)
        DN_TRY(dn_comparison_write_json(&c->found, o->json));
    fprintf(stderr, "the page is %s\n", html);
    DN_TRY(dn_flush(table));
    return check_any(c);
}

dn_status dn_compare(const dn_compare_options *options, FILE *table, int *signal_out)
{
    comparing c = {.number = 0};
    *signal_out = 0;
    dn_status status = prepare(options, &c);
    if (status == DN_OK && c.n_open < c.n_runs)
        fprintf(stderr, "%zu of %zu runs are there already\n", c.n_runs - c.n_open, c.n_runs);
    if (status == DN_OK && c.n_open > 0)
        status = make_runs(&c, signal_out);
    if (status == DN_OK && !*signal_out)
        status = tell(options, &c, table);
    dn_lock_release(&c.lock);
    dn_comparison_free(&c.found);
    return status;
}
