/* `dionode verify`: the launcher, which starts the workers of one precision after the other, and the workers.
 */
#include "base/fail.h"
#include "base/size.h"
#include "base/output.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "device/device.h"
#include "device/place.h"
#include "dionode/launch.h"
#include "dionode/train.h"
#include "launch/nodes.h"
#include "report/json_file.h"
#include "report/progress.h"
#include "tensor/axes.h"
#include "train/alike.h"
#include "train/config_diff.h"
#include "train/config_value.h"
#include "train/verify_case.h"

#include <jansson.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The program in double precision, in the same folder. */
#define DOUBLE_PROGRAM "dionode-f64"

/* Where replicas round their own momenta to bfloat16, in both precisions: two digits of a momentum give four
 * of a weight. */
#define TOLERANCE_APART 1e-4

/* Where products round their operands to bfloat16: sums in another order that lie near a tie there come out a unit apart, 1/256 at
 * most, and what follows from one of them may do so, too. In double no sum lies near enough. */
#define TOLERANCE_MIXED (1.0 / 256)

static const char *const precision_names[] = {"float", "double"};

static int n_ranks_of(const int size[DN_N_AXES])
{
    return size[DN_DP] ? dn_axes_size(size, DN_ALL_AXES) : 0;
}

static int most_ranks(const dn_verification *what)
{
    return n_ranks_of(what->mesh) ? n_ranks_of(what->mesh) : what->max_ranks;
}

static bool has_replicas(const dn_verification *what)
{
    return n_ranks_of(what->mesh) == 0 ? what->max_ranks > 1 : what->mesh[DN_DP] > 1;
}

static dn_verify_case case_of(const dn_config *config, const dn_verification *what)
{
    const dn_strategy *strategy;
    dn_verify_case vcase = {
        .config = dn_verify_case_config(config, most_ranks(what), what->n_steps),
        .n_steps = what->n_steps,
        .by_replicas = what->by_replicas,
        /* replicas round momenta of their own to bfloat16 */
        .apart = !what->by_replicas && has_replicas(what) && config->optim.state_precision == DN_PRECISION_BFLOAT16 &&
                 dn_plan_strategy(config, &strategy) == DN_OK && (strategy->factors || strategy->family == DN_AFTER_RULE)};
    memcpy(vcase.only, what->mesh, sizeof vcase.only);
    return vcase;
}

static dn_status make_case(const dn_config *config, const dn_verification *what, dn_verify_case *vcase)
{
    const dn_strategy *strategy;
    DN_TRY(dn_plan_strategy(config, &strategy));
    *vcase = case_of(config, what);
    return strategy->clients ? dn_verify_case_clients(vcase) : DN_OK;
}

/* A strategy that looks at blocks as they are cut has nothing to be compared with on other meshes. */
static dn_status check_cuts(const dn_config *config, const dn_strategy *strategy)
{
    dn_strategy_config settings;
    dn_config now = *config;
    DN_TRY(dn_config_resolve_strategy(&now, strategy, &settings));
    const char *why = strategy->cut_dependent ? strategy->cut_dependent(&settings) : NULL;
    if (!why)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "strategy %s trains otherwise on other fs and tp, which nothing can be compared with: %s",
                   strategy->name, why);
}

/* Strategies whose replicas do not average gradients are one rank only under some settings. */
static dn_status check_lossless(const dn_config *config, const dn_strategy *strategy, const dn_verification *what)
{
    dn_strategy_config unused;
    char settings[256], changes[600];
    dn_config now = *config, lossless = *config;
    if (strategy->family == DN_ON_WHOLE_MESH || !has_replicas(what))
        return DN_OK;
    const char *as = !strategy->clients                         ? "training on one rank"
                     : strcmp(strategy->name, "fedavg") == 0 ? "training on one rank, on the rows of all clients,"
                                                                  : "fedavg, bit for bit,";
    snprintf(settings, sizeof settings, "%s", strategy->lossless);
    for (char *rest, *one = strtok_r(settings, " ", &rest); one; one = strtok_r(NULL, " ", &rest))
        DN_TRY(dn_config_set(&lossless, one));
    DN_TRY(dn_config_resolve_strategy(&now, strategy, &unused));
    DN_TRY(dn_config_resolve_strategy(&lossless, strategy, &unused));
    if (strategy->lossless_replicas && what->mesh[DN_DP] > strategy->lossless_replicas)
        return dn_fail(DN_ERR_CONFIG, "strategy %s equals %s only with dp of at most %d", strategy->name, as,
                       strategy->lossless_replicas);
    if (dn_config_differences(&now, &lossless, DN_KEY_TRAINING, changes, sizeof changes) == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "strategy %s equals %s only with %s: change %s, or compare with --reference dp", strategy->name, as,
                   strategy->lossless, changes);
}

