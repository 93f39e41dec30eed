/*
 * A rule: the mathematics of one optimizer on one parameter, without communication.
 *
 * Each rule is one file of this room, NAME.c, that defines one row, dn_rule_NAME. The list of names in
 * meson.build compiles the file and registers the row; there is no other list. The executor (room shard)
 * carries out the step on a mesh: a rule only sees this rank's shard of a parameter, or a whole matrix at its
 * owner.
 *
 *     element-wise   each rank updates its shard; states have the parameter's shape
 *     owner          a matrix, or its selected rows or columns, is gathered at one rank, orthonormalized
 *                    there, or transformed by the rule itself, and scattered again (shard/owner.h)
 *     low rank       Dion's factors P and Q (shard/lowrank.h)
 */
#ifndef OPTIM_RULE_H
#define OPTIM_RULE_H

#include "linalg/newton_schulz.h"
#include "optim/option.h"
#include "optim/param.h"

enum { DN_MAX_STATES = 6, DN_MAX_OPTIONS = 12 };

/* Update parameters: learning rate and weight decay of the parameter in this step, as scheduled. */
typedef struct dn_update_params {
    uint64_t step; /* counts from 0 */
    double lr, weight_decay;
} dn_update_params;

/* ---- element-wise rules ---- */

/* Consecutive elements of this rank's shard of a parameter. */
typedef struct dn_chunk {
    const dn_param *param;
    size_t n;
    dn_buf *weight, *grad, *states[DN_MAX_STATES]; /* [n] each */
} dn_chunk;

/* ---- rules of the owner executor ---- */

/* How many rows or columns of a matrix a step selects. */
typedef struct dn_selection {
    size_t rows, cols; /* of the whole matrix */
    bool by_rows;      /* rows are selected, else columns */
    size_t size, k;    /* number of rows (columns), and of those selected */
} dn_selection;

typedef enum dn_selects { DN_SELECT_ALL, DN_SELECT_ROWS, DN_SELECT_SHORT_SIDE } dn_selects;

/* This rank's shard of one matrix. */
typedef struct dn_matrix_shard {
    dn_selection selection;
    size_t rows, cols;                             /* of the shard */
    dn_buf *weight, *grad, *states[DN_MAX_STATES]; /* [rows, cols] each; only states that are sharded */
    const int32_t *ids; /* [n_ids] the selected rows or columns in this shard, by local index */
    size_t n_ids;
    /* Rules with row_scale: the factor of each selected row in this shard, and the squared norms of the
     * whole, as set by at_owner. */
    const double *row_factor, *norms;
} dn_matrix_shard;

/* A whole matrix at its owner. */
typedef struct dn_owner_matrix {
    dn_buf *o; /* [rows, cols] the direction; for at_owner, orthonormalized */
    size_t rows, cols;
    const int32_t *ids;            /* [rows] indices of the rows in the parameter, if rows are selected */
    dn_buf *states[DN_MAX_STATES]; /* whole; only states kept at the owner */
    uint64_t step;                 /* counts from 0 */
    double *row_factor;            /* [rows], set by at_owner, as is norms [2] */
    double *norms;
    double *scratch;   /* [rows] */
    dn_buf *workspace; /* for transform: [transform_room] */
} dn_owner_matrix;

/* ---- the row ---- */

/* A value of the key `optimizer` of microsoft/dion's training script that selects the rule, and the options
 * that the script then sets: "option=value ...", each unless the configuration sets it, later ones overriding
 * earlier ones; "KEY:..." only if the configuration's KEY is true. A value may be the name of another option,
 * whose value it takes. scalar_opt is set even if the configuration sets it. */
typedef struct dn_script_name {
    const char *name, *settings;
} dn_script_name;

enum { DN_MAX_SCRIPT_NAMES = 3 };

typedef enum dn_executor_kind { DN_ELEMENT_WISE, DN_OWNER, DN_LOW_RANK } dn_executor_kind;

