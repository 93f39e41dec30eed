/** Preparing training data: token files from text. */
#ifndef DIONODE_DATA_H
#define DIONODE_DATA_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dn_prepare_options {
    double val_fraction;   /* of the text, for validation; 0 < val_fraction < 1 */
    const char *tokenizer; /* file or folder (dionode/tokenizer.h); NULL: bytes */
    const char *separator; /* between documents of a file; NULL: a file is one; needs a tokenizer */
} dn_prepare_options;

typedef struct dn_prepare_result {
    uint64_t train_tokens, val_tokens;
    size_t vocab_size; /* tokens are below it */
    uint64_t n_examples; /* of .jsonl files; 0: of texts */
    uint64_t counted;    /* tokens that count as targets: of completions, or all */
} dn_prepare_result;

/**
 * Writes token files of text in llm.c's format, at most 100 M tokens each: dir/train_000000.bin, ... and
 * dir/val_000000.bin, ...
 *
 * Tokens are the bytes of the concatenated files (vocabulary 256); or with a tokenizer its ids, the token
 * that ends a text behind each document, in 16 bits where they fit, else in 32. The text is split into blocks
 * of 64 KiB - with a tokenizer up to that, ending where words do; the second, and after it one in
 * 1/val_fraction, evenly spaced, is for validation. The tokenizer's file, and a tokenizer_config.json beside
 * it, are copied to dir, by the names under which dn_tokenizer_open finds them there.
 *
 * Files named .jsonl (or .jsonl.gz) hold examples to fine-tune with, a JSON object a line: {"prompt": ..., "completion": ...},
 * or {"text": ...}, which is a completion alone. Tokens of the prompt do not count as targets: beside each shard lies a
 * mask, train_000000.mask, that says which do. Prompt and completion become tokens apart, one behind the other; the token
 * that ends a text is the completion's last. Example number 1 (from 0), and after it one in 1/val_fraction, is for
 * validation.
 *
 * "-" is standard input; a directory stands for all files below it in the order of their names (except hidden
 * ones and those of dir); gzip and dictzip files are decompressed, others that are compressed (xz, Zstandard,
 * bzip2, zip ...) refused. The text is streamed, never held in memory. The files get their names once all are
 * complete and synced, and replace those of an earlier call; if that is interrupted, dir/.incomplete is left,
 * and training on the shards beside it is refused until a call has succeeded. dir is created if missing, and
 * removed again after an error. progress (may be NULL) gets bytes read and total (0 if unknown). *result is
 * set on success only. Errors: DN_ERR_ARG; DN_ERR_DATA (no such file, damaged gzip, compressed otherwise,
 * less than two blocks of text, those of the tokenizer); DN_ERR_IO (disk full: the message says how much is
 * needed; no partial file is left).
 */
DN_API dn_status dn_prepare(const char *const *files, size_t n_files, const char *dir,
                            const dn_prepare_options *options,
                            void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                            dn_prepare_result *result) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
