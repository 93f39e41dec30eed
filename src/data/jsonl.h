/* Examples to learn from: a file with a JSON object a line, {"prompt": ..., "completion": ...}, or {"text": ...}, which is a
 * completion without a prompt. Other members of the object are not read, and empty lines neither. */
#ifndef DATA_JSONL_H
#define DATA_JSONL_H

#include "data/text.h"

typedef struct dn_jsonl dn_jsonl;

/* An example, until the next is read; completion NULL: there is none any more. */
typedef struct dn_example {
    const char *prompt, *completion;
    size_t n_prompt, n_completion; /* bytes */
} dn_example;

/** text: borrowed, and has just been opened. *out is owned by the caller. Errors: DN_ERR_MEMORY. */
dn_status dn_jsonl_open(dn_text *text, dn_jsonl **out) DN_MUST_USE;
void dn_jsonl_close(dn_jsonl **jsonl);

/** The next example of all files. Errors: DN_ERR_DATA "file:line: what", of a line that is none: no JSON, no object, without
 * these members, of other types, empty, or longer than 64 MiB; those of dn_text_read. */
dn_status dn_jsonl_next(dn_jsonl *jsonl, dn_example *example) DN_MUST_USE;

#endif
