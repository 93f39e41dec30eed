/* Keys and values of a GGUF file that is written, in memory until their number is known. */
#ifndef FORMATS_GGUF_H
#define FORMATS_GGUF_H

#include "dionode/status.h"
#include "dionode/tokenizer.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Types of values, by their numbers in the format. */
typedef enum dn_gguf_value {
    DN_GGUF_U32 = 4,
    DN_GGUF_I32 = 5,
    DN_GGUF_F32 = 6,
    DN_GGUF_BOOL = 7,
    DN_GGUF_TEXT = 8,
    DN_GGUF_ARRAY = 9,
} dn_gguf_value;

typedef struct dn_gguf_keys {
    FILE *out;         /* of memory; an error of it is seen when it is closed */
    const char *group; /* precedes names: "group.name" */
    uint64_t n;
} dn_gguf_keys;

void dn_gguf_u32(dn_gguf_keys *keys, const char *name, size_t value);
void dn_gguf_f32(dn_gguf_keys *keys, const char *name, double value);
void dn_gguf_bool(dn_gguf_keys *keys, const char *name, bool value);
void dn_gguf_text(dn_gguf_keys *keys, const char *name, const char *value);
/** n values of that type follow, which the caller writes to keys->out; a text by dn_gguf_string. */
void dn_gguf_array(dn_gguf_keys *keys, const char *name, dn_gguf_value type, size_t n);
void dn_gguf_string(FILE *out, const char *text, size_t n);

/** The vocabulary of a model of V tokens; tokenizer NULL: bytes, if there are no more than 256. Errors: DN_ERR_DATA what GGUF
 * cannot say of the tokenizer; DN_ERR_MEMORY. */
dn_status dn_gguf_vocabulary(dn_gguf_keys *keys, const dn_tokenizer *tokenizer, size_t V) DN_MUST_USE;

#endif
