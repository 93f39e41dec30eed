/* The plan of a run: all sizes that follow from a configuration, checked before workers start or memory is
 * allocated. */
#ifndef TRAIN_PLAN_H
#define TRAIN_PLAN_H

#include "dionode/config.h"
#include "comm/link.h"
#include "data/partition.h"
#include "model/model.h"
#include "optim/schedule.h"
#include "pipe/links.h"
#include "strategy/engine.h"
#include "train/exchange.h"

/* What fine-tuning on labels adds to a model beside adapters, whose keys are the configuration's. */
typedef struct dn_tuning {
    size_t classes; /* 0: the head predicts tokens */
    size_t prompt;  /* rows of a prefix; 0: none */
    uint64_t unprompted; /* blocks without it, one bit each */
    bool outputs;   /* what blocks put out is kept */
    size_t sherl;   /* the reduction of a side module; 0: none */
} dn_tuning;

enum { DN_CLIENT_KINDS_MAX = 64 };

/* When clients are done: by their speeds and links; by the clock on the wall; as in an earlier run. */
typedef enum dn_client_when { DN_CLOCK_VIRTUAL, DN_CLOCK_REAL, DN_CLOCK_REPLAY } dn_client_when;

/* Clients, under a strategy of these (train/clients.h). */
typedef struct dn_client_plan {
    int n, n_out, quorum; /* tickets that are out at a time, and that make a version: tickets.h */
    uint64_t local_steps; /* of a ticket; 0: as many as take all of the client's rows once */
    dn_partition_rule partition;
    double speeds[DN_CLIENT_KINDS_MAX]; /* [n_speeds] tokens a second; of the clients in turn */
    dn_link links[DN_CLIENT_KINDS_MAX]; /* [n_links] likewise; none: messages take no time */
    int n_speeds, n_links;
    dn_client_when clock;
    char log[DN_KEY_TEXT_MAX]; /* of DN_CLOCK_REPLAY: the file */
} dn_client_plan;

typedef struct dn_plan {
    dn_config config;
    dn_spec spec;
    dn_optim_config optim;
    const dn_strategy *strategy;
    dn_strategy_config strategy_config;
    dn_client_plan clients;
    dn_exchange_choice exchange; /* config.optim.compress is what was chosen */
    dn_schedule_rule lr_schedule, decay_schedule;
    dn_weights_policy gather;
    int n_workers;             /* product of the mesh                                      */
    dn_link link_dp, link_across; /* emulated                                              */
    dn_pipe_links link_pp;          /* emulated, of each boundary of stages                     */
    double link_s[DN_MAX_RANKS];    /* that a micro-batch's numbers take over each              */
    int mesh[DN_N_AXES];
    int stage_mesh[DN_N_AXES]; /* of one stage of a pipeline                               */
    int optim_mesh[DN_N_AXES]; /* of the optimizer: a stage's ranks, or those of one replica there */
    int n_dealt;               /* dp * fs: ranks that the batch is split over              */
    int stage;                 /* that spec and what follows from it describe (dn_plan_enter_stage); -1: the whole model */
    size_t cut[DN_MAX_RANKS];  /* of each stage: the layer behind its last one             */
    double stage_share[DN_MAX_RANKS]; /* of the time of the slowest                        */
    size_t kept[DN_MAX_RANKS]; /* of a position's numbers behind each stage but the last; 0: all (pipe/ratios.h) */
    double flops_per_token;    /* of the whole model                                       */
    size_t n_elements;         /* elements of all parameters of the whole model            */
    size_t n_trained_elements; /* of the trained ones                                      */
    size_t n_params;           /* parameters                                               */
    size_t n_trained;          /* of these: all others are frozen, or borrowed from another stage */
    size_t lowest_unit;        /* where backward passes end (dn_model_lowest)              */
    size_t n_units;            /* units that are unsharded together (model/model.h)        */
    size_t micro_batch;        /* sequences                                                */
    size_t n_slots;            /* of activations                                           */
    bool flows;                /* stages have micro-batches in flight between steps (pipeline async) */
    size_t n_sequences;        /* of a cache (dn_plan_generation); 0: the model trains or is evaluated */
    bool cache_bf16;           /* of a cache: keys and values are bfloat16                 */
    size_t parameter_bytes;    /* per worker: of weights                                   */
    size_t gradient_bytes;     /* per worker: of gradients, and of trained weights         */
    size_t model_bytes;        /* symmetric heap per worker without training               */
    size_t arena_bytes;        /* shared memory per worker in training: of any stage       */
    size_t private_bytes;      /* other memory per worker: activations                     */
} dn_plan;

