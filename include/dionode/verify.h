/**
 * "Sharded equals one rank", proven: runs an operation on one rank, then on every mesh of so many ranks, and
 * compares what it shows of its results.
 *
 *     static dn_status operation(dn_verify *v, const dn_mesh *mesh, void *context)
 *     {
 *         ... compute this rank's part y of Y [rows, cols] with the groups of the mesh ...
 *         return dn_verify_block(v, &(dn_verify_tensor){"forward", "Y", rows, cols, DN_REAL}, block, y);
 *     }
 *     status = dn_verify_run(world, &options, operation, NULL, &report);
 *     if (dn_comm_rank(world) == 0)
 *         dn_verify_print(report, stdout), status = dn_verify_status(report);
 *
 * The report is a table: a row a mesh, a column a line. What is shown under one line ("weights, 20 steps") is
 * judged together, and the worst of it is what the table has.
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
#define DN_VERIFY_NAME_MAX 96  /* of a tensor's */
#define DN_VERIFY_MARGIN   10. /* times what rounding does: another order of sums rounds everywhere */

/* One operation on one mesh, as a rank sees it. */
typedef struct dn_verify dn_verify;
/* What came out of all meshes; the same on all ranks. */
typedef struct dn_verify_report dn_verify_report;

/**
 * The operation on one mesh: starts from the same state each time, computes, and shows its results with the
 * calls below. Called on all ranks of the mesh together: first on one rank alone (the reference, a mesh of 1
 * x 1 x 1), then on each mesh. mesh->all has options.heap_bytes of symmetric heap to take; what was taken
 * need not be given back. An error marks the mesh as failed, and the next one is tried, if all ranks return:
 * one that returns while others wait for it in a collective ends it all when their deadline has passed. An
 * operation that takes longer than the group's deadline calls dn_comm_tick(mesh->all, ...) now and then.
 */
typedef dn_status (*dn_verify_fn)(dn_verify *v, const dn_mesh *mesh, void *context);

typedef struct dn_verify_options {
    int max_ranks;          /* every mesh of up to so many ranks; 0: of up to the size of the group */
    int mesh[DN_N_AXES];    /* this mesh alone, beside the reference; all 0: every one */
    double tolerance;       /* of relative differences; 0: not a bit */
    size_t heap_bytes;      /* symmetric heap that the operation takes, on any mesh */
    size_t reference_bytes; /* of each rank's heap, where the reference's tensors are kept for all to read */
    bool rounding;          /* measure what rounding does, and judge by that, too: dn_verify_rounding */
    FILE *progress;         /* where rank 0 shows how far it is (a bar on a terminal), or NULL; borrowed */
} dn_verify_options;

/** Every mesh of the group; 1e-12 in double precision, 1e-4 in float; 16 MiB of heap and as much for the
 * reference; no progress. */
DN_API dn_verify_options dn_verify_defaults(void);

/** Symmetric heap that dn_verify_run takes of a group of n_ranks: what to join with. */
DN_API size_t dn_verify_heap_bytes(const dn_verify_options *options, int n_ranks);

/**
 * Collective over world. Meshes smaller than it use its first ranks, the others wait. After a success the
 * heap is as full as before. *out is a report whether or not all holds, and NULL on errors: DN_ERR_ARG
 * options; DN_ERR_CONFIG meshes that need more ranks than there are; DN_ERR_MEMORY too little heap, or a
 * reference that is larger than options.reference_bytes, with what to give; those of the reference run; those
 * of a barrier (a rank that died). Owned by the caller.
 */
DN_API dn_status dn_verify_run(dn_comm *world, const dn_verify_options *options, dn_verify_fn fn,
                               void *context, dn_verify_report **out) DN_MUST_USE;

/* ---- inside the operation ---- */

/**
 * Whether this call is to show what rounding does: the operation then changes what it computes with in the
 * last bits, at random, and else does the same. Called so on one rank, after the reference, if
 * options.rounding says so. Where an operation amplifies rounding more than the tolerance allows for (a basis
 * of singular vectors whose values are close, many steps), what that run makes of each tensor is measured,
 * and a mesh may differ by DN_VERIFY_MARGIN times as much.
 */
