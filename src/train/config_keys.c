/* The table of configuration keys, but for options of rules (optim/option.h) and strategies (strategy/option.h). Names and defaults are those of
 * microsoft/dion's train.py where it has them. */
#include "dionode/config.h"

#include "compute/activation.h"
#include "compute/kernels.h"
#include "device/devices.h"
#include "model/architectures.h"
#include "optim/rule.h"
#include "optim/rules.h"
#include "optim/schedule.h"
#include "pipe/ratios.h"
#include "pipe/schedule.h"
#include "strategy/option.h"
#include "strategy/strategies.h"
#include "shard/weights.h"
#include "train/config_value.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#define OPTIONS "" /* placeholder for the options of rules, or of strategies, by field */

#define FIELD(field) offsetof(dn_config, field)
/* Behind the range: help and role, which is DN_KEY_TRAINING if left out. */
#define INT(name_, initial_, min_, max_, ...)                                                                \
    {                                                                                                        \
        .name = #name_, .type = DN_KEY_INT, .offset = FIELD(name_), .initial = initial_, .min = min_,         \
        .max = max_, .help = __VA_ARGS__                                                                     \
    }
#define REAL(name_, initial_, min_, max_, ...)                                                               \
    {                                                                                                        \
        .name = #name_, .type = DN_KEY_REAL, .offset = FIELD(name_), .initial = initial_, .min = min_,        \
        .max = max_, .help = __VA_ARGS__                                                                     \
    }
#define BOOL(name_, initial_, ...)                                                                           \
    {                                                                                                        \
        .name = #name_, .type = DN_KEY_BOOL, .offset = FIELD(name_), .initial = initial_, .max = 1,           \
        .help = __VA_ARGS__                                                                                  \
    }
#define TEXT(name_, initial_, choices_, ...)                                                                 \
    {                                                                                                        \
        .name = #name_, .type = DN_KEY_TEXT, .offset = FIELD(name_), .initial = initial_,                     \
        .choices = choices_, .room = sizeof((dn_config *)0)->name_, .help = __VA_ARGS__                       \
    }

/* Within their ranges no values overflow where they are used, alone or together: steps times sequences per
 * step fit 64 bits, and integers up to EXACT are exact as double. */
#define STEPS     1e12
#define SEQUENCES (1 << 24)
#define EXACT     1e15

