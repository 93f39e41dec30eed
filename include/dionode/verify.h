/**
 * Verification that sharding changes nothing: runs an operation on one rank, the reference, then on every
 * mesh, and compares the results that it shows. Or, with options.by_replicas, that what is done inside of replicas changes nothing.
 *
 *     static dn_status operation(dn_verify *v, const dn_mesh *mesh, void *context)
 *     {
 *         ... compute this rank's block y of Y [rows, cols] with the communicators of the mesh ...
 *         const dn_verify_tensor Y = {"forward", {.name = "Y", .rows = ROWS, .cols = COLS, .type = DN_REAL}};
 *         return dn_verify_block(v, &Y, block, y);
 *     }
 *     status = dn_verify_run(world, &options, operation, NULL, &report);
 *     if (dn_comm_rank(world) == 0)
 *         dn_verify_print(report, stdout), status = dn_verify_status(report);
 *
 * The report is a table with a row for each mesh and a column for each line. All that is shown under one line
 * ("weights, 20 steps") is judged together; the table has the worst of it.
 */
#ifndef DIONODE_VERIFY_H
#define DIONODE_VERIFY_H

#include "dionode/mesh.h"
#include "dionode/status.h"

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DN_VERIFY_LINE_MAX 40  /* bytes of a line's name, with its end */
#define DN_VERIFY_MARGIN   10. /* times the effect of rounding on the reference: see dn_verify_rounding */

/* One operation on one mesh, as a rank sees it. */
typedef struct dn_verify dn_verify;
/* The results of all meshes; equal on all ranks. */
typedef struct dn_verify_report dn_verify_report;

/**
 * The operation: starts from the same state on each mesh, computes, and shows its results with the calls
 * below. Called on all ranks of a mesh: first on one rank (the reference, 1 x 1 x 1), then on each mesh; with options.by_replicas,
 * of each dp, first on dp x 1 x 1 (the reference), whose ranks all show the same tensors in the same order, then on its meshes.
 * mesh->all has options.heap_bytes of symmetric heap, which need not be released. An error marks the mesh as
 * failed; the next one is run if all ranks return. A rank that returns while others wait for it in a
 * collective fails the whole run when their deadline expires. Operations longer than the deadline call
 * dn_comm_tick(mesh->all, ...).
 */
typedef dn_status (*dn_verify_fn)(dn_verify *v, const dn_mesh *mesh, void *context);

typedef struct dn_verify_options {
    int max_ranks;          /* every mesh of up to max_ranks ranks; 0: the size of the communicator */
    int max_replicas;       /* meshes of at most so large a dp; 0: of any */
    int max_shards;         /* meshes of replicas of at most so many ranks; 0: of any */
    int max_stages;         /* meshes of so many stages at most; 0: of one. An operation has them that cuts what it does along pp */
    int mesh[DN_N_AXES];    /* this mesh only, beside the reference; all 0: every mesh */
    double tolerance;       /* relative; 0: bitwise */
    size_t heap_bytes;      /* symmetric heap of the operation, on any mesh */
    size_t reference_bytes; /* of each rank's heap, for the reference's tensors */
    bool rounding;          /* allow for the measured effect of rounding: dn_verify_rounding */
    bool by_replicas;       /* a mesh is compared with dp x 1 x 1 instead of one rank: of what replicas do not do as one rank would */
    FILE *progress;         /* progress of rank 0 (a bar on a terminal), or NULL; borrowed */
} dn_verify_options;

/** Every mesh; tolerance 1e-12 in double precision, 1e-4 in float; 16 MiB of heap, and as much for the
 * reference; no progress. */
DN_API dn_verify_options dn_verify_defaults(void);

/** Bytes of symmetric heap that dn_verify_run needs with n_ranks ranks: for dn_comm_join. */
DN_API size_t dn_verify_heap_bytes(const dn_verify_options *options, int n_ranks);

/**
 * Collective over world. Smaller meshes use its first ranks while the others wait. Releases all heap it
 * takes. *out is the report, whether or not everything holds; owned by the caller. Errors (*out is NULL):
 * DN_ERR_ARG options; DN_ERR_CONFIG a mesh of more ranks than there are; DN_ERR_MEMORY too little heap, or a
 * reference larger than options.reference_bytes, with the size to give; those of the reference run; those of
 * a barrier (a rank died).
 */
DN_API dn_status dn_verify_run(dn_comm *world, const dn_verify_options *options, dn_verify_fn fn,
                               void *context, dn_verify_report **out) DN_MUST_USE;

/* ---- inside the operation ---- */

