/* Writers of other programs' files; one concept, its sources are hf_write.c, gguf.c and llmc.c. What takes a set of files adds to it:
 * nothing appears before its end (base/atomic_files.h). */
#ifndef FORMATS_WRITE_H
#define FORMATS_WRITE_H

#include "base/atomic_files.h"
#include "dionode/tokenizer.h"
#include "formats/stored.h"

/** Writes the weights of a model as `type`, as files of at most file_bytes (but for a larger tensor), then config.json, without which
 * nothing is a model. The spec is of a family (dn_hf_knows). Errors: DN_ERR_IO; DN_ERR_MEMORY; those of model->get. */
dn_status dn_hf_write(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type, size_t file_bytes) DN_MUST_USE;

/** Writes adapters as PEFT keeps them: adapter_model.safetensors, then adapter_config.json. model: the parameters of adapters
 * alone, of an architecture whose modules are called as Hugging Face calls them (dn_hf_family.tensors is NULL); base: of what model, a name
 * or folder, or NULL. Errors: DN_ERR_IO; DN_ERR_MEMORY; those of model->get. */
dn_status dn_peft_write(dn_atomic_files *to, const dn_model_weights *model, dn_foreign_type type, const char *base) DN_MUST_USE;

/** Writes generation_config.json: which tokens begin and end a text, by the tokenizer. Errors: DN_ERR_IO; DN_ERR_MEMORY. */
dn_status dn_hf_write_generation(dn_atomic_files *to, const dn_tokenizer *tokenizer) DN_MUST_USE;

/** Writes the GGUF file `path` (version 3): matrices as `type`, not DN_FOREIGN_F64, vectors as float32, and the tokenizer, of
 * at most V tokens; NULL: ids of a model of up to 256 are bytes, those of a larger one mean nothing. The spec's architecture
 * has a GGUF family. Errors: DN_ERR_DATA a tokenizer that GGUF cannot say; DN_ERR_IO; DN_ERR_MEMORY; those of model->get. */
dn_status dn_gguf_write(const char *path, const dn_model_weights *model, dn_foreign_type type,
                        const dn_tokenizer *tokenizer) DN_MUST_USE;

/** Writes llm.c's model file of GPT-2: version 3 of float32, or version 5 of bfloat16; the vocabulary padded with zeros to a
 * multiple of 128, as llm.c does. The spec is GPT-2's of width 4C, and type one of the two. Errors: DN_ERR_IO;
 * DN_ERR_MEMORY; those of model->get. */
dn_status dn_llmc_write(const char *path, const dn_model_weights *model, dn_foreign_type type) DN_MUST_USE;

#endif