typedef struct dn_state_shape {
    size_t rows, cols;
} dn_state_shape;

typedef struct dn_state_spec {
    const char *name; /* in checkpoints, before ".<parameter>" */
    /* The shape, for a parameter [rows, cols], of a state that the matrix's owner holds whole; NULL: the
     * state has the parameter's shape, and is sharded as it is. */
    dn_state_shape (*at_owner)(size_t rows, size_t cols);
    bool identity; /* at the owner, square: initially the identity matrix. Others are initially 0 */
} dn_state_spec;

typedef struct dn_rule {
    dn_rule_info info;
    dn_executor_kind executor;
    dn_state_spec states[DN_MAX_STATES]; /* ends with an empty name; Dion's are defined by its executor */

    dn_script_name script[DN_MAX_SCRIPT_NAMES]; /* ends with an empty name; the rule's own, if any, first */
    const dn_key *options[DN_MAX_OPTIONS]; /* options of the rule (optim/option.h); ends with NULL */
    const dn_key *decays[DN_MAX_STATES];   /* options that are decays of running means kept as states */

    /** Element-wise: updates x from its gradient, which may be overwritten. */
    void (*update)(dn_stream *s, const dn_optim_config *config, const dn_chunk *x, const dn_update_params *p);

    /* Owner. */
    bool always_gram;   /* uses the Gram form of Newton-Schulz regardless of the configuration */
    bool row_scale;     /* at_owner computes a factor for each row, and norms, for apply */
    dn_selects selects; /* what a step selects of a matrix: all, or rank_fraction of it */
    /** Rules that select: M += G; scores [rows or columns of the shard], if not NULL, = M's L1 norms (valid
     * after dn_stream_sync). */
    void (*accumulate)(dn_stream *s, const dn_matrix_shard *x, double *scores);
    /** Writes the direction, which the owner gathers, over the gradient: [rows, cols], or the selection,
     * dense. NULL: the direction is the gradient. */
    void (*direction)(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x);
    /** With row_scale, at the owner: sets row_factor and norms; norms[1] is not finite if a state is not. Waits for
     * the stream. */
    dn_status (*at_owner)(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *x);
    /** At the owner, instead of Newton-Schulz: in place, x->o becomes the update that apply reads. *found =
     * DN_NS_ZERO if the momentum is 0 everywhere, DN_NS_NOT_FINITE if it, or any other state, is not finite.
     * May wait for the stream. Not for rules that select. NULL: the direction is orthonormalized. */
    dn_status (*transform)(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *x,
                           dn_ns_info *found);
    /** Of transform, for a matrix of that shape: elements of workspace, and mean flops per step, by which
     * matrices are assigned to owners. */
    size_t (*transform_room)(size_t rows, size_t cols);
    double (*transform_flops)(size_t rows, size_t cols);
    /** Updates the weights from the owner's result, which replaces the direction in the gradient's memory. */
    void (*apply)(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p);
} dn_rule;

/** The row with that name, or with that name in the training script; NULL if there is none (or name is NULL).
 */
const dn_rule *dn_rule_row(const char *name);

/** Whether replicas can exchange low-rank factors under that rule. */
bool dn_rule_has_factors(const char *name);

/** The index-th (from 0) training script name of all rules; its name is NULL beyond the last. */
dn_script_name dn_rule_script(size_t index);

/** What a rule selects of a matrix [rows, cols]: k = ceil(fraction * size). 0 < fraction <= 1. */
dn_selection dn_rule_selection(const dn_rule *rule, size_t rows, size_t cols, double fraction);

/* The default rules. */
#define DN_MATRIX_RULE "dion"
#define DN_SCALAR_RULE "lion"

/** The number of states. */
static inline int dn_rule_n_states(const dn_rule *rule)
{
    int n = 0;
    while (n < DN_MAX_STATES && rule->states[n].name)
        n++;
    return n;
}

#endif
