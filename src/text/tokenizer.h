/*
 * A tokenizer as all formats are read into (dionode/tokenizer.h). A text becomes ids in this order, as in the
 * library tokenizers, whose words these are:
 *
 *     added tokens       found in the raw text, each is itself: specials
 *     normalize          of what lies between: NFC, a prefix, replacements
 *     pre-tokenize       into words, by regular expressions one after another
 *     model              BPE in each word: of all adjacent pairs of tokens that merge, the one with the
 * lowest rank, the leftmost of these, becomes one, until no pair merges
 *
 * Tokens are bytes here, in byte-level vocabularies too: their printable stand-ins are a matter of the file.
 * So is "▁", which stands for a space in vocabularies of characters: here it is a space, in tokens and in
 * texts.
 */
#ifndef TEXT_TOKENIZER_H
#define TEXT_TOKENIZER_H

#include "base/atomic_files.h"
#include "dionode/tokenizer.h"
#include "text/split.h"

#include <stdbool.h>

enum { DN_TOKENS_MAX = 1 << 20, DN_NORMALIZERS_MAX = 8, DN_SPLITS_MAX = 8 };

typedef struct dn_token {
    char *bytes; /* [n], owned; NULL: the id stands for nothing */
    uint32_t n;
    bool added; /* in no word: found before words are, or never */
} dn_token;

/* Pairs that merge, by hash; rank < 0: empty. */
typedef struct dn_merge {
    int32_t left, right, rank, id;
} dn_merge;

typedef struct dn_added {
    int32_t id;
    bool lstrip, rstrip; /* takes the white space before, after it along */
    bool special;        /* says something of a text, and is no part of it */
} dn_added;

typedef struct dn_normalizer {
    enum { DN_NORMALIZE_NFC, DN_NORMALIZE_PREPEND, DN_NORMALIZE_REPLACE } what;
    const char *from, *to; /* owned; NULL where not used */
    bool unless_there,
        at_start_only; /* of a prefix: a text that has it gets no other; not behind added tokens */
} dn_normalizer;

struct dn_tokenizer {
    char *path;       /* of its file; owned */
    const char *name; /* by which a folder is searched for such a file; NULL: by its ending only */
    dn_token *tokens; /* [size] */
    size_t size;
    int32_t *by_bytes; /* hash table of ids, [by_bytes_room], -1: empty */
    size_t by_bytes_room;
    dn_merge *merges; /* [merges_room], a power of 2 */
    size_t merges_room, n_merges;
    int32_t
        byte_ids[256]; /* byte level: of each byte; else of what stands for bytes of unknown characters; -1 */
    int32_t unknown;   /* for a character without bytes; -1: an error */
    bool fuse_unknown;
    bool byte_level;  /* words are bytes; else characters */
    bool whole_first; /* a word that is a token needs no merges */
    bool decode_only;
    dn_added *added; /* [n_added] */
    size_t n_added;
    dn_normalizer normalizers[DN_NORMALIZERS_MAX];
    size_t n_normalizers;
    dn_split splits[DN_SPLITS_MAX];
    size_t n_splits;
    bool space_first;   /* the first space of a decoded text goes: it was put there */
    int32_t begin, end; /* -1: none */
    size_t longest;     /* bytes of a token */
};

/* ---- for readers of formats ---- */

/** Adds a token; bytes are copied. Errors: DN_ERR_DATA "an id twice" and the like, without a path. */
dn_status dn_tokenizer_add(dn_tokenizer *t, int64_t id, const char *bytes, size_t n, bool added) DN_MUST_USE;
/** After the last token, before the first merge. Errors: DN_ERR_MEMORY; DN_ERR_DATA two tokens of words with
 * the same bytes, unless the tokenizer only decodes. */
dn_status dn_tokenizer_index(dn_tokenizer *t, size_t n_merges) DN_MUST_USE;
/** The token with these bytes that is not an added one; -1: none. After dn_tokenizer_index. */
int32_t dn_tokenizer_find(const dn_tokenizer *t, const char *bytes, size_t n);
/** left and right merge into id; of several such pairs the first counts. Grows as it must. */
dn_status dn_tokenizer_add_merge(dn_tokenizer *t, int32_t left, int32_t right, int32_t rank,
                                 int32_t id) DN_MUST_USE;
