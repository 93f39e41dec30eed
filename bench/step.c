/*
 * How fast is the optimizer step alone? Each rule on the hidden matrices of a GPT (attention: four C x C a
 * layer, MLP: 4C x C and C x 4C). Before each step the gradients are written anew, as a backward pass would
 * leave them. What it is held against is measured in the same run by the same threads: rules for matrices by
 * their own flops against the best rate of a plain matrix product and of fused multiplications alone, element-wise ones by the bytes they move
 * against triad.
 *
 * With --mesh, workers share the step: first the first of them takes it alone, with the others waiting, then
 * all together. Perfect division makes W times the second equal to the first.
 */
#include "arguments.h"
#include "step_measure.h"

#include "base/fail.h"
#include "compute/kernels.h"
#include "dionode/launch.h"
#include "tensor/axes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LIST = 16, MAX_JOBS = MAX_LIST * MAX_LIST * MAX_LIST };

static const double deadline_s = 600; /* a worker that steps alone makes no progress within a step */

static const step_model models[] = {{"quickstart", 256, 4, 4}, {"160M", 768, 12, 12}, {"1.3B", 2048, 2, 24}};

enum { N_MODELS = sizeof models / sizeof *models };

typedef struct fraction {
    char text[16];
    double value;
} fraction;

typedef struct options {
    step_model own; /* dim 0: the list */
    const step_model *models[MAX_LIST];
    const dn_rule *rules[MAX_LIST];
    fraction fractions[MAX_LIST];
    int n_models, n_rules, n_fractions;
    bool whole_gradients;
    int n_steps, n_threads; /* threads 0: all that this process may use */
    int mesh[DN_N_AXES];    /* all 0: no mesh, this process alone */
} options;

/* ---- rows ---- */

/* What to measure, one after the other, and how each is called. */
typedef struct plan {
    step_job jobs[MAX_JOBS];
    const char *fractions[MAX_JOBS];
    int n;
} plan;

static void add_job(plan *p, const options *o, const step_model *model, const dn_rule *rule,
                    const fraction *f)
{
    p->fractions[p->n] = dn_rule_takes(&rule->info, "ortho_fraction") ? f->text : "-";
    p->jobs[p->n++] = (step_job){.model = model,
                                 .rule = rule,
                                 .fraction = f->value,
                                 .whole_gradients = o->whole_gradients,
                                 .n_steps = o->n_steps};
}

static bool is_muon(const dn_rule *rule)
{
    return strcmp(rule->info.name, "muon") == 0;
}

static void add_rules(plan *p, const options *o, const step_model *model, bool muon)
{
    for (int i = 0; i < o->n_rules; i++) {
        const dn_rule *rule = o->rules[i];
        if (is_muon(rule) != muon)
            continue;
        for (int k = 0; k < (dn_rule_takes(&rule->info, "ortho_fraction") ? o->n_fractions : 1); k++)
            add_job(p, o, model, rule, &o->fractions[k]);
    }
}

/* Of each model Muon first, with which the others are compared. */
static const plan *plan_of(const options *o)
{
    static plan p;
    p.n = 0;
    for (int i = 0; i < (o->own.dim ? 1 : o->n_models); i++) {
        const step_model *model = o->own.dim ? &o->own : o->models[i];
        add_rules(&p, o, model, true);
        add_rules(&p, o, model, false);
    }
    return &p;
}

static void print_head(const options *o, int n_threads)
{
    printf("# %s, %d threads a worker, %s, %d steps\n", dn_blas_describe(), n_threads,
           o->whole_gradients ? "gradients exchanged whole" : "factors exchanged", o->n_steps);
    printf("# limit: the best product, or triad, of the same threads in this run; FMA: their arithmetic alone\n");
    printf("%-10s %5s %7s %-8s %5s %7s %8s %9s %9s %9s %8s %8s %-7s %6s %6s %7s %6s\n", "model", "dim", "layers",
           "rule", "rank", "workers", "Mnumbers", "median ms", "min ms", "max ms", "rate", "limit", "",
           "share", "of FMA", "of Muon", "W t/t1");
}

/* So many workers' Muon on the model that is being measured. */
typedef struct yardstick {
    const step_model *model;
    double seconds;
} yardstick;

static void print_of_muon(const step_job *job, const step_timing *t, yardstick *muon)
{
    if (is_muon(job->rule))
        *muon = (yardstick){job->model, t->median};
    if (muon->model == job->model)
        printf(" %7.3f", t->median / muon->seconds);
    else
        printf(" %7s", "-");
}

static void print_of_fma(const step_timing *t)
{
    if (t->fma > 0)
        printf(" %5.0f%%", 100 * t->work / t->median / t->fma);
    else
        printf(" %6s", "-");
}

