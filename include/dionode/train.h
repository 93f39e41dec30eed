/**
 * Training, evaluating and sampling a GPT: the commands of the program, as calls.
 */
#ifndef DIONODE_TRAIN_H
#define DIONODE_TRAIN_H

#include "dionode/config.h"
#include "dionode/mesh.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Launcher's side of a training run: checks configuration, data and memory, starts the workers (n_workers; 0
 * = what the mesh sizes say, else one per NUMA domain) by executing this program again with argv, and waits
 * for their end. The run's folder is locked meanwhile: one that another run works in is DN_ERR_IO. A run
 * directory with checkpoints is resumed; settings that changed are told, another architecture than the
 * checkpoint's is DN_ERR_CHECKPOINT. A worker that dies or hangs is not the end of
 * the run before all workers have been started anew max_restarts times, each time from the newest checkpoint.
 * *signal_out = signal that stopped the run after a checkpoint, or 0. Errors: any code; dn_error_message()
 * has the first cause. Not after OpenMP or BLAS were used in this process.
 */
DN_API dn_status dn_train(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                          int *signal_out) DN_MUST_USE;

/** A worker's side: what a process does for which dn_launch_is_worker() holds. Of all ranks that have joined
 * only the first keeps its log; one that cannot join says so there. Returns main's exit status. */
DN_API int dn_train_worker(const dn_config *config);

/* What dn_evaluate finds. */
typedef struct dn_evaluation {
    double loss;          /* nats a token */
    double bits_per_byte; /* of text; NAN where tokens are not bytes (a vocabulary above 256) */
    uint64_t n_tokens;    /* measured */
    uint64_t step;        /* of the checkpoint */
} dn_evaluation;

/**
 * Mean validation loss (nats a token) of the newest checkpoint in `run` (a run directory or a checkpoint
 * file, as run/best.safetensors), over config's val_tokens (0 = all there are). assignments [n]: "key=value"
 * changes to the configuration stored with the checkpoint (data_dir, val_tokens, ...; not to the architecture).
 * progress (may be NULL) gets tokens done and total. Errors: DN_ERR_NUMERIC weights or a
 * loss that are not finite; others as usual.
 */
DN_API dn_status dn_evaluate(const char *run, const char *const *assignments, size_t n,
                             void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                             dn_evaluation *out) DN_MUST_USE;

/* What to verify of a configuration. */
typedef struct dn_verification {
    int max_ranks;       /* every mesh of up to so many ranks ... */
    int mesh[DN_N_AXES]; /* ... or this one alone; all 0: every one */
    int n_steps;
    bool in_float, in_double;
    const char *inject; /* a sharding bug to plant (dn_verify_inject); NULL or "none": none */
    const char *json;   /* file for all numbers; NULL: none */
} dn_verification;

/**
 * Launcher's side of `dionode verify`: the training steps that config describes, on every mesh, against one
 * rank (dionode/verify.h), in one precision after the other. Workers print the table to standard output. At
 * most one row a rank and 32 tokens a row of random tokens; no data is read. *signal_out as in dn_train.
 * Errors: DN_ERR_NUMERIC something does not hold; DN_ERR_UNCAUGHT a bug was planted and in some precision
 * everything holds (no mesh of this configuration commits it, or nothing shows it); DN_ERR_CONFIG a model
 * that fits no such mesh, an unknown bug, or no program in double precision beside this one; DN_ERR_MEMORY,
 * DN_ERR_IO; of dn_launch.
 */
DN_API dn_status dn_verify_training(const dn_config *config, const dn_verification *what, char *const *argv,
                                    int *signal_out) DN_MUST_USE;

/** A worker's side. Returns main's exit status. */
DN_API int dn_verify_training_worker(const dn_config *config, const dn_verification *what);

typedef struct dn_sampling {
    int64_t n_tokens;   /* to generate */
    double temperature; /* 0 = always the likeliest */
    int64_t top_k;      /* choose among the k likeliest; 0 = all */
    uint64_t seed;
} dn_sampling;

/**
 * Continues prompt (bytes) with the newest checkpoint in `run`. Each new byte is passed to emit at once; the
 * same seed gives the same text. Only models over bytes (vocabulary <= 256) have text.
 * Errors: DN_ERR_CHECKPOINT (none there), DN_ERR_CONFIG (vocabulary over 256, prompt byte beyond it), DN_ERR_NUMERIC
 * (weights or logits that are not finite).
 */
DN_API dn_status dn_generate(const char *run, const char *prompt, const dn_sampling *sampling,
                             void (*emit)(unsigned char byte, void *context), void *context) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
