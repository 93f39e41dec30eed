/*
 * Internals of a comparison. An operation's calls (show.c) add records on each rank; after a mesh all ranks
 * gather all records (gather.c) and judge them identically (judge.c), which gives one row of the report.
 */
#ifndef VERIFY_INSIDE_H
#define VERIFY_INSIDE_H

#include "dionode/verify.h"
#include "tensor/tensor.h"
#include "verify/plant.h"

#include <stdbool.h>

typedef enum dn_verify_kind {
    DN_VERIFY_BLOCK,
    DN_VERIFY_SCALAR,
    DN_VERIFY_SAME,
    DN_VERIFY_BYTES,
    DN_VERIFY_HOPS,
    DN_VERIFY_AMOUNT,
    DN_VERIFY_COVERAGE,
    DN_VERIFY_N_KINDS
} dn_verify_kind;

/* ---- the reference ---- */

/* A tensor or scalar of the reference run. */
typedef struct dn_original {
    dn_verify_kind kind;
    char line[DN_VERIFY_LINE_MAX];
    dn_tensor tensor; /* of a scalar only the name */
    bool weighted;    /* weights of its columns, doubles, are stored behind it */
    int home;      /* the rank that stores it, dense */
    size_t at;     /* bytes from the start of the store there */
    double square; /* of its Frobenius norm, weighted; of a scalar: its value */
} dn_original;

typedef struct dn_reference {
    dn_comm *world;     /* borrowed */
    char *store;        /* symmetric */
    size_t store_bytes; /* of each rank */
    size_t *used;       /* [ranks], bytes; more than store_bytes: what would be needed */
    dn_original *all;   /* in the order in which they were shown */
    size_t n, capacity;
    size_t last; /* the one found last: searches start after it */
} dn_reference;

/** Allocates store_bytes of world's heap. Errors: DN_ERR_MEMORY. */
dn_status dn_reference_init(dn_reference *reference, dn_comm *world, size_t store_bytes) DN_MUST_USE;
void dn_reference_free(dn_reference *reference);
/** Forgets all tensors. */
void dn_reference_clear(dn_reference *reference);
/** Index of an original, or -1. */
int dn_reference_find(dn_reference *reference, const char *line, const char *name);
/** Adds a copy of original. Errors: DN_ERR_MEMORY. */
dn_status dn_reference_add(dn_reference *reference, const dn_original *original) DN_MUST_USE;
/** Assigns a tensor to the rank with the most free space. */
void dn_reference_place(dn_reference *reference, dn_original *original);
/** Whether all placed tensors fit. */
bool dn_reference_fits(const dn_reference *reference);
/** Bytes per rank that are needed. */
size_t dn_reference_needs(const dn_reference *reference);
/** Stores a block of a tensor, with the weights [cols of the tensor] if it has such, and returns its sum of
 * squares. Only while all tensors fit. */
double dn_reference_write(dn_reference *reference, const dn_original *original, const dn_block *block,
                          const void *data, const double *weights);
/** Sum of squares of data minus the block of the original, weighted as that is. */
double dn_reference_difference(const dn_reference *reference, const dn_original *original,
                               const dn_block *block, const void *data);

/* ---- records of a rank ---- */

typedef enum dn_wrong {
    DN_WRONG_NOTHING,
    DN_WRONG_UNKNOWN,
    DN_WRONG_SHAPE,
    DN_WRONG_PLACE,
    DN_WRONG_BITS,
    DN_WRONG_BYTES
} dn_wrong;

typedef struct dn_observation {
    dn_verify_kind kind;
    int rank;
    char line[DN_VERIFY_LINE_MAX];
    dn_tensor tensor; /* of all but blocks only the name */
    dn_wrong wrong;   /* an error found by the rank itself */
    int original;     /* block, scalar: index; -1: there is none */
    bool weighted;    /* reference run: the block came with weights */
    dn_block block;
    unsigned replicated;
    int home; /* reference run: where the tensor is stored */
    size_t at;
    double
        value; /* block: sum of squares of the difference, or, in the reference run, of the block's first copy; scalar */
    uint64_t counted, expected; /* amount: counted; same: first byte that differs, bytes */
    double cluster;
} dn_observation;

