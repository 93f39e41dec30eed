/** Making token shards from text. */
#ifndef DIONODE_DATA_H
#define DIONODE_DATA_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dn_prepare_result {
    uint64_t train_tokens, val_tokens;
} dn_prepare_result;

/**
 * Byte tokens (vocabulary 256) of the files, concatenated, as llm.c shards: dir/train_000000.bin, ... of at
 * most 100 M tokens each, and dir/val_000000.bin. The text is cut into blocks of 64 KiB; one in
 * 1/val_fraction of them, evenly spread (at least one), is for validation. "-" reads standard input; gzip and
 * dictzip files are read as what is in them. Files are written aside, synced and renamed; dir is made if
 * missing. progress (may be NULL) is called with bytes done and in all (0 if unknown). Errors: DN_ERR_DATA
 * (no such file, damaged gzip, less than two blocks' worth), DN_ERR_IO (disk full).
 */
DN_API dn_status dn_prepare(const char *const *files, size_t n_files, const char *dir, double val_fraction,
                            void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                            dn_prepare_result *result) DN_MUST_USE;

#endif
