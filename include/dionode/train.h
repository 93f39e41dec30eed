/**
 * Training, evaluating and sampling a language model, and verifying a training configuration: the commands
 * `dionode train`, `eval`, `generate` and `verify` as functions.
 */
#ifndef DIONODE_TRAIN_H
#define DIONODE_TRAIN_H

#include "dionode/config.h"
#include "dionode/mesh.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Launcher's side of a training run: checks configuration, data and memory, starts n_workers workers (0: the
 * product of the configured mesh sizes, else one per NUMA domain) by executing this program again with argv,
 * and waits for their end. The run directory is locked meanwhile (DN_ERR_IO if another run holds it). If it
 * has checkpoints, the run resumes from the newest; changed settings are logged, another architecture is
 * DN_ERR_CHECKPOINT. When a worker dies or hangs, all workers are restarted from the newest checkpoint, at
 * most max_restarts times. Progress goes to standard error, metrics to metrics.jsonl in the run directory.
 * *signal_out: the signal that stopped the run after a checkpoint, or 0. Errors: any code; dn_error_message()
 * has the first cause. Call as dn_launch: before OpenMP or BLAS are used in this process.
 */
DN_API dn_status dn_train(const dn_config *config, int n_workers, int max_restarts, char *const *argv,
                          int *signal_out) DN_MUST_USE;

/** Worker's side: to be called where dn_launch_is_worker() or dn_launch_is_rank() holds; there rank 0 also does what dn_train
 * does before workers start, and a signal that stops the run is 128 + its number. Of the ranks that have joined, only rank 0
 * keeps its log; a rank that cannot join logs why. Returns the process's exit status. */
DN_API int dn_train_worker(const dn_config *config);

/* The result of dn_evaluate. */
typedef struct dn_evaluation {
    double loss;          /* mean, nats per token */
    double bits_per_byte; /* of text; NAN if the token files do not say how many they stand for */
    uint64_t n_tokens;    /* evaluated: those that count */
    uint64_t step;        /* of the checkpoint */
} dn_evaluation;

/**
 * Mean validation loss of the newest checkpoint in `run` (a run directory, or a checkpoint file such as
 * run/best.safetensors), or of the model of another program (a Hugging Face folder, llm.c's file; step 0), over val_tokens
 * tokens (0: all). assignments [n]: "key=value" changes to the
 * configuration stored with the checkpoint (data_dir, val_tokens, ...; not the architecture, nor what only
 * training uses: DN_ERR_CONFIG). progress (may
 * be NULL) gets tokens done and total. Errors: DN_ERR_CHECKPOINT, DN_ERR_CONFIG, DN_ERR_DATA, DN_ERR_MEMORY;
 * DN_ERR_NUMERIC for weights or a loss that are not finite.
 */
DN_API dn_status dn_evaluate(const char *run, const char *const *assignments, size_t n,
                             void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                             dn_evaluation *out) DN_MUST_USE;

/** Prints how a mesh of size[] would cut the configuration's model into stages: layers, time, link and memory of each. Its
 * sizes of the mesh are not read. Errors: DN_ERR_CONFIG as of a run; DN_ERR_MEMORY. */
DN_API dn_status dn_train_print_stages(const dn_config *config, const int size[DN_N_AXES], FILE *out) DN_MUST_USE;

/**
 * Launcher's side of `dionode topo --measure`: starts the mesh's workers by executing this program again with argv, and waits for their
 * end. They print two keys: pp_times, the seconds that one of them takes for a micro-batch of device_batch_size, forward and back, in the
 * embedding, a block (the first; all are taken to be alike) and the head; and, of several stages, pp_link_times, those of a micro-batch's
 * numbers over each boundary, half of the shortest of some round trips, on the links that link_pp emulates, too. Then the stages as
 * dn_train_print_stages, cut by these. Memory is a model's of as many blocks as there are stages. *signal_out as in dn_train. Errors:
 * DN_ERR_CONFIG as of a run; DN_ERR_MEMORY; those of dn_launch. Call as dn_launch.
 */
