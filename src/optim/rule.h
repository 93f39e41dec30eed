/*
 * A rule: the mathematics of one optimizer on one parameter, without communication.
 *
 * Each rule is one file of this room, NAME.c, that defines one row, dn_rule_NAME. The list of names in
 * meson.build compiles the file and registers the row; there is no other list. How a step is carried out on a
 * mesh is the executor's (room shard): a rule only sees this rank's part of a parameter, or a whole matrix at
 * its owner.
 *
 *     element-wise   each rank updates its part; states have the parameter's shape
 *     owner          one rank is brought a matrix, or its selected rows or columns, whole; there it is
 *                    orthonormalized, or transformed by the rule itself, and handed out again (shard/owner.h)
 *     low rank       Dion's factors P and Q (shard/lowrank.h)
 */
#ifndef OPTIM_RULE_H
#define OPTIM_RULE_H

#include "linalg/newton_schulz.h"
#include "optim/option.h"
#include "optim/param.h"

enum { DN_MAX_STATES = 6, DN_MAX_OPTIONS = 12 };

/* What a rule takes from the step: the learning rate and decay of the parameter's group, as scheduled. */
typedef struct dn_update_params {
    uint64_t step; /* counts from 0 */
    double lr, weight_decay;
} dn_update_params;

/* ---- element-wise rules ---- */

/* Some consecutive elements of this rank's part of a parameter. */
typedef struct dn_chunk {
    const dn_param *param;
    size_t n;
    dn_buf *weight, *grad, *states[DN_MAX_STATES]; /* [n] each */
} dn_chunk;

/* ---- rules that are carried out at an owner ---- */

/* Which rows or columns of a matrix a step takes. */
typedef struct dn_selection {
    size_t rows, cols; /* of the whole matrix */
    bool by_rows;      /* rows are selected, else columns */
    size_t size, k;    /* how many there are, and how many of them are selected */
} dn_selection;

typedef enum dn_selects { DN_SELECT_ALL, DN_SELECT_ROWS, DN_SELECT_SHORT_SIDE } dn_selects;

/* This rank's part of one matrix. */
typedef struct dn_matrix_shard {
    dn_selection selection;
    size_t rows, cols;                             /* here */
    dn_buf *weight, *grad, *states[DN_MAX_STATES]; /* [rows, cols] each; of states those of parts */
    const int32_t *ids; /* [n_ids] the selected rows or columns in this part, counted here */
    size_t n_ids;
    /* Rules with row_scale: the factor of each selected row in this part, and the squared norms of the whole,
     * as at_owner set them. */
    const double *row_factor, *norms;
} dn_matrix_shard;

/* A whole matrix at its owner. */
typedef struct dn_owner_matrix {
    dn_buf *o; /* [rows, cols] the direction: as it came for transform, orthonormalized for at_owner */
    size_t rows, cols;
    const int32_t *ids;            /* [rows] numbers of the rows in the parameter, where rows are selected */
    dn_buf *states[DN_MAX_STATES]; /* those at the owner, whole */
    uint64_t step;                 /* counts from 0 */
    double *row_factor;            /* [rows], to be set by at_owner; so are norms [2] */
    double *norms;
    double *scratch;   /* [rows] */
    dn_buf *workspace; /* for transform: [transform_room] */
} dn_owner_matrix;

/* ---- the row ---- */

/* A name by which the key `optimizer` of microsoft/dion's training script knows the rule, and what that script sets its
 * class to: "option=value ...", each for where a configuration says nothing, later ones before earlier ones; "KEY:..." only
 * where the configuration's KEY is true. A value may be the name of another option: the same as that. scalar_opt is set
 * even where the configuration says something. */
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
     * state has the parameter's shape, and each rank holds its part. */
    dn_state_shape (*at_owner)(size_t rows, size_t cols);
    bool identity; /* at the owner, square: starts as the identity matrix. Others start at 0 */
} dn_state_spec;

typedef struct dn_rule {
    dn_rule_info info;
    dn_executor_kind executor;
    dn_state_spec states[DN_MAX_STATES]; /* ends with an empty name; of Dion the executor's */

    dn_script_name script[DN_MAX_SCRIPT_NAMES]; /* ends with an empty name; the rule's own, if it is there, first */
    const dn_key *options[DN_MAX_OPTIONS];  /* that it takes (optim/option.h); ends with NULL */
    const dn_key *decays[DN_MAX_STATES];    /* those of them that are decays of running means among the states */

    /** Element-wise: updates x from its gradients, which may be overwritten. */
    void (*update)(dn_stream *s, const dn_optim_config *config, const dn_chunk *x, const dn_update_params *p);

    /* Owner. */
    bool always_gram;   /* the Gram form of Newton-Schulz whatever the configuration says */
    bool row_scale;     /* at_owner finds a factor for each row, and norms, for apply */
    dn_selects selects; /* what a step takes of a matrix: rank_fraction of it, unless all */
    /** Rules that select: M += G; scores [rows or columns here], if not NULL, become M's L1 norms (after
     * dn_stream_sync). */
    void (*accumulate)(dn_stream *s, const dn_matrix_shard *x, double *scores);
    /** Leaves what the owner is to have where the gradient was: [rows, cols], or the selected part, dense.
     * NULL: the gradient itself. */
    void (*direction)(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x);
    /** With row_scale, at the owner: sets row_factor and norms. Waits for the stream. */
    dn_status (*at_owner)(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *x);
    /** At the owner, instead of Newton-Schulz: x->o becomes what apply is to find, in place. found:
     * DN_NS_ZERO if the momentum is 0 everywhere, DN_NS_NOT_FINITE if it (or anything that the rule keeps) is
     * not finite. May wait for the stream. Rules with it select nothing. NULL: the direction is
     * orthonormalized.
     */
    dn_status (*transform)(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *x,
                           dn_ns_info *found);
    /** Of transform, for a matrix of that shape: elements of workspace, and flops a step (their mean over
     * steps): matrices are shared out to owners by them. */
    size_t (*transform_room)(size_t rows, size_t cols);
    double (*transform_flops)(size_t rows, size_t cols);
    /** Updates the weights from what the owner made of the direction, which lies where direction left it. */
    void (*apply)(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p);
} dn_rule;

/** The row with that name, one of the training script's names included; NULL if no rule has it (or name is NULL). */
const dn_rule *dn_rule_row(const char *name);

/** The script's name number index of all rules, from 0; its name is NULL beyond the last. */
dn_script_name dn_rule_script(size_t index);

/** What a rule selects of a whole matrix: k = ceil(fraction * size). 0 < fraction <= 1. */
dn_selection dn_rule_selection(const dn_rule *rule, size_t rows, size_t cols, double fraction);

/* The rules where nobody names one. */
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
