/*
 * Token files in llm.c's format (.bin: 256 int32 header - magic 20240520, version 1, token count - then
 * uint16 tokens), or any other files, read as bytes (vocabulary 256). Several files form one stream, in the
 * order of their names.
 *
 * Read with pread, not mapped: a row is a few kilobytes, so the system call costs about as much as the page
 * faults that it saves, and a file truncated after opening, or a disk failure, is an error message instead of
 * SIGBUS.
 */
#ifndef DATA_TOKENS_H
#define DATA_TOKENS_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

/* The header of an llm.c shard: 256 little-endian int32, of which the first three are used. */
#define DN_SHARD_MAGIC        20240520
#define DN_SHARD_VERSION      1
#define DN_SHARD_HEADER_WORDS 256
#define DN_SHARD_HEADER_BYTES (DN_SHARD_HEADER_WORDS * sizeof(int32_t))

/* A file in a folder whose shards dn_prepare is replacing: they belong together only when it is gone. */
#define DN_SHARDS_INCOMPLETE ".incomplete"

typedef struct dn_tokens dn_tokens;

/** Opens all files of a glob pattern, sorted by byte value of their names (the same in every locale). A file
 * is a shard if it starts with the magic. Checks every header against the file's size. Errors: DN_ERR_DATA
 * naming file, fault and remedy (no match, a .bin with another magic, other version, truncated, no tokens at
 * all, shards of an interrupted dn_prepare); DN_ERR_IO (no permission, more files than a process may open: the soft limit is raised to the hard
 * one where they are many); DN_ERR_MEMORY. Never waits for a pipe. Owned by caller. */
dn_status dn_tokens_open(const char *pattern, dn_tokens **out) DN_MUST_USE;
/** NULL is a no-op; sets *tokens to NULL. */
void dn_tokens_close(dn_tokens **tokens);

/** Tokens in the stream, over all files. */
size_t dn_tokens_count(const dn_tokens *tokens);

/** out[i] = token first+i, i < n; which must be in the stream. Allocates nothing; thread-safe.
 * Errors: DN_ERR_DATA naming file and position of a token that is not below vocab_size, or a file that became
 * shorter; DN_ERR_IO. */
dn_status dn_tokens_read(const dn_tokens *tokens, size_t first, size_t n, size_t vocab_size,
                         int32_t *out) DN_MUST_USE;

#endif