/**
 * Whether this call measures the effect of rounding: the operation then perturbs its data in the last bits,
 * at random. With options.rounding it is called so once, after each reference and on its ranks. A tensor may
 * differ from the reference by the tolerance, or by DN_VERIFY_MARGIN times its difference in this run: for
 * operations that amplify rounding (singular vectors of close singular values, many steps). If that is all of
 * it, as of a gradient that is 0 in truth, the tolerance is taken of the largest norm under the line.
 */
DN_API bool dn_verify_rounding(const dn_verify *v);

/* A matrix (a vector is one row) of which each rank shows its block. */
typedef struct dn_verify_tensor {
    const char *line;
    dn_tensor tensor; /* line and name identify it, equal on all ranks and meshes; sharding may be left out */
    unsigned replicated; /* axes (DN_AXIS) along which ranks have the same block: 0, DN_AXIS(DN_DP), ... */
    const double *column_weights; /* [tensor.cols] columns count by these factors, before norms are taken; NULL: all by 1. The
                              reference's are those of all meshes */
} dn_verify_tensor;

/**
 * Shows a block of a tensor: data [block.rows, block.cols], dense, any memory. May be called for several
 * blocks; empty ones may be left out. The difference is ||X - reference||_F / ||reference||_F, the largest
 * over replicas (0/0 is 0; NaN and infinity fail); with weights w it is ||(X - reference) diag(w)||_F /
 * ||reference diag(w)||_F. Along axes that are not replicated the blocks must tile
 * the tensor: gaps, overlaps, tensors that are missing, unknown to the reference or of another shape fail the
 * line "coverage". Errors: DN_ERR_ARG names that are empty, too long, or of a line of another kind;
 * DN_ERR_MEMORY.
 */
DN_API dn_status dn_verify_block(dn_verify *v, const dn_verify_tensor *tensor, dn_block block,
                                 const void *data) DN_MUST_USE;

/** Shows a number that is equal on all ranks that show it (a loss). The k-th of a line is compared with the
 * reference's k-th. Errors as above. */
DN_API dn_status dn_verify_scalar(dn_verify *v, const char *line, double value) DN_MUST_USE;

/** Collective over comm: data [bytes] must be bitwise equal on all members. Costs a broadcast, counted as
 * control: read the statistics before. Errors as above, and those of a barrier. */
DN_API dn_status dn_verify_same(dn_verify *v, const char *line, const char *name, dn_comm *comm,
                                const void *data, size_t bytes) DN_MUST_USE;

/** Bytes of this rank, counted and expected (by a traffic model): they must be equal. cluster: what a cluster
 * would move, for display. Once for each line, rank and mesh. Errors as above. */
DN_API dn_status dn_verify_bytes(dn_verify *v, const char *line, uint64_t counted, uint64_t expected,
                                 double cluster) DN_MUST_USE;

/** Hops of this rank's exchanges (dn_comm_stats), counted and expected: they must be equal. Once for each line,
 * rank and mesh. Errors as above. */
DN_API dn_status dn_verify_hops(dn_verify *v, const char *line, uint64_t counted, uint64_t expected) DN_MUST_USE;

/** Bytes of this rank (memory), for display only. Once for each line, rank and mesh. Errors as above. */
DN_API dn_status dn_verify_amount(dn_verify *v, const char *line, uint64_t bytes) DN_MUST_USE;

/* ---- the report ---- */

/** Whether every line holds on every mesh. */
DN_API bool dn_verify_holds(const dn_verify_report *report);

/** DN_OK if every line holds, otherwise DN_ERR_NUMERIC with the number of failed meshes and the first failed
 * line: for dn_comm_leave, and so for the program's exit status. Call it on one rank, the one that prints: a
 * rank that leaves with an error ends the others. */
DN_API dn_status dn_verify_status(const dn_verify_report *report) DN_MUST_USE;

/** Prints the table, the failures with their tensors, and a summary; as wide as the terminal, elsewhere 100
 * columns. */
DN_API void dn_verify_print(const dn_verify_report *report, FILE *out);

/** Writes everything, each tensor on each mesh. Errors: DN_ERR_IO; DN_ERR_MEMORY. */
DN_API dn_status dn_verify_write_json(const dn_verify_report *report, const char *path) DN_MUST_USE;

/** NULL is a no-op; sets *report to NULL. */
DN_API void dn_verify_report_destroy(dn_verify_report **report);

/* ---- planted bugs: does verification catch them? ---- */

/** Plants the sharding bug `name` in this process, for all meshes but the reference ("none": removes it).
 * Call it on every rank. Errors: DN_ERR_CONFIG unknown, with the nearest name. */
DN_API dn_status dn_verify_inject(const char *name) DN_MUST_USE;
/** Lists all bugs, one a line. */
DN_API void dn_verify_inject_list(FILE *out);

#ifdef __cplusplus
}
#endif

#endif