/* Meshes are numbers of workers of one node; who is done first must not depend on them. */
static dn_status check_clients(const dn_config *config, const dn_strategy *strategy, const dn_verification *what)
{
    int n = n_ranks_of(what->mesh);
    if (n > 0 && n != what->mesh[DN_DP])
        return dn_fail(DN_ERR_CONFIG, "--mesh: strategy %s is of clients, each of which a worker trains alone: give dp only", strategy->name);
    if (what->nodes[0])
        return dn_fail(DN_ERR_CONFIG, "--nodes: strategy %s is of clients, whose workers are on one node", strategy->name);
    if (strcmp(config->clock, "virtual") != 0)
        return dn_fail(DN_ERR_CONFIG, "clock %s: who is done first in real time no second run repeats: verify in virtual time", config->clock);
    return DN_OK;
}

/* Stages that do not wait train by older weights: one rank does the same only if it knows the one mesh, and has one weight for each use. */
static dn_status check_stages(const dn_config *config, const dn_verification *what)
{
    dn_plan plan;
    dn_config c = *config;
    c.dp_size = c.pp_size = c.fs_size = c.tp_size = 0;
    *c.link_pp = *c.pp_link_times = '\0';
    if (strcmp(config->pipeline, "async") != 0 || what->n_steps == 1)
        return DN_OK;
    if (n_ranks_of(what->mesh) == 0 && what->max_stages > 1)
        return dn_fail(DN_ERR_CONFIG, "pipeline async: after its first step a mesh trains by older weights, as many updates as it has stages "
                                      "behind one; compare with one --mesh, whose delays the reference has, or --steps 1");
    DN_TRY(dn_plan_make(&c, 1, &plan));
    if (dn_axis_size(what->mesh, DN_PP) == 1 || !dn_spec_is_tied(&plan.spec))
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "pipeline async: a head that is the embedding is of another age in the last stage than in the first, which "
                                  "one rank cannot compute; compare without tie_embeddings, or --steps 1");
}

static dn_status check_strategy(const dn_config *config, const dn_verification *what)
{
    const dn_strategy *strategy;
    DN_TRY(dn_plan_strategy(config, &strategy));
    if (strategy->clients)
        DN_TRY(check_clients(config, strategy, what));
    DN_TRY(check_stages(config, what));
    if (!what->by_replicas)
        return check_lossless(config, strategy, what);
    return strategy->clients ? DN_OK : check_cuts(config, strategy);
}

/* ---- memory ---- */

static dn_status largest_heap(const dn_verification *what, const dn_verify_case *vcase, size_t *heap)
{
    int n = most_ranks(what);
    *heap = 0;
    for (int dp = 1; dp <= n; dp++) {
        for (int fs = 1; dp * fs <= n; fs++) {
            for (int tp = 1; dp * fs * tp <= n; tp++) {
                for (int pp = 1; dp * fs * tp * pp <= n; pp++) {
                    const int size[DN_N_AXES] = {dp, fs, tp, pp};
                    size_t bytes = 0;
                    bool is_listed = n_ranks_of(what->mesh) == 0 && (pp == 1 || pp <= what->max_stages) &&
                                     (!vcase->of_clients || fs * tp * pp == 1);
                    bool by_replicas = what->by_replicas && !vcase->of_clients;
                    bool is_reference = fs * tp * pp == 1 && dp == (by_replicas ? what->mesh[DN_DP] : 1);
                    if (is_listed || is_reference || dn_axes_same(what->mesh, size))
                        DN_TRY(dn_verify_case_heap_bytes(vcase, size, &bytes));
                    *heap = bytes > *heap ? bytes : *heap;
                }
            }
        }
    }
    return DN_OK;
}