/* alone: what the same step took one of the workers; NULL: this is it. */
static void print_row(const plan *p, int i, int n_workers, const step_timing *t, const step_timing *alone,
                      yardstick *muon)
{
    const step_job *job = &p->jobs[i];
    const step_model *m = job->model;
    char layers[32];
    snprintf(layers, sizeof layers, m->layers < m->all_layers ? "%zu/%zu" : "%zu", m->layers, m->all_layers);
    printf("%-10s %5zu %7s %-8s %5s %7d %8.2f %9.2f %9.2f %9.2f %8.1f %8.1f %-7s %4.0f %%", m->name, m->dim,
           layers, job->rule->info.name, p->fractions[i], n_workers, t->n_elements * 1e-6, t->median * 1e3,
           t->fastest * 1e3, t->slowest * 1e3, t->work / t->median * 1e-9, t->limit * 1e-9,
           step_tensors(job->rule) ? "GB/s" : "GFLOP/s", 100 * t->work / t->median / t->limit);
    print_of_fma(t);
    print_of_muon(job, t, muon);
    printf(" %6.2f\n", n_workers * t->median / (alone ? alone : t)->median);
    if (t->n_fallback)
        printf("# of it %d matrices by Householder QR: their columns were dependent to working precision\n",
               t->n_fallback);
    fflush(stdout);
}

/* ---- this process alone ---- */

static const int one[DN_N_AXES] = {1, 1, 1};

static dn_status measure_alone(const step_job *job, dn_stream *stream, dn_comm *world, step_timing *t)
{
    dn_comm *alone;
    DN_TRY(dn_comm_create_alone(step_bytes(job, one), &alone));
    dn_status status = step_measure(job, alone, one, stream, world ? world : alone, t);
    dn_comm_destroy(&alone);
    return status;
}

static dn_status measure_here(const options *o)
{
    dn_stream *stream;
    const plan *p = plan_of(o);
    yardstick muon = {0};
    DN_TRY(dn_stream_create("cpu", o->n_threads, &stream));
    print_head(o, o->n_threads);
    dn_status status = DN_OK;
    for (int i = 0; i < p->n && status == DN_OK; i++) {
        step_timing t;
        status = measure_alone(&p->jobs[i], stream, NULL, &t);
        if (status == DN_OK)
            print_row(p, i, 1, &t, NULL, &muon);
    }
    dn_stream_destroy(&stream);
    return status;
}

/* ---- workers ---- */

/* Collective: the first worker alone, then all. muon [2], for these two. */
static dn_status measure_shared(const options *o, const plan *p, int i, dn_comm *all, dn_stream *stream,
                                yardstick *muon)
{
    const step_job *job = &p->jobs[i];
    step_timing alone = {0}, together;
    if (dn_comm_rank(all) == 0) {
        DN_TRY(measure_alone(job, stream, all, &alone));
        print_row(p, i, 1, &alone, NULL, &muon[0]);
    }
    DN_TRY(dn_comm_barrier(all));
    size_t mark = dn_comm_heap_mark(all);
    DN_TRY(step_measure(job, all, o->mesh, stream, all, &together));
    if (dn_comm_rank(all) == 0)
        print_row(p, i, dn_comm_size(all), &together, &alone, &muon[1]);
    return dn_comm_heap_release(all, mark);
}

static dn_status work(const options *o, dn_comm *all)
{
    dn_stream *stream;
    const char *threads = getenv("OMP_NUM_THREADS");
    const plan *p = plan_of(o);
    yardstick muon[2] = {0};
    DN_TRY(dn_stream_create("cpu", threads ? atoi(threads) : 1, &stream));
    if (dn_comm_rank(all) == 0)
        print_head(o, stream->n_threads);
    dn_status status = DN_OK;
    for (int i = 0; i < p->n && status == DN_OK; i++)
        status = measure_shared(o, p, i, all, stream, muon);
    dn_stream_destroy(&stream);
    return status;
}

static int worker(const options *o)
{
    dn_comm *all;
    dn_status status = dn_comm_join(0, deadline_s, &all);
    if (status == DN_OK)
        status = work(o, all);
    return dn_comm_leave(&all, status);
}

static dn_status launch(const options *o, char **argv)
{
    dn_topo *topo;
    const plan *p = plan_of(o);
    size_t arena = 0;
    for (int i = 0; i < p->n; i++) {
        size_t bytes = step_bytes(&p->jobs[i], o->mesh);
        arena = bytes > arena ? bytes : arena;
    }
    DN_TRY(dn_topo_create(dn_axes_size(o->mesh, DN_ALL_AXES), &topo));
    dn_launch_spec spec = {.topo = topo, .argv = argv, .arena_bytes = arena, .deadline_s = deadline_s};
    dn_status status = dn_launch(&spec, NULL);
    dn_topo_destroy(&topo);
    return status;
}

/* ---- command line ---- */

