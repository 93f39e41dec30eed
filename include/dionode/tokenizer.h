/**
 * Tokenizers that people have: text to token ids, and ids back to text.
 *
 * Read are, by their content: `tokenizer.json` of Hugging Face's tokenizers (byte-level BPE as of GPT-2,
 * Llama 3, Qwen, SmolLM2, Pythia; BPE over characters as of Llama 2), rank files of tiktoken,
 * `tokenizer.model` of SentencePiece (BPE), and llm.c's tokenizer file, which can only decode. What a file
 * asks for and is not held here is an error that names it.
 *
 * None of these calls is collective.
 */
#ifndef DIONODE_TOKENIZER_H
#define DIONODE_TOKENIZER_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Does not change once it is open: threads may share it. */
typedef struct dn_tokenizer dn_tokenizer;

/** Opens a file of a tokenizer, or the one in a folder: tokenizer.json, else tokenizer.model, else the only
 * *.tiktoken. *out is owned by the caller. Errors: DN_ERR_DATA naming file, what is wrong, or what is not
 * supported; DN_ERR_IO; DN_ERR_MEMORY. */
DN_API dn_status dn_tokenizer_open(const char *path, dn_tokenizer **out) DN_MUST_USE;
/** NULL is a no-op; sets *tokenizer to NULL. */
DN_API void dn_tokenizer_close(dn_tokenizer **tokenizer);

/** The file that it was read from; borrowed. */
DN_API const char *dn_tokenizer_path(const dn_tokenizer *tokenizer);

/** Ids are below it; some of them may stand for nothing. */
DN_API size_t dn_tokenizer_size(const dn_tokenizer *tokenizer);

/** Of all ids with their bytes: two tokenizers with the same hash give ids the same meaning. */
DN_API uint64_t dn_tokenizer_hash(const dn_tokenizer *tokenizer);

/** The id of a special token by its text, as "<|endoftext|>"; -1 if there is none. */
DN_API int32_t dn_tokenizer_special(const dn_tokenizer *tokenizer, const char *text);
/** The ids of the token that ends a text, and of the one that a text begins with when a model is to continue
 * it; -1: the tokenizer says nothing of one. */
DN_API int32_t dn_tokenizer_end(const dn_tokenizer *tokenizer);
DN_API int32_t dn_tokenizer_begin(const dn_tokenizer *tokenizer);

/** The bytes that a token stands for in the middle of a text; *n of them, borrowed. None for an id that
 * stands for nothing, or is out of range. */
DN_API const char *dn_tokenizer_bytes(const dn_tokenizer *tokenizer, int32_t id, size_t *n);

/* ---- text to ids ---- */

/* Memory of one thread that encodes. */
typedef struct dn_encoder dn_encoder;

/** tokenizer is borrowed. *out is owned by the caller. Errors: DN_ERR_MEMORY; DN_ERR_DATA a tokenizer that
 * can only decode. */
DN_API dn_status dn_encoder_create(const dn_tokenizer *tokenizer, dn_encoder **out) DN_MUST_USE;
DN_API void dn_encoder_destroy(dn_encoder **encoder);

/** The ids of a text of n bytes, as the tokenizer's own library gives them without the tokens that it puts
 * around a text. Where the text is not UTF-8, bytes become tokens of one byte each. *ids [*n_ids] belong to
 * the encoder, until its next call. Errors: DN_ERR_MEMORY; DN_ERR_DATA a character that the vocabulary cannot
 * express. */
DN_API dn_status dn_encode(dn_encoder *encoder, const char *text, size_t n, const int32_t **ids,
                           size_t *n_ids) DN_MUST_USE;

/* ---- ids to text ---- */

/* A text that is decoded token by token; starts as {.tokenizer = tokenizer}. */
typedef struct dn_decoder {
    const dn_tokenizer *tokenizer; /* borrowed */
    unsigned char rest[4];         /* of a character that is not complete */
    unsigned n_rest, begun;
} dn_decoder;

/** Upper bound of what one call of dn_decode writes. */
DN_API size_t dn_decode_bound(const dn_tokenizer *tokenizer);
/** Writes the characters that are complete with this token; returns the bytes written, all of them valid
 * UTF-8: U+FFFD stands for what is none. */
DN_API size_t dn_decode(dn_decoder *decoder, int32_t id, char *out);
/** Writes U+FFFD (3 bytes) if the text ends within a character, and starts anew. */
DN_API size_t dn_decode_end(dn_decoder *decoder, char *out);

/* ---- making one ---- */

/**
 * Trains byte-level BPE on texts, which are split into words as for GPT-2: the most frequent pair of tokens
 * becomes a token, again and again; of pairs equally frequent the one with the smaller ids (Sennrich et al.,
 * arXiv 1508.07909). Writes `path` in the format of tokenizer.json with <|endoftext|> as token 0. files as
 * for dn_prepare (dionode/data.h); all words that differ are held in memory. size: tokens in all, at least
 * 257; fewer if the text has no more pairs. *made is what was reached. Errors: those of reading and writing;
 * DN_ERR_ARG size; DN_ERR_MEMORY.
 */
DN_API dn_status dn_tokenizer_train(const char *const *files, size_t n_files, size_t size, const char *path,
                                    void (*progress)(uint64_t done, uint64_t total, void *context),
                                    void *context, size_t *made) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