/* Tensors are dealt to the emptiest rank: none holds more than the average and one tensor. */
static dn_status options_of(const dn_verification *what, const dn_verify_case *vcase,
                            dn_verify_options *options)
{
    size_t shown, largest;
    const dn_strategy *strategy;
    DN_TRY(dn_plan_strategy(&vcase->config, &strategy));
    *options = dn_verify_defaults();
    options->max_ranks = most_ranks(what);
    options->by_replicas = what->by_replicas;
    options->max_replicas = what->by_replicas ? 0 : strategy->lossless_replicas;
    options->max_stages = what->max_stages;
    if (vcase->of_clients) {
        options->by_replicas = false;
        options->max_stages = options->max_shards = 1;
    }
    memcpy(options->mesh, what->mesh, sizeof options->mesh);
    DN_TRY(largest_heap(what, vcase, &options->heap_bytes));
    DN_TRY(dn_verify_case_shown_bytes(vcase, &shown, &largest));
    options->reference_bytes = dn_size_add(shown / (size_t)options->max_ranks, largest);
    return DN_OK;
}

/* ---- a worker ---- */

/* Of the file in which the first worker hands its report to the launcher. It has the number of the worker's parent. */
static void path_of(const char *json, const char *precision, pid_t launcher, char path[DN_PATH_MAX])
{
    snprintf(path, DN_PATH_MAX, "%s.%s-%ld.tmp", json, precision, (long)launcher);
}

static dn_status count_links(dn_verify_case *vcase, dn_comm *comm)
{
    dn_topo *topo;
    DN_TRY(dn_topo_create(dn_comm_size(comm), &topo));
    int n_domains = dn_topo_machine(topo)->n_numa, own = dn_topo_place(topo, dn_comm_rank(comm))->numa;
    dn_topo_destroy(&topo);
    if (n_domains < 2)
        return DN_OK;
    vcase->links = calloc((size_t)n_domains * (size_t)n_domains, sizeof *vcase->links);
    if (!vcase->links)
        return dn_fail(DN_ERR_MEMORY, "no memory for the links between %d domains", n_domains);
    vcase->n_domains = n_domains;
    vcase->own_domain = own < 0 ? 0 : own;
    return DN_OK;
}

static void show_links(const dn_verify_case *vcase)
{
    int n = vcase->n_domains;
    char bytes[32];
    printf("Bytes moved in a step: workers of a NUMA domain (row), memory of a domain (column)\n%8s", "");
    for (int to = 0; to < n; to++)
        printf(" %9d", to);
    for (int from = 0; from < n; from++) {
        printf("\n%8d", from);
        for (int to = 0; to < n; to++)
            printf(" %9s", dn_human(vcase->links[from * n + to], "B", bytes, sizeof bytes));
    }
    printf("\n");
}

/* On rank 0, the only one that returns the result: a rank that leaves with an error would end it. */
static dn_status show(const dn_verification *what, const dn_verify_case *vcase,
                      const dn_verify_report *report)
{
    char path[DN_PATH_MAX];
    const char *precision = precision_names[DN_REAL == DN_F64];
    printf("%s precision\n\n", precision);
    dn_verify_print(report, stdout);
    if (vcase->n_domains)
        show_links(vcase);
    printf("\n");
    dn_status printed = dn_flush(stdout); /* reported after the file is written */
    if (what->json) {
        path_of(what->json, precision, getppid(), path);
        DN_TRY(dn_verify_write_json(report, path));
    }
    DN_TRY(printed);
    DN_TRY(dn_verify_status(report));
    if (!what->inject || strcmp(what->inject, "none") == 0)
        return DN_OK;
    return dn_fail(DN_ERR_UNCAUGHT,
                   "the planted bug '%s' was not caught: it has no effect on any mesh of this configuration; "
                   "use more ranks, or "
                   "the keys that it concerns",
                   what->inject);
}

