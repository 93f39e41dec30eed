/* Different strings of bytes, numbered from 0 in the order in which they came: a hash table with linear
 * probing, at most half full. */
#ifndef TEXT_BYTE_SET_H
#define TEXT_BYTE_SET_H

#include <stddef.h>
#include <stdint.h>

typedef struct dn_bytes {
    char *at; /* [n], owned */
    uint32_t n;
} dn_bytes;

/* Starts zeroed. */
typedef struct dn_byte_set {
    dn_bytes *all; /* [n]; owned */
    size_t n, room;
    uint32_t *places; /* [places_room]: a number + 1; 0: empty */
    size_t places_room;
} dn_byte_set;

/** The number of a string of n < 2^32 bytes, which are copied if it is a new one (set->n has grown then);
 * SIZE_MAX: no memory. */
size_t dn_byte_set_add(dn_byte_set *set, const char *bytes, size_t n);

void dn_byte_set_free(dn_byte_set *set);

#endif