/** Adds all merges of a vocabulary without a list of them: whatever two tokens make a third, at its rank.
 * ranks [size]; < 0: the token is not made by merging. */
dn_status dn_tokenizer_merge_all(dn_tokenizer *t, const int32_t *ranks) DN_MUST_USE;
/** An added token that is looked for in texts. */
dn_status dn_tokenizer_add_added(dn_tokenizer *t, dn_added added) DN_MUST_USE;
/** Its texts are copied. */
dn_status dn_tokenizer_add_normalizer(dn_tokenizer *t, dn_normalizer normalizer) DN_MUST_USE;
dn_status dn_tokenizer_add_split(dn_tokenizer *t, const char *pattern, dn_split_keep keep) DN_MUST_USE;

/** The merge of a pair; NULL: it does not merge. */
const dn_merge *dn_tokenizer_merge(const dn_tokenizer *t, int32_t left, int32_t right);

/* Formats: each fills an empty tokenizer from the content of a file. Errors without the path. */
dn_status dn_tokenizer_read_json(dn_tokenizer *t, const char *content, size_t n) DN_MUST_USE;
dn_status dn_tokenizer_read_tiktoken(dn_tokenizer *t, const char *content, size_t n) DN_MUST_USE;
dn_status dn_tokenizer_read_sentencepiece(dn_tokenizer *t, const char *content, size_t n) DN_MUST_USE;
/** tokenizer_config.json, beside any of them: which tokens end and begin a text. */
dn_status dn_tokenizer_read_config(dn_tokenizer *t, const char *content, size_t n) DN_MUST_USE;
dn_status dn_tokenizer_read_llmc(dn_tokenizer *t, const char *content, size_t n) DN_MUST_USE;

/** Adds copies of its file, under the name by which a folder is searched for it, and of what tells its special tokens. Errors:
 * DN_ERR_IO; DN_ERR_MEMORY. */
dn_status dn_tokenizer_copy(const dn_tokenizer *t, dn_atomic_files *to) DN_MUST_USE;

/* Pre-tokenization of GPT-2 and of Llama 3. */
#define DN_PATTERN_GPT2 "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define DN_PATTERN_CL100K(digits)                                                                            \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}" digits                               \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/** For a vocabulary of characters in which "▁" is a space: texts likewise, and they are split into words
 * where no token could join them. After the last token. */
dn_status dn_tokenizer_add_marks(dn_tokenizer *t) DN_MUST_USE;
/** Replaces each "▁" in a text of n bytes by a space, in place; returns the new length. */
size_t dn_replace_marks(char *text, size_t n);

/** Whether a token's text is a byte's name, "<0x0A>". */
bool dn_byte_name(const char *name, size_t n, unsigned char *byte);

enum { DN_STAND_INS = 256 + 68 };
/** of[b] = the printable character that stands for byte b in byte-level vocabularies, below DN_STAND_INS
 * (GPT-2: bytes that are printable in Latin-1 stand for themselves, for the others 256, 257, ... in order).
 */
void dn_stand_ins(uint32_t of[256]);

/** As dn_encode; continues: the text goes on where another ended (dn_text_cut), so that it gets no prefix. */
dn_status dn_encode_part(dn_encoder *encoder, const char *text, size_t n, bool continues, const int32_t **ids,
                         size_t *n_ids) DN_MUST_USE;

/* Memory of dn_bpe, of one thread; starts zeroed. */
typedef struct dn_bpe_memory {
    void *heap;               /* [heap_room], owned */
    int32_t *next, *previous; /* [room], owned */
    size_t heap_room, room;
} dn_bpe_memory;
void dn_bpe_free(dn_bpe_memory *memory);

/** Merges the n tokens of one word in place; *left of them are left. Errors: DN_ERR_MEMORY. */
dn_status dn_bpe(const dn_tokenizer *t, dn_bpe_memory *memory, int32_t *ids, size_t n,
                 size_t *left) DN_MUST_USE;

#endif
