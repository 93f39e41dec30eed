/*
 * Token files: llm.c's shards, or any other files, read as bytes (vocabulary 256). Several files form one
 * stream, in the order of their names. A shard has a header of 256 int32, then its tokens:
 *
 *     magic, version   20240520, 1: uint16 tokens; 20240801, 7: uint32
 *     tokens
 *     tokenizer        2 words: dn_tokenizer_hash of what made the tokens; 0: unknown, or bytes
 *     text             2 words: bytes of text that they stand for; 0: unknown
 *     masked           1: not all tokens count as targets; 0: all do
 *
 * Only we write the last three; llm.c's own shards have zeros there. Beside a masked shard NAME.bin lies NAME.mask, a bit a
 * token, from the lowest of the first byte on: whether it counts.
 *
 * Read with pread, not mapped: a row is a few kilobytes, so the system call costs about as much as the page
 * faults that it saves, and a file truncated after opening, or a disk failure, is an error message instead of
 * SIGBUS.
 */
#ifndef DATA_TOKENS_H
#define DATA_TOKENS_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The header of a shard, little-endian. */
typedef struct dn_shard_header {
    int32_t magic, version, tokens;
    uint32_t tokenizer[2], text[2]; /* the lower half first */
    int32_t masked;
    int32_t unused[248];
} dn_shard_header;
_Static_assert(sizeof(dn_shard_header) == 1024, "256 words");

/** The header of n tokens below vocab_size. */
dn_shard_header dn_shard_header_of(size_t n, size_t vocab_size, uint64_t tokenizer, uint64_t text_bytes);
/** Bytes of a token below vocab_size in a shard: 2, or 4. */
size_t dn_shard_width(size_t vocab_size);

/** Bytes of the mask of n tokens. */
static inline size_t dn_mask_bytes(size_t n)
{
    return (n + 7) / 8;
}

/** The mask's path [PATH_MAX] from the shard's. Errors: DN_ERR_DATA: too long. */
dn_status dn_mask_path(const char *shard, char *path) DN_MUST_USE;

/* A file in a folder whose shards dn_prepare is replacing: they belong together only when it is gone. */
#define DN_SHARDS_INCOMPLETE ".incomplete"

typedef struct dn_tokens dn_tokens;

/* What files are taken for: shards by their magic, others as bytes, but those that end in .bin are an error;
 * or 16-bit tokens without a header, as nanoGPT writes them, all of them. */
typedef enum dn_tokens_format { DN_TOKENS_SHARDS, DN_TOKENS_UINT16 } dn_tokens_format;

/* How tokens were made, of all files together. */
typedef struct dn_tokens_origin {
    uint64_t tokenizer;  /* dn_tokenizer_hash; 0: unknown, or bytes */
    uint64_t text_bytes; /* that they stand for; 0: unknown */
} dn_tokens_origin;

/** Opens all files of a glob pattern, but for masks of shards that it names, too, sorted by byte value of their names (the
 * same in every locale). Checks every header against the file's size. Errors: DN_ERR_DATA naming file, fault and remedy (no
 * match, a .bin with another magic, other version, truncated, no tokens at all, made by another tokenizer than the first,
 * shards of an interrupted dn_prepare, a masked one whose mask is missing or of another length); DN_ERR_IO (no permission,
 * more files than a process may open: the soft limit is raised to the hard one where they are many); DN_ERR_MEMORY. Never
 * waits for a pipe. Owned by caller. */
dn_status dn_tokens_open(const char *pattern, dn_tokens_format format, dn_tokens **out) DN_MUST_USE;
/** NULL is a no-op; sets *tokens to NULL. */
void dn_tokens_close(dn_tokens **tokens);

/** Tokens in the stream, over all files. */
size_t dn_tokens_count(const dn_tokens *tokens);

/** Files, and where in the stream each begins. */
size_t dn_tokens_n_files(const dn_tokens *tokens);
size_t dn_tokens_file_first(const dn_tokens *tokens, size_t file);

/** Whether some tokens do not count as targets. */
bool dn_tokens_masked(const dn_tokens *tokens);

/** counts[i] = whether token first+i counts as a target, i < n; all are in the stream. As dn_tokens_read. Errors:
 * DN_ERR_DATA: a mask that became shorter; DN_ERR_IO. */
dn_status dn_tokens_counts(const dn_tokens *tokens, size_t first, size_t n, bool *counts) DN_MUST_USE;

dn_tokens_origin dn_tokens_origin_of(const dn_tokens *tokens);

/** out[i] = token first+i, i < n; which must be in the stream. Allocates nothing; thread-safe.
 * Errors: DN_ERR_DATA naming file and position of a token that is not below vocab_size, or a file that became
 * shorter; DN_ERR_IO. */
dn_status dn_tokens_read(const dn_tokens *tokens, size_t first, size_t n, size_t vocab_size,
                         int32_t *out) DN_MUST_USE;

#endif