DN_API dn_status dn_train_measure_stages(const dn_config *config, const int size[DN_N_AXES], char *const *argv, int *signal_out) DN_MUST_USE;

/** Worker's side. Returns the process's exit status. */
DN_API int dn_train_measure_stages_worker(const dn_config *config, const int size[DN_N_AXES]);

/** Prints a line for each GPU that workers could run on: where it is, and its links to the others. Nothing where there is none, or no
 * module for it. This process holds a GPU from then on: call it when there are no workers any more. */
DN_API void dn_train_print_gpus(FILE *out);

/* What dn_verify_training verifies. */
typedef struct dn_verification {
    int max_ranks;       /* every mesh of at most this many ranks ... */
    int max_stages;      /* ... and so many stages of a pipeline; 0: of one ... */
    int mesh[DN_N_AXES]; /* ... or only this one; all 0: every mesh */
    int nodes[2];        /* pretended nodes, and ranks of each, of this machine; 0: one node */
    int n_steps;
    bool in_float, in_double;
    bool by_replicas;   /* meshes are compared with dp x 1 x 1, not with one rank */
    const char *inject; /* sharding bug to plant (dn_verify_inject); NULL or "none": none */
    const char *json;   /* file for all results; NULL: none */
} dn_verification;

/**
 * Launcher's side of `dionode verify`: runs the training steps that config describes on every mesh and
 * compares them with the run on one rank (dionode/verify.h), in each precision in turn. Workers print the
 * table to standard output. Batches are random tokens, at most one sequence per rank and 32 tokens per
 * sequence; no data is read. *signal_out as in dn_train. Errors: DN_ERR_NUMERIC: a comparison failed;
 * DN_ERR_UNCAUGHT: a bug was planted, but in some precision every comparison passed (no mesh of this
 * configuration runs the code that it changes, or no comparison shows it); DN_ERR_CONFIG: the model fits no
 * such mesh, the bug is unknown, or the double-precision program is not installed beside this one;
 * DN_ERR_MEMORY; DN_ERR_IO; those of dn_launch.
 */
DN_API dn_status dn_verify_training(const dn_config *config, const dn_verification *what, char *const *argv,
                                    int *signal_out) DN_MUST_USE;

/** Worker's side, and that of a rank that another launcher started, of a job on one node or several; there every mesh is of up to as
 * many ranks as there are. Returns the process's exit status. */
DN_API int dn_verify_training_worker(const dn_config *config, const dn_verification *what);

/* Sampling, in the order of Hugging Face's generate: repetition penalty, temperature, top-k, top-p, min-p. What is NAN, or
 * of top_k -1, is as the generation_config.json of a Hugging Face folder says; or else 1, 0.8, 40, 1 and 0. */
typedef struct dn_sampling {
    int64_t n_tokens;          /* to generate, of each sample */
    double repetition_penalty; /* on tokens of prompt and text: l/p for l > 0, l p below; 1: none */
    double temperature;        /* 0: greedy, always the most likely token */
    int64_t top_k;             /* sample from the k most likely tokens; 0: from all */
    double top_p;              /* from the most likely ones that together have this probability; 1: all */
    double min_p;              /* from those with this share of the largest probability; 0: all */
    uint64_t seed;
} dn_sampling;

typedef struct dn_generation {
    const char *run;       /* folder of a run, or a checkpoint; a Hugging Face folder; llm.c's model file */
    const char *tokenizer; /* file or folder; NULL: the one in the run's data_dir or the Hugging Face folder, or else tokens
                              are bytes */
    const char *prompt;
    const char *file; /* to read the prompt from, "-": standard input; NULL: prompt is it */
    bool ids;         /* the prompt is numbers of tokens; text is decoded only where there is a tokenizer */
    int n_samples;    /* continuations of the prompt at once */
    const char *const *stops; /* [n_stops], not empty: they end a text, and are no part of it */
    size_t n_stops;
    dn_sampling sampling;
    bool no_shift;     /* a text ends when the model's positions are full */
    bool weights_bf16; /* products of up to eight rows, one a sample, read matrices in bfloat16: exact where they came so, else
                          rounded, which a line of the log says */
    bool cache_bf16;   /* keys and values are kept in bfloat16: rounded */
    bool measure; /* how fast memory can be read, too (dn_generation_stats); takes some tenths of a second */
} dn_generation;

