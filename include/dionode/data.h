/** Preparing training data: token files from text. */
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
 * Writes the concatenated files as byte tokens (vocabulary 256) in llm.c's format, at most 100 M tokens per
 * file: dir/train_000000.bin, ... and dir/val_000000.bin, ... The text is split into chunks of 64 KiB; the
 * second, and after it one in 1/val_fraction (0 < val_fraction < 1), evenly spaced, is for validation. "-" is
 * standard input; a directory stands for all files below it in the order of their names (except hidden ones
 * and those of dir); gzip and dictzip files are decompressed, others that are compressed (xz, Zstandard, bzip2, zip ...) refused. The text is streamed, never held in memory. The
 * files get their names once all are complete and synced, and replace those of an earlier call; if that is interrupted,
 * dir/.incomplete is left, and training on the shards beside it is refused until a call has succeeded. dir is created if
 * missing, and removed again after an error. progress (may be NULL) gets bytes read and total (0
 * if unknown). *result is set on success only. Errors: DN_ERR_ARG; DN_ERR_DATA (no such file, damaged gzip, compressed otherwise,
 * less than two chunks of text); DN_ERR_IO (disk full: the message says how much is needed; no partial file
 * is left).
 */
DN_API dn_status dn_prepare(const char *const *files, size_t n_files, const char *dir, double val_fraction,
                            void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                            dn_prepare_result *result) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