static const dn_key keys[] = {
    TEXT(architecture, "gpt", DN_ARCHITECTURE_NAMES, "model architecture", DN_KEY_MODEL),
    INT(model_dim, "768", 1, 1 << 16, "model width C", DN_KEY_MODEL),
    INT(n_layer, "12", 1, 1 << 10, "transformer blocks between embedding and head", DN_KEY_MODEL),
    INT(n_head, "6", 1, 1 << 16, "attention heads; must divide model_dim unless head_dim is given",
        DN_KEY_MODEL),
    INT(n_kv_head, "null", 1, 1 << 16,
        "key/value heads (grouped-query attention); must divide n_head; null = n_head", DN_KEY_MODEL),
    INT(head_dim, "null", 2, 1 << 12, "dimension of a head, even; null = model_dim / n_head", DN_KEY_MODEL),
    INT(mlp_dim, "null", 1, 1 << 20, "hidden width of the MLP; null = the architecture's", DN_KEY_MODEL),
    REAL(rope_theta, "null", 1, 1e12, "base of rotary position embeddings; null = the architecture's",
         DN_KEY_MODEL),
    REAL(norm_eps, "null", 1e-30, 1, "epsilon of norms; null = the architecture's", DN_KEY_MODEL),
    TEXT(rope_scaling, "null", NULL,
         "scaling of rotary frequencies: linear:FACTOR or llama3:FACTOR,LOW,HIGH,POSITIONS; null = none",
         DN_KEY_MODEL),
    REAL(rotary_fraction, "null", 1e-3, 1,
         "fraction of a head's dimensions that are rotated; null = the architecture's", DN_KEY_MODEL),
    INT(attention_window, "null", 1, 1 << 20,
        "sliding window of attention, in positions; null = all earlier ones", DN_KEY_MODEL),
    INT(max_positions, "null", 1, 1 << 24,
        "longest sequence of the model, rows of learned positions in gpt2; null = sequence_length"),
    TEXT(activation, "null", DN_ACTIVATION_NAMES, "activation function of the MLP; null = the architecture's",
         DN_KEY_MODEL),
    TEXT(parallel_residual, "null", "true|false",
         "attention and MLP of a block read the same input; null = the architecture's", DN_KEY_MODEL),
    TEXT(tie_embeddings, "null", "true|false", "head and embedding share weights; null = the architecture's",
         DN_KEY_MODEL),
    BOOL(attention_bias, "false", "biases on the q, k, v and o projections", DN_KEY_MODEL),
    BOOL(mlp_bias, "false", "biases in the MLP", DN_KEY_MODEL),
    INT(vocab_size, "50304", 1, 1 << 24, "tokens in the vocabulary (256 for bytes)", DN_KEY_MODEL),
    INT(sequence_length, "1024", 1, 1 << 20, "tokens per sequence T"),

    INT(batch_size, "512", 1, SEQUENCES, "sequences per step, over all workers"),
    INT(device_batch_size, "64", 1, SEQUENCES,
        "sequences per micro-batch of a worker; gradients of several are accumulated"),
    INT(num_iterations, "5000", 1, STEPS, "steps of the run"),
    INT(stop_after, "0", 0, STEPS, "save and stop after this step, as on Ctrl-C; 0 = never", DN_KEY_CONDUCT),

    REAL(lr, "0.02", 0, 1e6, "base learning rate"),
    REAL(warmup_ratio, "0.01", 0, 1,
         "fraction of the run with linear warm-up of the learning rate (not with schedule constant)"),
    REAL(warmdown_ratio, "0.2", 0, 1,
         "fraction of the run with linear decay of the learning rate, at its end (schedule trapezoid)"),
    TEXT(schedule, "trapezoid", DN_SCHEDULE_NAMES,
         "of the learning rate: constant; or, after warm-up, decay to 0 over the whole run (linear, cosine), "
         "or constant "
         "and then decay to 0 (trapezoid)"),
    TEXT(weight_decay_schedule, "constant", DN_SCHEDULE_NAMES,
         "of weight decay, which is multiplied by the learning rate besides"),

    TEXT(optimizer, DN_MATRIX_RULE, DN_RULE_NAMES, "rule for hidden matrices"),
    TEXT(scalar_opt, DN_SCALAR_RULE, DN_SCALAR_RULE_NAMES, "rule for embedding, head and vectors"),
    BOOL(split_heads, "false",
         "the matrix rule steps each attention head's part of c_q, c_k and c_v as a matrix of its own"),
    BOOL(mixed_precision, "false",
         "microsoft/dion's key: Dion's states in bfloat16, as state_precision says"),
    BOOL(use_polar_express, "false",
         "microsoft/dion's key: newton_schulz polar_express where its script has coefficients of its own"),
    TEXT(groups, "null", NULL,
         "[{match: GLOB, rule:, lr_scale:, weight_decay:, fraction:}, ...]: settings by parameter name; the "
         "first "
         "match applies"),
    INT(lora_rank, "null", 1, 1 << 12, "adapters of this rank (LoRA) beside matrices are trained, and no weights but those of "
        "trainable; null = none", DN_KEY_MODEL),
    REAL(lora_alpha, "null", 1e-6, 1e6, "they are multiplied by lora_alpha / lora_rank; null = lora_rank", DN_KEY_MODEL),
    TEXT(lora_targets, "null", NULL, "[GLOB, ...]: which matrices have one, as q_proj or mlp.*; null = all of the blocks",
         DN_KEY_MODEL),
    TEXT(trainable, "null", NULL, "[GLOB, ...]: only parameters whose names match are trained; null = all"),
    {.name = OPTIONS, .offset = FIELD(optim)},

    INT(dp_size, "null", 1, DN_MAX_RANKS,
        "data-parallel replicas; null = number of workers / (pp_size fs_size tp_size)"),
    INT(pp_size, "null", 1, DN_MAX_RANKS, "stages of a pipeline, each with some of the layers; null = 1"),
    INT(fs_size, "null", 1, DN_MAX_RANKS,
        "workers that weights and states of a replica are fully sharded over; null = 1"),
    INT(tp_size, "null", 1, DN_MAX_RANKS, "tensor-parallel workers, which split every layer; null = 1"),
    TEXT(fs_gather, "in_place", DN_WEIGHTS_POLICY_NAMES,
         "weights of other fs workers: read in place, or copied once per NUMA domain or worker"),
    TEXT(device, DN_DEVICE_DEFAULT, DN_DEVICE_NAMES,
         "what workers compute on; fake: host memory that behaves like an accelerator's, for tests",
         DN_KEY_CONDUCT),
    BOOL(device_debug, "false", "cuda: wait for each kernel, so that an error names the one that made it; slow", DN_KEY_CONDUCT),
    TEXT(precision, "float", DN_PRECISION_NAMES,
         "of layers' products in training: float; mixed: of operands rounded to bfloat16, added in float, by a GPU or a processor with "
         "AVX512_BF16; emulated: the same without such instructions, slowly"),
    TEXT(strategy, "null", DN_STRATEGY_NAMES,
         "what replicas exchange, and when; null = as replicate_mesh_grad_sync says"),
    {.name = OPTIONS, .offset = FIELD(strategy_options)},
    INT(clients, "null", 1, 1 << 16, "virtual clients that train by a strategy of clients (fedavg, ...), on any number of workers"),
    INT(local_steps, "null", 1, STEPS, "steps of a client on a version of the weights, batch_size sequences each; null = as many as its rows fill"),
    TEXT(partition, "iid", NULL, "which rows clients have: iid (dealt in turn), by_file (files dealt in turn; by_label of labelled texts), "
         "dirichlet:A (uneven parts of each file or label, the more so the smaller A)"),
    TEXT(clock, "virtual", NULL, "when clients are done: virtual (client_speeds, client_links), real (when they are, each on a worker of its own; "
         "tickets.log beside checkpoints tells the order), replay:FILE (as in such a log)"),
    TEXT(client_speeds, "null", NULL, "tokens a second of the clients in turn, as 2000,500, in virtual time; null = 1000"),
    TEXT(client_links, "null", NULL, "links of the clients in turn, as 100Mbit:20ms,5Mbit:100ms, in virtual time; null = messages take no time"),
    TEXT(link_dp, "null", NULL,
         "emulated network between replicas, as 1Gbit:5ms: exchanges over dp take as long as on it; null = "
         "none",
         DN_KEY_CONDUCT),
    TEXT(link_pp, "null", NULL,
         "the same between stages of a pipeline: one link for all boundaries, or one for each, separated by commas; null = none"),
    TEXT(pp_times, "null", NULL,
         "E,B,H: how many seconds the embedding, a block and the head take for a micro-batch, as dionode topo --measure prints them: the "
         "model is cut into stages by these; null = by flops"),
    TEXT(pp_link_times, "null", NULL,
         "how many seconds a micro-batch's numbers take over each boundary of stages (one for all, or one for each, separated by commas), as "
         "dionode topo --measure prints them: for the cut, and channel topk; null = of link_pp, or else of shared memory"),
    TEXT(pipeline, "1f1b", DN_PIPELINE_NAMES,
         "stages go back with all micro-batches of a step before it ends (1f1b), or with some of them in the next one, through the weights "
         "with which they went forward (async)"),
    TEXT(channel, "dense", DN_CHANNEL_NAMES,
         "what of a position's numbers goes over a boundary of stages: dense: all; threshold: those that reach a quantile; topk: the largest, "
         "the fewer the slower the link"),
    REAL(channel_quantile, "0.95", 0, 1, "threshold: part of a position's numbers that is below"),
    REAL(channel_ratio, "10", 1, 1 << 16, "topk: by what factor the slowest link's bytes are fewer"),
    TEXT(link_across, "null", NULL, "the same between islands of replicas (strategy daso); null = as link_dp",
         DN_KEY_CONDUCT),
    INT(hash_every, "100", 0, STEPS,
        "steps between checks that replicas hold equal weights; 0 = only at the end", DN_KEY_CONDUCT),
    REAL(timeout_s, "60", 0.1, 1e6, "seconds without progress after which a worker counts as hung",
         DN_KEY_CONDUCT),

    TEXT(init_from, "null", NULL,
         "initial weights and keys of the model from a run, a checkpoint, a Hugging Face folder or llm.c's .bin; "
         "lr, if it is not given, is a twentieth of the rule's then: 0.001 with dion"),
    TEXT(model, "null", NULL,
         "a config.json of Hugging Face, or its folder, with all keys of the model; weights are random", DN_KEY_CONDUCT),
    TEXT(data_dir, "data/fineweb10B", NULL, "folder of *train*.bin and *val*.bin token shards"),
    TEXT(train_files, "null", NULL, "glob of training files instead (shards, or any file as bytes)"),
    TEXT(val_files, "null", NULL, "glob of validation files instead"),
    TEXT(data_format, "shards", "shards|uint16",
         "of these files: llm.c shards or plain bytes, told apart by content; or uint16 tokens without a "
         "header, as nanoGPT's"),
    BOOL(shuffle, "true", "shuffle training sequences anew each epoch; false = file order"),
    INT(val_loss_every, "125", 0, STEPS,
        "steps between validations, the first before step 1; 0 = only at the end"),
    INT(val_tokens, "131072", 0, EXACT, "tokens per validation; 0 = none"),
    TEXT(checkpoint_dir, "runs/default", NULL, "the run's folder: metrics.jsonl and checkpoints",
         DN_KEY_CONDUCT),
    BOOL(checkpoint_gather, "false",
         "checkpoint_dir is the first node's: other nodes, which have a folder of that name, get its newest checkpoint when a run goes on",
         DN_KEY_CONDUCT),
    BOOL(tensorboard, "false", "also write an event file for TensorBoard", DN_KEY_CONDUCT),
    INT(checkpoint_freq, "0", 0, STEPS, "steps between checkpoints; 0 = only at the end and on Ctrl-C",
        DN_KEY_CONDUCT),
    INT(checkpoint_keep, "2", 1, 1000000,
        "number of newest checkpoints to keep, besides the best by validation loss, best.safetensors",
        DN_KEY_CONDUCT),
    INT(seed, "0", 0, EXACT, "random seed of initial weights, data order and optimizers"),
    {.name = NULL},
};