DN_API bool dn_verify_rounding(const dn_verify *v);

/* A matrix (a vector: one row) of which ranks show their parts. */
typedef struct dn_verify_tensor {
    const char *line, *name; /* together they name it; the same on all ranks and meshes */
    size_t rows, cols;       /* of the whole */
    dn_type type;
    unsigned replicated; /* axes (DN_AXIS) along which every member has the same part: 0, DN_AXIS(DN_DP), ...
                          */
} dn_verify_tensor;

/**
 * Shows this rank's part of a tensor: data [block.rows, block.cols], dense, anywhere. May be called several
 * times for several parts; an empty part need not be shown. The difference is the Frobenius norm of what is
 * off over that of the whole reference, the largest over replicas (0/0 is 0; what is not finite fails).
 * Along the axes that are not replicated the parts must cover every element exactly once: holes, overlaps,
 * tensors that are missing, unknown to the reference, or of another shape fail the line "coverage".
 * Errors: DN_ERR_ARG names that are empty, too long or of a line of another kind; DN_ERR_MEMORY.
 */
DN_API dn_status dn_verify_block(dn_verify *v, const dn_verify_tensor *tensor, dn_block block,
                                 const void *data) DN_MUST_USE;

/** Shows a number that all ranks who show it should have alike (a loss). The k-th of a line is compared with
 * the reference's k-th. Errors as above. */
DN_API dn_status dn_verify_scalar(dn_verify *v, const char *line, double value) DN_MUST_USE;

/** Collective over group: data [bytes] must be the same bits on all members. Reads the first member's through
 * a broadcast, counted as control: look at the statistics before. Errors as above, and those of a barrier. */
DN_API dn_status dn_verify_same(dn_verify *v, const char *line, const char *name, dn_comm *group,
                                const void *data, size_t bytes) DN_MUST_USE;

/** This rank counted so many bytes, and a formula says so many: they must be equal. cluster: what a cluster
 * would move instead, shown beside. Once a line, rank and mesh. Errors as above. */
DN_API dn_status dn_verify_bytes(dn_verify *v, const char *line, uint64_t counted, uint64_t expected,
                                 double cluster) DN_MUST_USE;

/** Bytes of this rank (memory) to be shown, not judged. Once a line, rank and mesh. Errors as above. */
DN_API dn_status dn_verify_amount(dn_verify *v, const char *line, uint64_t bytes) DN_MUST_USE;

/* ---- the report ---- */

/** Whether every line holds on every mesh. */
DN_API bool dn_verify_holds(const dn_verify_report *report);

/** DN_OK if it holds, otherwise DN_ERR_NUMERIC with a message that counts the meshes that failed and names
 * the first line: for dn_comm_leave, so that the program's exit status tells. On one rank, the one that
 * prints: a rank that leaves with an error ends the others. */
DN_API dn_status dn_verify_status(const dn_verify_report *report) DN_MUST_USE;

/** The table, what failed and by which tensor, and a summary line; as wide as the terminal, elsewhere 100
 * columns. */
DN_API void dn_verify_print(const dn_verify_report *report, FILE *out);

/** Everything, with each tensor on each mesh. Errors: DN_ERR_IO; DN_ERR_MEMORY. */
DN_API dn_status dn_verify_write_json(const dn_verify_report *report, const char *path) DN_MUST_USE;

/** NULL is a no-op; sets *report to NULL. */
DN_API void dn_verify_report_destroy(dn_verify_report **report);

/* ---- planted bugs: does the proof see them? ---- */

/** From now on this process commits the sharding bug `name` ("none": no more), except while a reference is
 * made. Every rank must be told. Errors: DN_ERR_CONFIG unknown, with the nearest name. */
DN_API dn_status dn_verify_inject(const char *name) DN_MUST_USE;
/** All names, a line each with what they do. */
DN_API void dn_verify_inject_list(FILE *out);

#ifdef __cplusplus
}
#endif

#endif
