/**
 * The configuration of a run: a flat YAML file with the keys of microsoft/dion's training script and some of
 * Dionode's own, overridden by key=value arguments. One table (dn_config_keys) defines name, type, default,
 * range and meaning of every key, for files, arguments and documentation alike.
 */
#ifndef DIONODE_CONFIG_H
#define DIONODE_CONFIG_H

#include "dionode/key.h"
#include "dionode/optim.h"
#include "dionode/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DN_PATH_MAX DN_KEY_TEXT_MAX
#define DN_OPTIONS_MAX 48

#define DN_STRATEGY_KEYS_MAX 48
#define DN_KEYS_MAX 192 /* room for all keys of the table */

/* The value of an option of a strategy, by the type of its key. */
typedef union dn_option_value {
    int64_t whole;
    double real;
    bool yes;
    int choice;
} dn_option_value;

typedef struct dn_config {
    /* model */
    char architecture[16];
    int64_t model_dim, n_layer, n_head, vocab_size, sequence_length;
    int64_t n_kv_head, head_dim, mlp_dim; /* 0: not given */
    int64_t max_positions, attention_window; /* 0: not given */
    double rope_theta, norm_eps, rotary_fraction; /* NAN: not given */
    char rope_scaling[DN_KEY_TEXT_MAX], activation[16], parallel_residual[16], tie_embeddings[16]; /* empty: not given */
    bool attention_bias, mlp_bias;
    /* batches, in sequences; length, in steps */
    int64_t batch_size, device_batch_size, num_iterations, stop_after;
    /* learning rate, and weight decay over the run */
    double lr, warmup_ratio, warmdown_ratio;
    char schedule[16], weight_decay_schedule[16];
    /* optimizer */
    char optimizer[16], scalar_opt[16];
    bool split_heads;
    bool mixed_precision, use_polar_express;
    dn_optim_config optim;        /* its options; rules and seed are the fields above and below */
    char groups[DN_KEY_TEXT_MAX]; /* "[{match: '*.attn.*', rule: muon, lr_scale: 0.5}, ...]" */
    char trainable[DN_KEY_TEXT_MAX]; /* "['*.attn.*', ...]"; empty: all */
    int64_t lora_rank;               /* 0: no adapters */
    double lora_alpha;               /* NAN: not given */
    char lora_targets[DN_KEY_TEXT_MAX];
    bool given[DN_OPTIONS_MAX];   /* which options are set, of those whose default depends on the rule
                                     (dn_config_by_rule) */
    /* mesh; 0 = not given */
    int64_t dp_size, pp_size, fs_size, tp_size;
    char fs_gather[16];
    char device[16], precision[16];
    bool device_debug;
    char link_dp[32], link_across[32]; /* empty: none */
    char link_pp[256];
    char pipeline[16], channel[16];
    char pp_times[DN_KEY_TEXT_MAX]; /* "a,b,..."; empty: by flops */
    char pp_link_times[16 * DN_MAX_RANKS]; /* the same; empty: of link_pp, or shared memory */
    double channel_quantile, channel_ratio;
    char strategy[DN_KEY_CHOICE_MAX]; /* empty: not given */
    dn_option_value strategy_options[DN_STRATEGY_KEYS_MAX]; /* of all strategies */
    bool strategy_given[DN_STRATEGY_KEYS_MAX];              /* which are set, of those whose default depends on the strategy */
    int64_t clients, local_steps; /* 0: not given */
    char clock[DN_KEY_TEXT_MAX], partition[DN_KEY_TEXT_MAX], client_speeds[DN_KEY_TEXT_MAX], client_links[DN_KEY_TEXT_MAX]; /* "a,b,..." */
    int64_t hash_every;
    double timeout_s;
    /* data and results */
    char init_from[DN_PATH_MAX], model[DN_PATH_MAX]; /* empty: not given */
    char data_dir[DN_PATH_MAX], train_files[DN_PATH_MAX], val_files[DN_PATH_MAX];
    char data_format[16];
    bool shuffle;
    int64_t val_loss_every, val_tokens;
    char checkpoint_dir[DN_PATH_MAX];
    bool checkpoint_gather, tensorboard;
    int64_t checkpoint_freq, checkpoint_keep;
    int64_t seed;
    bool set[DN_KEYS_MAX]; /* keys that a file or an argument set, if only to the default, in the order of the table: beside
                              init_from or model, others take what these say */
} dn_config;

/** The table of keys, options of rules included; its last entry has name NULL. Static. */
DN_API const dn_key *dn_config_keys(void);

/** The default of an option by rule, as in microsoft/dion's training script: "false; muon, normuon: true", or by strategy:
 * "30; NAME: 50". Empty if all have the same. text [bytes]. */
DN_API void dn_config_by_rule(const dn_key *key, char *text, size_t bytes);

/** Names of the strategies that take an option: "local_sgd, cyclic"; empty for other keys. text [bytes]. */
DN_API void dn_config_strategies(const dn_key *key, char *text, size_t bytes);

/** Sets every key to its default. */
DN_API void dn_config_init(dn_config *config);

/** Reads a YAML file into *config; keys that it leaves out keep their values. Keys of microsoft/dion's
 * training script that do not apply here are logged once. Errors: DN_ERR_CONFIG "file:line: problem, remedy".
 */
DN_API dn_status dn_config_read(dn_config *config, const char *path) DN_MUST_USE;

/** As dn_config_read, from a string; name is the file name in messages. */
DN_API dn_status dn_config_parse(dn_config *config, const char *text, const char *name) DN_MUST_USE;

/** Applies one "key=value". Errors: DN_ERR_CONFIG. */
DN_API dn_status dn_config_set(dn_config *config, const char *assignment) DN_MUST_USE;

/** The configuration as YAML; dn_config_parse reads back the same values. The caller frees it with free(). */
DN_API char *dn_config_dump(const dn_config *config);

#ifdef __cplusplus
}
#endif

#endif