/* What it cost. */
typedef struct dn_generation_stats {
    size_t prompt_tokens, tokens; /* of the prompt; drawn after each sample's first */
    double prefill_s, decode_s;   /* until the first ones were drawn; for the others */
    double decode_bytes;          /* of weights and cache that a worker read for them */
    double read_bytes_per_s;      /* that its threads can read of memory, measured behind it; 0: not asked for */
} dn_generation_stats;

/* Where results go. What is not DN_OK ends the generation with this error, and errno, unless it is 0, says why. */
typedef struct dn_generation_output {
    /* Of sample number 0 .. n_samples-1: first the prompt with token -1, then each token drawn, with the bytes of
     * text that are complete with it: may be 0. */
    dn_status (*token)(void *context, int sample, int32_t token, const char *text, size_t n);
    /* It is over: "length" (n_tokens), "stop" (a stop string), "end" (a token that ends texts: the tokenizer's, or those
     * that a Hugging Face folder names),
     * "positions" (they are full, and learned, or no_shift is set). */
    dn_status (*end)(void *context, int sample, const char *reason);
    dn_status (*done)(void *context, const dn_generation_stats *stats);
    void *context;
} dn_generation_output;

/**
 * Continues a prompt with the newest checkpoint in `run`, or with the model of another program, on one worker. The same seed gives the same samples,
 * each its own. When a model's positions are full, it goes on from the last half of them, unless they are
 * learned, or no_shift is set; a line of the log says so when the text is over. Errors: DN_ERR_CHECKPOINT (there is none), DN_ERR_CONFIG (a prompt or
 * tokenizer that does not fit the vocabulary, options out of range), DN_ERR_NUMERIC (weights or logits that are
 * not finite), DN_ERR_DATA, DN_ERR_IO, DN_ERR_MEMORY.
 */
DN_API dn_status dn_generate(const dn_generation *what, const dn_generation_output *output) DN_MUST_USE;

/** Launcher's side of the same over n_workers, each with its share of heads, hidden columns and vocabulary (tp), as
 * dn_train. */
DN_API dn_status dn_generate_launch(const dn_generation *what, int n_workers, char *const *argv,
                                    int *signal_out) DN_MUST_USE;
/** Worker's side: rank 0 alone reads the prompt and calls output. Returns the process's exit status. */
DN_API int dn_generate_worker(const dn_generation *what, const dn_generation_output *output);

/* Ways to learn labels: a head of classes alone; below it all weights, a side module on the outputs of frozen
 * blocks, a prefix in each attention, or adapters; sums of hypervectors, without gradients. */
#define DN_FINETUNE_HOWS "head|full|sherl|prompt|lora|hdc"
/* What hypervectors are made of: the bytes of a text, by threes; numbers in it, by place and level; a model's outputs. */
#define DN_FINETUNE_ENCODERS "ngram|record|features"

#define DN_PROMPT_LAYERS_AUTO (-1.)

typedef struct dn_finetuning {
    const char *run;    /* folder of a run, or a checkpoint; a Hugging Face folder; llm.c's model file; NULL: none, where the
                           way needs none */
    const char *labels; /* file of a line each: label, tab, text */
    const char *how;    /* one of DN_FINETUNE_HOWS */
    const char *const *assignments; /* [n] "key=value": of the optimizer, its schedule, batches, adapters, mesh, strategy, clients, seed */
    size_t n;
    double prompt_layers; /* of prompt: the share of blocks, one at least, that get prompts, chosen by their outputs; 0, 1: all;
                             DN_PROMPT_LAYERS_AUTO: clients find it from the curvature of their loss */
    /* of hdc: */
    const char *encoder;        /* one of DN_FINETUNE_ENCODERS */
    int64_t dimensions, rounds; /* signs of a hypervector; of retraining */
} dn_finetuning;