/** The configuration with the sizes of a mesh. */
dn_config dn_plan_config_on(const dn_config *config, const int size[DN_N_AXES]);

/** Number of workers that a configuration asks for: the product of its mesh sizes; 0: none is given.
 * Errors: DN_ERR_CONFIG (dn_config_check, or more workers than there can be). */
dn_status dn_plan_mesh(const dn_config *config, int *n_workers) DN_MUST_USE;

/** The strategy that the configuration names or, if it names none, that its other keys imply: of factors that are left to
 * be chosen on a mesh, factors. Errors: DN_ERR_CONFIG: contradictory keys. */
dn_status dn_plan_strategy(const dn_config *config, const dn_strategy **out) DN_MUST_USE;

/** The range of a batch of n rows that the worker at coordinates at[] computes: split over dp and fs,
 * replicated over pp and tp. */
dn_range dn_plan_rows(const dn_plan *plan, size_t n, const int at[DN_N_AXES]);

/** Makes the plan that of one stage: spec, parameters, units, slots and bytes are its own from now on, but for arena_bytes, as
 * heaps are symmetric. To be called once. Errors: DN_ERR_MEMORY. */
dn_status dn_plan_enter_stage(dn_plan *plan, int stage) DN_MUST_USE;

/** The specification of one stage of a plan of the whole model. */
dn_spec dn_plan_stage_spec(const dn_plan *plan, int stage);

/** What dn_model_layout fills, of the stage `spec` is, for the rank at[]; and its trained parameters to trained, numbered as in
 * the whole model: random streams do not depend on the cut. Errors: DN_ERR_MEMORY. */
dn_status dn_plan_lay_out(const dn_plan *plan, const dn_spec *spec, const int at[DN_N_AXES], dn_arena *weights, dn_arena *grads,
                          dn_param *params, size_t *unit_of, dn_param *trained) DN_MUST_USE;

/** Micro-batches of a batch of n rows, the same on all workers: as many as the worker with most rows needs.
 */
size_t dn_plan_rounds(const dn_plan *plan, size_t n);

/** Fills *plan for n_workers >= 1. Errors: DN_ERR_CONFIG naming the keys that are out of range or do not fit
 * together; DN_ERR_MEMORY if a size overflows. */
dn_status dn_plan_make(const dn_config *config, int n_workers, dn_plan *plan) DN_MUST_USE;

/** The same of workers that each have all layers, of a model that was trained as `trained` says: its stages' channels are within it. */
dn_status dn_plan_whole(const dn_config *config, const dn_config *trained, int n_workers, dn_plan *plan) DN_MUST_USE;

/** What the channels of a stage to the one before and to the next keep; 0: all, as of the whole model, stage -1. */
void dn_plan_stage_kept(const dn_plan *plan, int stage, size_t kept[2]);

/** Weights of before the last updates that a stage keeps, so many of each. */
size_t dn_plan_stage_stashed(const dn_plan *plan, int stage);

/** The same with what is added to the model. */
dn_status dn_plan_tuning(const dn_config *config, const dn_tuning *tuning, int n_workers, dn_plan *plan) DN_MUST_USE;

/** The same plan for a model that generates n_sequences at once; cache_bf16: with keys and values in bfloat16. */
void dn_plan_generation(dn_plan *plan, size_t n_sequences, bool cache_bf16);

/** The glob of training (or validation) files: the key's, or data_dir, escaped, with the default file names.
 */
#define DN_PATTERN_MAX (2 * DN_PATH_MAX + 16)
void dn_plan_files(const dn_config *config, bool validation, char pattern[DN_PATTERN_MAX]);

/** Opens these files. Errors: as dn_tokens_open. */
dn_status dn_plan_tokens(const dn_config *config, bool validation, dn_tokens **out) DN_MUST_USE;

/** Checks that two tokenizers' hashes are equal or one is unknown (0). Errors: DN_ERR_DATA "what: ...". */
dn_status dn_plan_same_tokenizer(uint64_t one, uint64_t other, const char *what) DN_MUST_USE;

#endif
