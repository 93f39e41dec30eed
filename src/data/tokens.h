/*
 * Token shards: files of llm.c (.bin: 256 int32 header - magic 20240520, version 1, token count - then uint16
 * tokens), or any other file, read as raw bytes. Several files make one stream, memory-mapped, in name order.
 */
#ifndef DATA_TOKENS_H
#define DATA_TOKENS_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct dn_tokens dn_tokens;

/** Opens all files of a glob pattern. Checks every header against the file's size.
 *  Errors: DN_ERR_DATA naming file and fault (no match, wrong magic or version, truncated, empty). Owned by
 * caller. */
dn_status dn_tokens_open(const char *pattern, dn_tokens **out) DN_MUST_USE;
void dn_tokens_close(dn_tokens **tokens);

/** Tokens in the stream, over all files. */
size_t dn_tokens_count(const dn_tokens *tokens);

/** out[i] = token first+i, i < n; the stream must hold them. Errors: DN_ERR_DATA naming file and position of
 * a token that is not below vocab_size. */
dn_status dn_tokens_read(const dn_tokens *tokens, size_t first, size_t n, size_t vocab_size,
                         int32_t *out) DN_MUST_USE;

#endif
