/* A trained model, of a run or of another program, for evaluation in a single process and for generation, which may be cut
 * over tp. */
#ifndef TRAIN_LOADED_MODEL_H
#define TRAIN_LOADED_MODEL_H

#include "checkpoint/checkpoint.h"
#include "dionode/tokenizer.h"
#include "train/instance.h"

/* Models of others are for up to 131072 positions, of which few texts need as many: memory of a cache is for all. */
enum { DN_FOREIGN_T = 8192 };

typedef struct dn_loaded_model {
    dn_plan plan; /* plan.config: as stored with the checkpoint, changed by assignments; on a mesh of one */
    bool foreign; /* it is another program's: init_from of this configuration says where, and there is no checkpoint */
    dn_comm *comm;     /* owned if alone */
    bool alone;
    dn_mesh *mesh;
    dn_stream *stream;
    dn_instance instance;
    uint64_t step;
    uint64_t tokenizer; /* whose ids it was trained on: its hash; 0: unknown, or bytes */
} dn_loaded_model;

/** The configuration of the model that a checkpoint, `path`, is of: that of its run (dn_stored_config) without init_from and
 * trainable; its relative paths of data are found from the checkpoint's. Errors: DN_ERR_CHECKPOINT there is none; DN_ERR_CONFIG. */
dn_status dn_loaded_config(const dn_checkpoint *checkpoint, const char *path, dn_config *out) DN_MUST_USE;

/** A model's tokenizer: the file or folder named or, if that is NULL, the one in the folder of the run's data or of another
 * program's model; *out = NULL: there is none. trained_with: its hash, 0: unknown. Owned by the caller. Errors:
 * DN_ERR_DATA another hash; DN_ERR_CONFIG more tokens than the model has; dn_tokenizer_open's. */
dn_status dn_model_tokenizer(const char *named, const dn_config *config, bool foreign, uint64_t trained_with,
                             dn_tokenizer **out) DN_MUST_USE;

/** Loads the newest checkpoint of a run directory (or a checkpoint file), or the model of a Hugging Face folder or of llm.c's
 * file, whose sequences have up to DN_FOREIGN_T of its positions, for micro-batches of B sequences, using all usable PUs. assignments [n]: "key=value". On failure *model must still be closed. Errors:
 * DN_ERR_CHECKPOINT, DN_ERR_CONFIG, DN_ERR_MEMORY; DN_ERR_NUMERIC weights that are not finite. */
dn_status dn_loaded_model_open(dn_loaded_model *model, const char *run, const char *const *assignments, size_t n,
                        size_t B) DN_MUST_USE;
/** The same for the generation of n_sequences at once (dn_plan_generation), cut over all ranks of comm, which is borrowed;
 * NULL: alone. Collective. */
dn_status dn_loaded_model_generate(dn_loaded_model *model, const char *run, dn_comm *comm, size_t n_sequences, bool cache_bf16)
    DN_MUST_USE;
/** The weights of config->init_from with what `tuning` adds to their model, ready to be trained as config says, on the mesh that it
 * says, over all ranks of comm, which is borrowed; NULL: alone. Collective. On failure *model must still be closed. Errors: as
 * dn_plan_tuning, dn_init_load; DN_ERR_NUMERIC weights that are not finite. */
dn_status dn_loaded_model_tune(dn_loaded_model *model, const dn_config *config, const dn_tuning *tuning, dn_comm *comm) DN_MUST_USE;
/** The plan of that of generation for so many workers, of which they are not needed. */
dn_status dn_loaded_model_plan(dn_plan *plan, const char *run, int n_workers, size_t n_sequences) DN_MUST_USE;
void dn_loaded_model_close(dn_loaded_model *model);

#endif
