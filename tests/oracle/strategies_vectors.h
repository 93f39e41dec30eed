/*
 * The oracle of strategies in C: its model, and the vectors that strategies_oracle.py wrote, one file a
 * strategy. What is under test is called once a step and gets gradients and weights of one or more replicas;
 * the harness makes the gradients and compares the weights.
 *
 * A file holds, for each case, numbers that every weight has a part in: after each step one of each replica
 * and parameter, its product with a fixed vector whose entries lie between 1/2 and 3/2 in magnitude, so that
 * no weight is overlooked; after the last step one of each row.
 */
#ifndef ORACLE_STRATEGIES_VECTORS_H
#define ORACLE_STRATEGIES_VECTORS_H

#include "dionode/optim.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum {
    STRATEGIES_N = 4, /* replicas */
    STRATEGIES_STEPS = 20,
    STRATEGIES_PARAMS = 4,
    STRATEGIES_SIZE = 96 * 80 + 70 + 48 * 64 + 5 * 3,
    STRATEGIES_ROWS = 96 + 70 + 48 + 5,
    STRATEGIES_STATES = 4,
    STRATEGIES_SETTINGS = 16
};

/* The same rates for all: lr 0.05, momentum 0.9; AdamW 0.9, 0.95, 1e-8; decay 0.1 of matrices alone. */
static const double STRATEGIES_LR = 0.05;

typedef struct strategies_param {
    dn_param_kind kind;
    size_t rows, cols;
} strategies_param;

/* Their numbers lie one after another, row-major, in every array of STRATEGIES_SIZE. */
extern const strategies_param strategies_params[STRATEGIES_PARAMS];

typedef struct strategies_setting {
    char key[32], value[32];
} strategies_setting;

typedef struct strategies_case {
    strategies_setting settings[STRATEGIES_SETTINGS];
    size_t n_settings;
    double losses[STRATEGIES_STEPS]; /* training loss of each step, as far as a strategy looks at it */
    double steps[STRATEGIES_STEPS][STRATEGIES_N][STRATEGIES_PARAMS];
    double rows[STRATEGIES_N][STRATEGIES_ROWS];
    struct {
        char name[32];
        size_t n; /* copies: 1, or one a replica */
        double numbers[STRATEGIES_N][STRATEGIES_PARAMS];
    } states[STRATEGIES_STATES];
    size_t n_states;
} strategies_case;

/** The file of a strategy in tests/oracle/strategies; NULL where there is none. The caller closes it. */
FILE *strategies_open(const char *strategy);
/** Reads the case that comes next; false at the file's end. Aborts, with a line on stderr, over anything
 * else. */
bool strategies_next(FILE *file, strategies_case *c);

/** The value of a setting, as text; NULL where the case has none of this key. */
const char *strategies_text(const strategies_case *c, const char *key);
/** The same as a number; NAN for null, and where the case has none. */
double strategies_number(const strategies_case *c, const char *key);

/** Where the replicas begin: w [STRATEGIES_SIZE]. */
void strategies_start(double *w);
/** g [STRATEGIES_SIZE]: gradient of a replica at its weights w in step t, linear in w. */
void strategies_gradient(int replica, uint64_t t, const double *w, double *g);
/** out [STRATEGIES_PARAMS]: product of each parameter in x [STRATEGIES_SIZE] with the fixed vector. */
void strategies_project(const double *x, double *out);

/* Replicas that do not do what the vectors say. */
typedef struct strategies_deviation {
    bool found;
    int step, replica;
    size_t param;
    long row; /* of the parameter; -1: the product over all of it */
    double got, want, bound;
} strategies_deviation;

/** Step t of n replicas: w [n, STRATEGIES_SIZE] becomes what it is after it. g is of the same shape, loss
 * that of all replicas. Returns 0, or anything else to end the run. */
typedef int strategies_step(void *self, uint64_t t, double loss, const double *g, double *w);

/** Twenty steps of replicas first .. first + n - 1: all, or the one of a rank. Compares after each step, to
 * tolerance for a weight of about 1, and sqrt(m) times that for a sum of m, whose errors are independent.
 * Fills the first deviation in; returns what step returned if that was not 0, 1 over a deviation, else 0. */
int strategies_follow(const strategies_case *c, int first, int n, double tolerance, strategies_step *step,
                      void *self, strategies_deviation *out);

/** A state (shared, or the replica's) after the last step, against the numbers stored of it. */
strategies_deviation strategies_compare_state(const strategies_case *c, size_t state, int replica,
                                              const double *x, double tolerance);

/** One line on stderr: what deviates, both numbers and the bound. */
void strategies_print(const char *strategy, const strategies_case *c, const strategies_deviation *d);

#endif
