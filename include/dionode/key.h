/**
 * A setting by its name: what a configuration, its help and its checks know of one field of a struct.
 */
#ifndef DIONODE_KEY_H
#define DIONODE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DN_KEY_CHOICE_MAX 16   /* bytes of a text with choices, with its end */
#define DN_KEY_TEXT_MAX   1024 /* of a free one */

/* Of the field: int64_t, double, bool, an enum whose values are 0, 1, ..., or a char array. */
typedef enum dn_key_type { DN_KEY_INT, DN_KEY_REAL, DN_KEY_BOOL, DN_KEY_ENUM, DN_KEY_TEXT } dn_key_type;

/* What a key's value decides, and so what another value means to a run that goes on. */
typedef enum dn_key_role {
    DN_KEY_TRAINING, /* how the model is trained, or measured: may change, and the run says so */
    DN_KEY_MODEL,    /* what the weights compute: the same weights under another value are another model */
    DN_KEY_CONDUCT,  /* neither: where files go, when to save and stop, how long to wait */
} dn_key_role;

typedef struct dn_key {
    const char *name;  /* in configurations */
    const char *field; /* in C */
    dn_key_type type;
    size_t offset;       /* of the field in its struct */
    const char *initial; /* default, as it would stand in a file */
    double min, max;     /* of numbers, inclusive */
    const char *choices; /* "a|b|c": of texts, NULL = free; of an enum, in its order; of a bool, its names of
                            false and true, NULL = these */
    const char *help;
    dn_key_role role;
} dn_key;

#ifdef __cplusplus
}
#endif

#endif
