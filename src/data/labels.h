/* Labelled texts: a file with a line each, its label, a tab, and the text; gzip is read, too. */
#ifndef DATA_LABELS_H
#define DATA_LABELS_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dn_labelled {
    const char *text; /* [n], no zero behind it */
    size_t n;
    int32_t class;
} dn_labelled;

typedef struct dn_labels {
    char *memory;      /* the file */
    dn_labelled *rows; /* [n], in the order of lines */
    const char **names; /* [n_classes]: different labels, ascending by bytes: a class is its place there */
    size_t n, n_classes;
} dn_labels;

enum { DN_CLASSES_MAX = 1 << 16 };

/** Reads a regular file. *out is to be closed also after an error. Errors: DN_ERR_DATA naming file and line, of a line without label
 * or text; of one label or too many; of a pipe or device; those of dn_text_read; DN_ERR_MEMORY. */
dn_status dn_labels_read(const char *path, dn_labels *out) DN_MUST_USE;
void dn_labels_close(dn_labels *labels);

/* Every fifth row is held out: what is learned from the others is judged by them. */
static inline bool dn_labels_held_out(size_t row)
{
    return row % 5 == 4;
}

#endif