/* The table above with the options of rules and strategies in their places, their offsets those in dn_config, and the script's names of
 * rules among those of the key `optimizer`. */
static dn_key all[DN_KEYS_MAX + 1];
_Static_assert(sizeof keys / sizeof *keys + DN_OPTIONS_MAX + DN_STRATEGY_KEYS_MAX <= DN_KEYS_MAX,
               "DN_KEYS_MAX has room for all keys");
static size_t first_option, n_options, first_of_strategy, n_of_strategy;
static char optimizers[256] = DN_RULE_NAMES;

static void join(void)
{
    size_t n = 0;
    const dn_key *option;
    for (const dn_key *key = keys; key->name; key++) {
        if (strcmp(key->name, OPTIONS) != 0) {
            all[n++] = *key;
        } else if (key->offset == FIELD(optim)) {
            first_option = n;
            for (; n_options < DN_OPTIONS_MAX && (option = dn_option_at(n_options)); n_options++) {
                char by_rule[4];
                dn_key *to = &all[n++];
                *to = *option;
                to->offset += FIELD(optim);
                dn_config_by_rule(option, by_rule, sizeof by_rule);
                if (*by_rule)
                    to->initial = "null";
            }
        } else {
            first_of_strategy = n;
            for (; n_of_strategy < DN_STRATEGY_KEYS_MAX && (option = dn_strategy_option_at(n_of_strategy));
                 n_of_strategy++) {
                dn_key *to = &all[n++];
                *to = *option;
                to->offset = FIELD(strategy_options) + n_of_strategy * sizeof(dn_option_value);
                to->initial = dn_strategy_initial(option);
            }
        }
    }
    for (size_t i = 0; dn_rule_script(i).name; i++)
        if (strcmp(dn_rule_row(dn_rule_script(i).name)->info.name, dn_rule_script(i).name) != 0) {
            size_t used = strlen(optimizers);
            snprintf(optimizers + used, sizeof optimizers - used, "|%s", dn_rule_script(i).name);
        }
    for (dn_key *key = all; key->name; key++)
        if (key->offset == FIELD(optimizer))
            key->choices = optimizers;
}

const dn_key *dn_config_keys(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, join);
    return all;
}

int dn_config_option(const dn_key *key)
{
    size_t i = (size_t)(key - dn_config_keys()) - first_option;
    return key >= all + first_option && i < n_options ? (int)i : -1;
}

int dn_config_strategy_option(const dn_key *key)
{
    size_t i = (size_t)(key - dn_config_keys()) - first_of_strategy;
    return key >= all + first_of_strategy && i < n_of_strategy ? (int)i : -1;
}
