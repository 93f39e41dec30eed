/* Edit distance, for "did you mean". */
#ifndef BASE_NEAREST_H
#define BASE_NEAREST_H

#include <stddef.h>

/** Edits (insert, delete, replace a character) from a to b: Levenshtein's distance. b of 64 characters or
 * more counts as wholly different. */
size_t dn_edit_distance(const char *a, const char *b);

#endif
