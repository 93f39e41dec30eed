#include "base/nearest.h"

#include "base/size.h"
#include "dionode/status.h"

#include <string.h>

/* One row of the table of distances between prefixes at a time. */
size_t dn_edit_distance(const char *a, const char *b)
{
    size_t row[64], n = strlen(b);
    if (n >= sizeof row / sizeof *row)
        return n;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t above = row[j];
            row[j] = dn_min(dn_min(above, row[j - 1]) + 1, diagonal + (a[i - 1] != b[j - 1]));
            diagonal = above;
        }
    }
    return row[n];
}

const char *dn_nearest_name(const char *word, const char *const *names, size_t n, size_t stride)
{
    const char *nearest = NULL;
    size_t best = strlen(word) / 2 + 1; /* further off is no typing error */
    for (size_t i = 0; i < n; i++) {
        const char *name = *(const char *const *)((const char *)names + i * stride);
        size_t distance = dn_edit_distance(word, name);
        if (distance < best) {
            best = distance;
            nearest = name;
        }
    }
    return nearest;
}