static dn_status compare(const dn_verification *what, dn_verify_case *vcase, dn_comm *comm)
{
    dn_verify_options options;
    dn_verify_report *report = NULL;
    size_t n_links = (size_t)vcase->n_domains * (size_t)vcase->n_domains;
    DN_TRY(options_of(what, vcase, &options));
    options.progress = stderr;
    const bool exact = vcase->of_clients && vcase->of_one.clients > 0; /* the same clients: bit for bit */
    options.rounding = !exact;
    if (vcase->apart)
        options.tolerance = TOLERANCE_APART;
    if (DN_REAL != DN_F64 && strcmp(vcase->config.precision, "float") != 0)
        options.tolerance = TOLERANCE_MIXED;
    if (exact)
        options.tolerance = 0;
    dn_status status = dn_verify_run(comm, &options, dn_verify_case_run, vcase, &report);
    if (status == DN_OK)
        status = dn_comm_all_reduce_scalars(comm, vcase->links, n_links, DN_SUM);
    if (status == DN_OK && dn_comm_rank(comm) == 0)
        status = show(what, vcase, report);
    dn_verify_report_destroy(&report);
    return status;
}

static dn_status work(const dn_config *config, const dn_verification *what, dn_comm *comm)
{
    const char *kernels, *threads = getenv("OMP_NUM_THREADS");
    dn_verify_case vcase;
    DN_TRY(make_case(config, what, &vcase));
    DN_TRY(dn_verify_inject(what->inject ? what->inject : "none"));
    DN_TRY(dn_kernels_of_precision(config->precision, &kernels));
    DN_TRY(dn_stream_create(kernels, threads ? atoi(threads) : 1, &vcase.stream));
    if (vcase.of_clients)
        dn_stream_round_alike(vcase.stream);
    dn_status status = n_ranks_of(what->mesh) ? count_links(&vcase, comm) : DN_OK;
    if (status == DN_OK)
        status = compare(what, &vcase, comm);
    free(vcase.links);
    dn_stream_destroy(&vcase.stream);
    return status;
}

/* Where another launcher started the ranks they do what ours does: check, and size the heap. */
static dn_status plan_rank(const dn_config *config, dn_verification *what, size_t *heap_bytes)
{
    dn_verify_options options;
    if (what->json && !what->nodes[0])
        return dn_fail(DN_ERR_CONFIG, "--json is for ranks that dionode verify starts itself, also with --nodes");
    DN_TRY(dn_comm_world_size(config->timeout_s, &what->max_ranks));
    DN_TRY(check_strategy(config, what));
    dn_verify_case vcase;
    DN_TRY(make_case(config, what, &vcase));
    DN_TRY(options_of(what, &vcase, &options));
    *heap_bytes = dn_verify_heap_bytes(&options, what->max_ranks);
    return DN_OK;
}

static dn_status check_alike(const dn_config *config, const dn_verification *what, dn_comm *comm)
{
    char options[600];
    snprintf(options, sizeof options, "--mesh %d,%d,%d,%d --stages %d --steps %d --reference %s --inject %s", what->mesh[DN_DP],
             what->mesh[DN_PP], what->mesh[DN_FS], what->mesh[DN_TP], what->max_stages, what->n_steps, what->by_replicas ? "dp" : "rank",
             what->inject ? what->inject : "none");
    DN_TRY(dn_alike_settings(config, comm));
    return dn_alike_options(options, comm);
}

