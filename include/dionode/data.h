/** Making token shards from text. */
#ifndef DIONODE_DATA_H
#define DIONODE_DATA_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dn_prepare_result {
    uint64_t train_tokens, val_tokens;
} dn_prepare_result;

/**
 * Byte tokens (vocabulary 256) of the files, concatenated, as llm.c shards of at most 100 M tokens each:
 * dir/train_000000.bin, ... and dir/val_000000.bin, ... The text is cut into blocks of 64 KiB; the second,
 * and from there on one in 1/val_fraction (0 < val_fraction < 1), evenly spread, is for validation. "-" reads
 * standard input; a folder stands for the files in it and below it, in the order of their names (hidden ones and dir are
 * left out); gzip and dictzip files are read as what is in them. The text is streamed, never held. The
 * shards appear together when all are complete and synced, in place of the shards of an earlier call; dir is
 * made if missing, and taken away again after an error. progress (may be NULL) is called with bytes read and in all (0 if unknown). *result is
 * set on success only. Errors: DN_ERR_ARG; DN_ERR_DATA (no such file, damaged gzip, less than two blocks of
 * text); DN_ERR_IO (disk full: says what is needed; nothing half-written is left).
 */
DN_API dn_status dn_prepare(const char *const *files, size_t n_files, const char *dir, double val_fraction,
                            void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                            dn_prepare_result *result) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
