/**
 * Option tables: a named setting and the field of a struct that it sets, as configuration, help and checks
 * use it.
 */
#ifndef DIONODE_KEY_H
#define DIONODE_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DN_KEY_CHOICE_MAX 24   /* bytes of a text with choices, its terminator included */
#define DN_KEY_TEXT_MAX   1024 /* of most free texts */

/* The field's C type: int64_t, double, bool, an enum with values 0, 1, ..., or a char array. */
typedef enum dn_key_type { DN_KEY_INT, DN_KEY_REAL, DN_KEY_BOOL, DN_KEY_ENUM, DN_KEY_TEXT } dn_key_type;

/* What a key affects, and so whether a resumed run may change it. */
typedef enum dn_key_role {
    DN_KEY_TRAINING, /* how the model is trained or evaluated: may change, and the change is logged */
    DN_KEY_MODEL,    /* what the weights compute: with another value they are another model; may not change */
    DN_KEY_CONDUCT,  /* neither: paths, when to save and stop, timeouts; may change */
} dn_key_role;

typedef struct dn_key {
    const char *name;  /* in configurations */
    const char *field; /* in C */
    dn_key_type type;
    size_t offset;       /* of the field in its struct */
    const char *initial; /* default, as written in a configuration file */
    double min, max;     /* of numbers, inclusive */
    const char *choices; /* "a|b|c": of a text (NULL: free); of an enum, in its order ("false|true|...": for these two all
                            words of a bool will do); of a bool, its names of false and true (NULL: these words); of a
                            whole number the words that stand for -1, -2, ... */
    const char *help;
    dn_key_role role;
    size_t room; /* of a text: bytes of its field */
} dn_key;

#ifdef __cplusplus
}
#endif

#endif
