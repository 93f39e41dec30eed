/* Formats of other programs, by how their files begin: their bytes are neither text nor to be learnt. */
#ifndef DATA_PACKING_H
#define DATA_PACKING_H

#include <stddef.h>

enum { DN_PACKING_BYTES = 10 }; /* so many, from the first on, tell all formats */

typedef struct dn_packing {
    size_t at, n;
    const char *magic;  /* n bytes from byte `at` on */
    const char *name;   /* "xz" */
    const char *unpack; /* what makes plain bytes of it: "unxz" */
} dn_packing;

/** The format of a file by its first n bytes; NULL: none of these. */
const dn_packing *dn_packing_of(const void *begin, size_t n);

#endif