/* What it gave and cost. */
typedef struct dn_finetuned {
    size_t n_classes, n_train, n_test; /* texts: every fifth is held out */
    size_t n_cut;       /* texts that were longer than the model's positions, and lost their ends */
    double largest;     /* share of the class that most held-out texts have: what a guess reaches */
    double accuracy;    /* share of held-out texts told right */
    double at_once;     /* of hdc, before it is retrained; else NAN */
    double loss;        /* their mean cross-entropy, in nats; NAN: there is none */
    uint64_t n_trained; /* numbers that were trained */
    uint64_t bytes;     /* of these: what a client would send */
    uint64_t memory;    /* bytes of weights, gradients, states and activations, allocated before the first step */
    double seconds;     /* of training */
    uint64_t n_rounds;  /* of clients: versions that a server made; 0: there are none */
    double exchanged;   /* of clients: bytes that all of them got and sent */
} dn_finetuned;

/**
 * Learns to tell the classes of labelled texts apart, in this process, with weights that begin as the newest checkpoint's in
 * `run`: a text's class is read off its last token's output. Nothing is written: a call that is interrupted leaves nothing, and
 * the same call gives the same result again. progress (may be NULL) gets steps done and all, and the last step's loss. Errors:
 * DN_ERR_DATA: a line without label and text, less than two classes, or a training set or held-out one without texts;
 * DN_ERR_CONFIG: no such way, a key that changes nothing; DN_ERR_CHECKPOINT; DN_ERR_MEMORY; DN_ERR_NUMERIC: a loss that is not
 * finite.
 */
DN_API dn_status dn_finetune(const dn_finetuning *what,
                             void (*progress)(uint64_t done, uint64_t total, double loss, void *context), void *context,
                             dn_finetuned *out) DN_MUST_USE;

/** Whether the way is one and takes these settings, as far as they tell by themselves: no file is read. Errors: DN_ERR_CONFIG. */
DN_API dn_status dn_finetune_check(const dn_finetuning *what) DN_MUST_USE;

/** Launcher's side of the same over n_workers, as dn_train. */
DN_API dn_status dn_finetune_launch(const dn_finetuning *what, int n_workers, char *const *argv, int *signal_out) DN_MUST_USE;
/** Worker's side: rank 0 alone calls progress, and `done` with what it gave. Returns the process's exit status. */
DN_API int dn_finetune_worker(const dn_finetuning *what,
                              void (*progress)(uint64_t done, uint64_t total, double loss, void *context),
                              void (*done)(const dn_finetuned *result, void *context), void *context);

/** Prints a line of the table of ways, `first` with the head above it; or, json, a JSON object. */
DN_API void dn_finetuned_print(const dn_finetuned *result, const char *how, bool json, bool first, FILE *out);

typedef struct dn_export_options {
    const char *format;    /* "hf": a Hugging Face folder; "gguf": model.gguf; "llmc": llm.c's model.bin */
    const char *dtype;     /* "float32", "float16", "bfloat16" or, of hf, "float64"; rounded to nearest */
    const char *tokenizer; /* file or folder; NULL: the one in the run's data_dir, if there is one */
    bool merge;            /* of a run with adapters: the weights with what they add; else the adapters alone are written, as
                              PEFT's folder ("hf") */
} dn_export_options;

/**
 * Writes the newest checkpoint in `run` into `folder`, which is created if it is missing, in the format of other programs, with
 * its tokenizer where the format has one. Errors: DN_ERR_CHECKPOINT (there is none); DN_ERR_CONFIG: no such format or dtype, or
 * the format does not hold the run's architecture, or cannot say all of the model; DN_ERR_DATA: or of the tokenizer;
 * DN_ERR_IO: the folder holds a model already, of whatever format, or cannot be written; DN_ERR_MEMORY.
 */
DN_API dn_status dn_export(const char *run, const char *folder, const dn_export_options *options) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
