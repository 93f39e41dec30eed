#include "text/byte_set.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

static uint32_t *place_of(const dn_byte_set *set, const char *bytes, size_t n)
{
    for (size_t i = XXH3_64bits(bytes, n);; i++) {
        uint32_t *place = &set->places[i & (set->places_room - 1)];
        if (!*place || (set->all[*place - 1].n == n && memcmp(set->all[*place - 1].at, bytes, n) == 0))
            return place;
    }
}

/* Room for one more. */
static bool grow(dn_byte_set *set)
{
    if (set->n == set->room) {
        size_t room = set->room ? 2 * set->room : 1024;
        dn_bytes *all = realloc(set->all, room * sizeof *all);
        if (!all)
            return false;
        set->all = all;
        set->room = room;
    }
    if (2 * (set->n + 1) <= set->places_room)
        return true;
    size_t room = set->places_room ? 2 * set->places_room : 4096;
    uint32_t *places = calloc(room, sizeof *places);
    if (!places)
        return false;
    free(set->places);
    set->places = places;
    set->places_room = room;
    for (size_t i = 0; i < set->n; i++)
        *place_of(set, set->all[i].at, set->all[i].n) = (uint32_t)i + 1;
    return true;
}

size_t dn_byte_set_add(dn_byte_set *set, const char *bytes, size_t n)
{
    if (!grow(set))
        return SIZE_MAX;
    uint32_t *place = place_of(set, bytes, n);
    if (*place)
        return *place - 1;
    dn_bytes own = {malloc(n ? n : 1), (uint32_t)n};
    if (!own.at)
        return SIZE_MAX;
    memcpy(own.at, bytes, n);
    set->all[set->n] = own;
    *place = (uint32_t)++set->n;
    return set->n - 1;
}

void dn_byte_set_free(dn_byte_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->all[i].at);
    free(set->all);
    free(set->places);
    *set = (dn_byte_set){0};
}