int dn_verify_training_worker(const dn_config *config, const dn_verification *given)
{
    dn_verification what = *given;
    dn_comm *comm = NULL;
    size_t heap_bytes = 0; /* the launcher sizes the heap */
    dn_status status = dn_device_select(config->device, config->device_debug);
    if (status == DN_OK && dn_launch_is_rank())
        status = plan_rank(config, &what, &heap_bytes);
    if (status == DN_OK)
        status = dn_comm_join(heap_bytes, config->timeout_s, &comm);
    if (status == DN_OK && dn_launch_is_rank())
        status = check_alike(config, &what, comm);
    if (status == DN_OK && dn_comm_rank(comm) != 0)
        dn_log_set(NULL, NULL); /* warnings are the same on all ranks */
    if (status == DN_OK)
        status = work(config, &what, comm);
    return dn_comm_leave(&comm, status);
}

/* ---- the launcher ---- */

static dn_status find_double(char path[DN_PATH_MAX])
{
    char own[DN_PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", own, sizeof own - 1);
    own[n > 0 ? n : 0] = 0;
    snprintf(path, DN_PATH_MAX, "%.900s/%s", dirname(own), DOUBLE_PROGRAM);
    if (n > 0 && access(path, X_OK) == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG,
                   "no %s, which verifies in double precision: build or install all of Dionode, or use "
                   "--precision float",
                   path);
}

/* Sizes are those of float; double takes twice as much. */
static dn_status launch(const dn_config *config, const dn_verification *what, bool wide, char *const *argv,
                        pid_t *parent, int *signal_out)
{
    dn_verify_case vcase;
    char program[DN_PATH_MAX];
    dn_verify_options options;
    dn_topo *topo;
    DN_TRY(make_case(config, what, &vcase));
    DN_TRY(options_of(what, &vcase, &options));
    if (wide)
        DN_TRY(find_double(program));
    if (what->nodes[0])
        return dn_launch_nodes(what->nodes, wide ? program : NULL, argv, parent);
    *parent = getpid();
    DN_TRY(dn_topo_create(options.max_ranks, &topo));
    dn_device_place(config->device, topo);
    size_t bytes = dn_verify_heap_bytes(&options, options.max_ranks);
    dn_launch_spec spec = {.topo = topo,
                           .program = wide ? program : NULL,
                           .argv = argv,
                           .arena_bytes = wide ? dn_size_mul(2, bytes) : bytes,
                           .deadline_s = config->timeout_s};
    dn_status status = dn_launch(&spec, signal_out);
    dn_topo_destroy(&topo);
    return status;
}

/* Joins the workers' files: {"float": ..., "double": ...}, of those that exist. */
static dn_status join_json(const dn_verification *what, const pid_t parents[2])
{
    json_t *all = json_object();
    for (int i = 0; i < 2; i++) {
        char path[DN_PATH_MAX];
        path_of(what->json, precision_names[i], parents[i], path);
        json_t *one = json_load_file(path, 0, NULL);
        if (one)
            json_object_set_new(all, precision_names[i], one);
        unlink(path);
    }
    return dn_json_file_write(all, 0, what->json);
}

dn_status dn_verify_training(const dn_config *config, const dn_verification *given, char *const *argv,
                             int *signal_out)
{
    dn_verification all = *given, *what = &all;
    dn_status result = DN_OK;
    char message[512] = "";
    pid_t parents[2] = {0};
    *signal_out = 0;
    if (all.nodes[0])
        all.max_ranks = all.nodes[0] * all.nodes[1];
    DN_TRY(check_strategy(config, what));
    for (int wide = 0; wide < 2 && *signal_out == 0; wide++) {
        if (!(wide ? what->in_double : what->in_float))
            continue;
        dn_status status = launch(config, what, wide, argv, &parents[wide], signal_out);
        /* The first failure; a caught difference, as with a planted bug, does not hide another. */
        if (status != DN_OK && status != result && (result == DN_OK || result == DN_ERR_NUMERIC)) {
            result = status;
            snprintf(message, sizeof message, "%s precision: %s", precision_names[wide], dn_error_message());
        }
        if (status != DN_OK && status != DN_ERR_NUMERIC && status != DN_ERR_UNCAUGHT)
            break;
    }
    if (what->json)
        DN_TRY(join_json(what, parents));
    return result == DN_OK ? DN_OK : dn_fail(result, "%s", message);
}