struct dn_verify {
    dn_reference reference;
    const dn_mesh *mesh; /* of the run under way */
    bool is_reference; /* the reference run */
    bool rounding;     /* the run that measures rounding */
    dn_plant plant;    /* of the run on this mesh */
    dn_observation *records;
    size_t n_records, capacity;
};

/* All records of a mesh; the same on all ranks of the world. */
typedef struct dn_gathered {
    dn_observation *records; /* by rank, each in order */
    size_t n;
    dn_status status; /* of the first rank that failed */
    char message[256];
    double seconds;
} dn_gathered;

/** Collective over world. status: the operation's on this rank. Errors: DN_ERR_MEMORY; those of a barrier. */
dn_status dn_verify_gather(dn_comm *world, const dn_verify *v, dn_status status, double seconds,
                           dn_gathered *out) DN_MUST_USE;
void dn_gathered_free(dn_gathered *gathered);

/** Fills the references of all ranks from the records of those that made it. Errors: DN_ERR_MEMORY; DN_ERR_ARG: they have shown
 * tensors in different orders. */
dn_status dn_reference_learn(dn_reference *reference, const dn_gathered *gathered) DN_MUST_USE;

/* ---- the report ---- */

/* One tensor, scalar or number of a rank under one line on one mesh. */
typedef struct dn_verify_check {
    int line;
    char name[DN_TENSOR_NAME_MAX];
    bool holds;
    double difference;          /* block, scalar: relative */
    uint64_t counted, expected; /* bytes; amount: counted */
    double cluster;
    char why[224]; /* if it does not hold */
} dn_verify_check;

typedef struct dn_verify_row {
    int size[DN_N_AXES];
    bool is_reference;
    dn_status status; /* of the operation; checks are empty unless DN_OK */
    char message[256];
    double seconds;
    bool holds;
    dn_verify_check *checks;
    size_t n, capacity;
} dn_verify_row;

typedef struct dn_verify_line {
    char name[DN_VERIFY_LINE_MAX];
    dn_verify_kind kind;
} dn_verify_line;

#define DN_VERIFY_COVERAGE_LINE 0 /* always present */

struct dn_verify_report {
    double tolerance;
    bool rounding;       /* a tensor may also differ by DN_VERIFY_MARGIN times its rounding error */
    bool by_replicas;    /* there are several references */
    dn_verify_row *rows; /* references have their rounding error, if measured */
    size_t n_rows, capacity;
    size_t reference;    /* row that others are compared with, of the last one */
    dn_verify_line *lines;
    size_t n_lines, lines_capacity;
};

/** Judges the records of a mesh, or of the reference itself, and adds a row. Errors: DN_ERR_MEMORY; DN_ERR_ARG: a line of two
 * kinds. */
dn_status dn_verify_judge(dn_verify_report *report, const dn_reference *reference, const int size[DN_N_AXES], bool is_reference,
                          const dn_gathered *gathered) DN_MUST_USE;

/** Judges the run that measures rounding, in place of the row of the last reference: no difference is too large. Errors
 * as above. */
dn_status dn_verify_judge_rounding(dn_verify_report *report, const dn_reference *reference,
                                   const dn_gathered *gathered) DN_MUST_USE;

/** "2 x 1 x 1": dp x fs x tp, or with stages "2 x 2 x 1 x 1", dp x pp x fs x tp. */
enum { DN_VERIFY_MESH_TEXT = 64 };
const char *dn_verify_mesh_text(const int size[DN_N_AXES], char text[DN_VERIFY_MESH_TEXT]);

/** The worst check of a line on a mesh: one that fails, else the largest difference; NULL if there is none.
 */
const dn_verify_check *dn_verify_worst(const dn_verify_row *row, size_t line);
/** The number of failed checks of a line on a mesh. */
size_t dn_verify_count_failed(const dn_verify_row *row, size_t line);

size_t dn_verify_failed_meshes(const dn_verify_report *report);

/** Reallocates for one more element; NULL without memory: then return dn_verify_no_memory(). */
void *dn_verify_grow(void *array, size_t n, size_t *capacity, size_t element);
dn_status dn_verify_no_memory(void) DN_MUST_USE;

#endif
