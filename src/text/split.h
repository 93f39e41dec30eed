/* Pre-tokenization: a text is split into words by a regular expression, in Unicode. */
#ifndef TEXT_SPLIT_H
#define TEXT_SPLIT_H

#include "dionode/status.h"

#include <stddef.h>

/* What a match is: a word of its own, as is what lies between matches; or the end, or the start, of one. */
typedef enum dn_split_keep { DN_SPLIT_ISOLATED, DN_SPLIT_WITH_PREVIOUS, DN_SPLIT_WITH_NEXT } dn_split_keep;

typedef struct dn_split {
    void *code;    /* owned: of PCRE2 */
    char *pattern; /* owned: as it was given */
    dn_split_keep keep;
} dn_split;

/**
 * Compiles a pattern in the syntax that tokenizers uses. \s and \S mean Unicode's White_Space, which PCRE2's
 * own do not: theirs hold U+180E. Patterns have at most 4096 bytes. Errors: DN_ERR_DATA saying where;
 * DN_ERR_MEMORY.
 */
dn_status dn_split_compile(const char *pattern, dn_split_keep keep, dn_split *out) DN_MUST_USE;
void dn_split_free(dn_split *split);

/* Memory of one thread that splits. */
typedef struct dn_splitter dn_splitter;
dn_splitter *dn_splitter_create(const dn_split *split);
void dn_splitter_destroy(dn_splitter *splitter);

/** The end of the word that begins at `at` < n of a text of n bytes, valid UTF-8; beyond `at`. A text is
 * split from its start on, word by word, as the next match is kept from one call to the next. 0: the pattern
 * needs more memory in this text than there is. */
size_t dn_split_next(dn_splitter *splitter, const char *text, size_t n, size_t at);

#endif