static const struct argp_option argp_options[] = {
    {"model", 'M', "NAME,...", 0,
     "quickstart, 160M, 1.3B, which is too large here: two of its 24 layers (quickstart,160M)", 0},
    {"dim", 'd', "C", 0, "Width of one model of your own instead", 0},
    {"layers", 'l', "L", 0, "Its layers (12)", 0},
    {"optimizer", 'o', "NAME,...", 0, "what the configuration key optimizer takes (dion)", 0},
    {"fraction", 'f', "F,...", 0, "Rank fractions of dion, dion2 and dion3, as 1,1/2,0.25 (1/4)", 0},
    {"whole-gradients", 'w', NULL, 0, "Replicas exchange gradients, not factors", 0},
    {"steps", 's', "N", 0, "Timed steps, 1 to 1000 (15)", 0},
    {"threads", 't', "N", 0, "Threads (all that this process may use; with --mesh, the plan's)", 0},
    {"mesh", 'm', "dp=D,fs=F,tp=T", 0, "Workers that share the step", 0},
    {0}};

static void add_model(options *o, const char *name)
{
    for (int i = 0; i < N_MODELS; i++)
        if (strcmp(models[i].name, name) == 0) {
            o->models[o->n_models++] = &models[i];
            return;
        }
    bench_wrong("--model: no model '%s'", name);
}

static void add_rule(options *o, const char *name)
{
    const dn_rule *rule = dn_rule_row(name);
    if (rule)
        o->rules[o->n_rules++] = rule;
    else
        bench_wrong("--optimizer: no optimizer '%s'", name);
}

/* A number, or two with a slash between. */
static void add_fraction(options *o, const char *text)
{
    char *end;
    fraction *f = &o->fractions[o->n_fractions++];
    f->value = strtod(text, &end);
    if (*end == '/')
        f->value /= strtod(end + 1, &end);
    if (*end || !(f->value > 0 && f->value <= 1))
        bench_wrong("--fraction: '%s': give more than 0, at most 1", text);
    snprintf(f->text, sizeof f->text, "%s", text);
}

/* A list given takes the place of the one before. */
static void add_each(options *o, int *n, void (*add)(options *, const char *), const char *list)
{
    char copy[256], *rest = copy;
    if (strlen(list) >= sizeof copy)
        bench_wrong("'%s': too long", list);
    snprintf(copy, sizeof copy, "%s", list);
    *n = 0;
    for (char *item; (item = strsep(&rest, ","));) {
        if (*n == MAX_LIST)
            bench_wrong("'%s': more than %d", list, MAX_LIST);
        add(o, item);
    }
}

static error_t parse(int key, char *text, struct argp_state *state)
{
    options *o = state->input;
    if (key == 'M')
        add_each(o, &o->n_models, add_model, text);
    else if (key == 'd')
        o->own.dim = (size_t)bench_integer("--dim", text, 1, 1 << 16);
    else if (key == 'l')
        o->own.layers = o->own.all_layers = (size_t)bench_integer("--layers", text, 1, 1000);
    else if (key == 'o')
        add_each(o, &o->n_rules, add_rule, text);
    else if (key == 'f')
        add_each(o, &o->n_fractions, add_fraction, text);
    else if (key == 'w')
        o->whole_gradients = true;
    else if (key == 's')
        o->n_steps = bench_integer("--steps", text, 1, STEP_MAX_STEPS);
    else if (key == 't')
        o->n_threads = bench_integer("--threads", text, 1, 1024);
    else if (key != 'm')
        return ARGP_ERR_UNKNOWN;
    else if (dn_mesh_parse(text, o->mesh) != DN_OK)
        bench_wrong("%s", dn_error_message());
    return 0;
}

static dn_status run(options *o, char **argv)
{
    if (o->mesh[DN_DP])
        return launch(o, argv);
    if (o->n_threads == 0) {
        dn_topo *topo;
        DN_TRY(dn_topo_create(1, &topo));
        o->n_threads = dn_topo_place(topo, 0)->n_threads;
        dn_topo_destroy(&topo);
    }
    return measure_here(o);
}

int main(int argc, char **argv)
{
    dn_blas_tune(argv);
    options o = {.own = {"own", 0, 12, 12},
                 .models = {&models[0], &models[1]},
                 .n_models = 2,
                 .rules = {dn_rule_row("dion")},
                 .n_rules = 1,
                 .fractions = {{"1/4", 0.25}},
                 .n_fractions = 1,
                 .n_steps = 15};
    static const struct argp argp = {argp_options,
                                     parse,
                                     NULL,
                                     "Times the optimizer step of a GPT's hidden matrices against the peak "
                                     "of matrix products, or of triad.",
                                     0,
                                     0,
                                     0};
    bench_parse(&argp, argc, argv, &o);
    if (dn_launch_is_worker())
        return worker(&o);
    dn_status status = run(&o, argv);
    if (status != DN_OK)
        fprintf(stderr, "%s: %s\n", argv[0], dn_error_message());
    return dn_status_exit(status);
}
