#include "oracle/strategies_vectors.h"

#include "base/random.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

const strategies_param strategies_params[STRATEGIES_PARAMS] = {{DN_PARAM_MATRIX, 96, 80},
                                                               {DN_PARAM_VECTOR, 70, 1},
                                                               {DN_PARAM_EMBEDDING, 48, 64},
                                                               {DN_PARAM_MATRIX, 5, 3}};

/* ---- the model ---- */

enum { MODEL_SEED = 2024, TURN = 101, EMBEDDING = 2, WORDS_MET = 36 };

static double symmetric(uint64_t stream, size_t i)
{
    return 2 * dn_random_uniform(MODEL_SEED, stream, i) - 1;
}

/* What does not change with the step, drawn once for all threads: of each replica slopes and centres, and the fixed vector. */
static double slopes[STRATEGIES_N][STRATEGIES_SIZE], centres[STRATEGIES_N][STRATEGIES_SIZE], probes[STRATEGIES_SIZE];
static pthread_once_t drawn = PTHREAD_ONCE_INIT;

static void draw(void)
{
    for (size_t i = 0; i < STRATEGIES_SIZE; i++) {
        double x = symmetric(1, i);
        probes[i] = x < 0 ? x - 0.5 : x + 0.5;
        for (uint64_t replica = 0; replica < STRATEGIES_N; replica++) {
            slopes[replica][i] = 0.5 + dn_random_uniform(MODEL_SEED, 2 + 2 * replica, i);
            centres[replica][i] = symmetric(3 + 2 * replica, i);
        }
    }
}

void strategies_start(double *w)
{
    for (size_t i = 0; i < STRATEGIES_SIZE; i++)
        w[i] = symmetric(0, i);
}

/* Each replica meets two words of three, and none the last twelve: their gradients are exactly 0. */
static bool is_met(int replica, size_t row)
{
    return row < WORDS_MET && (row + (size_t)replica) % 3 != 0;
}

void strategies_gradient(int replica, uint64_t t, const double *w, double *g)
{
    const double *slope = slopes[replica], *centre = centres[replica];
    pthread_once(&drawn, draw);
    for (size_t i = 0; i < STRATEGIES_SIZE; i++)
        g[i] = slope[i] * (w[i] - centre[i]) + 0.25 * centre[(i + TURN * (t + 1)) % STRATEGIES_SIZE];
    size_t first = 0;
    for (size_t p = 0; p < EMBEDDING; p++)
        first += strategies_params[p].rows * strategies_params[p].cols;
    const size_t cols = strategies_params[EMBEDDING].cols;
    for (size_t row = 0; row < strategies_params[EMBEDDING].rows; row++)
        if (!is_met(replica, row))
            memset(g + first + row * cols, 0, cols * sizeof *g);
}

/* x [n], numbers first .. first + n - 1 of the model; as the oracle, without rounding on the way. */
static double product(const double *x, size_t first, size_t n)
{
    long double sum = 0;
    pthread_once(&drawn, draw);
    for (size_t i = 0; i < n; i++)
        sum += (long double)x[i] * probes[first + i];
    return (double)sum;
}

void strategies_project(const double *x, double *out)
{
    for (size_t p = 0, first = 0; p < STRATEGIES_PARAMS; p++) {
        size_t n = strategies_params[p].rows * strategies_params[p].cols;
        out[p] = product(x + first, first, n);
        first += n;
    }
}

/* ---- files ---- */

FILE *strategies_open(const char *strategy)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/strategies/%s.txt", ORACLE_DIR, strategy);
    return fopen(path, "r");
}

static void demand(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "A file of vectors is damaged at its %s. strategies_oracle.py writes it again.\n", what);
    abort();
}

static void read_numbers(FILE *file, double *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        demand(fscanf(file, "%la", &x[i]) == 1, "numbers");
}

/* x [STRATEGIES_N, n]: of each replica; the file holds one where all are the same. */
static void read_replicas(FILE *file, size_t n_stored, double *x, size_t n)
{
    demand(n_stored == 1 || n_stored == STRATEGIES_N, "number of replicas");
    read_numbers(file, x, n_stored * n);
    for (size_t i = n_stored; i < STRATEGIES_N; i++)
        memcpy(x + i * n, x, n * sizeof *x);
}

static void read_settings(FILE *file, strategies_case *c)
{
    char line[1024], *rest = NULL;
    demand(fgets(line, sizeof line, file) != NULL, "settings");
    for (char *word = strtok_r(line, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        strategies_setting *s = &c->settings[c->n_settings++];
        demand(c->n_settings <= STRATEGIES_SETTINGS && sscanf(word, "%31[^=]=%31s", s->key, s->value) == 2,
               "settings");
    }
}

bool strategies_next(FILE *file, strategies_case *c)
{
    char word[32];
    size_t n, t;
    *c = (strategies_case){0};
    if (fscanf(file, "%31s", word) != 1)
        return false;
    demand(strcmp(word, "case") == 0, "beginning of a case");
    read_settings(file, c);
    demand(fscanf(file, " losses %zu", &n) == 1 && n == STRATEGIES_STEPS, "losses");
    read_numbers(file, c->losses, n);
    for (size_t i = 0; i < STRATEGIES_STEPS; i++) {
        demand(fscanf(file, " step %zu %zu", &t, &n) == 2 && t == i, "steps");
        read_replicas(file, n, c->steps[i][0], STRATEGIES_PARAMS);
    }
    demand(fscanf(file, " rows %zu", &n) == 1, "rows");
    read_replicas(file, n, c->rows[0], STRATEGIES_ROWS);
    while (fscanf(file, "%31s", word) == 1 && strcmp(word, "state") == 0) {
        demand(c->n_states < STRATEGIES_STATES &&
                   fscanf(file, "%31s %zu", c->states[c->n_states].name, &n) == 2,
               "states");
        c->states[c->n_states].n = n;
        read_replicas(file, n, c->states[c->n_states++].numbers[0], STRATEGIES_PARAMS);
    }
    demand(strcmp(word, "end") == 0, "end of a case");
    return true;
}

const char *strategies_text(const strategies_case *c, const char *key)
{
    for (size_t i = 0; i < c->n_settings; i++)
        if (strcmp(c->settings[i].key, key) == 0)
            return c->settings[i].value;
    return NULL;
}

double strategies_number(const strategies_case *c, const char *key)
{
    const char *value = strategies_text(c, key);
    return value && strcmp(value, "null") != 0 ? strtod(value, NULL) : (double)NAN;
}

/* ---- comparing ---- */

/* NaN deviates. */
static strategies_deviation compared(double got, double want, size_t n, double tolerance)
{
    double bound = tolerance * sqrt((double)n);
    return (strategies_deviation){
        .found = !(fabs(got - want) <= bound), .row = -1, .got = got, .want = want, .bound = bound};
}

static strategies_deviation compare_params(const double *x, const double want[STRATEGIES_PARAMS],
                                           double tolerance)
{
    double got[STRATEGIES_PARAMS];
    strategies_deviation d = {0};
    strategies_project(x, got);
    for (size_t p = 0; p < STRATEGIES_PARAMS && !d.found; p++) {
        d = compared(got[p], want[p], strategies_params[p].rows * strategies_params[p].cols, tolerance);
        d.param = p;
    }
    return d;
}

static strategies_deviation compare_rows(const double *x, const double want[STRATEGIES_ROWS],
                                         double tolerance)
{
    strategies_deviation d = {0};
    for (size_t p = 0, first = 0; p < STRATEGIES_PARAMS; p++)
        for (size_t row = 0, cols = strategies_params[p].cols; row < strategies_params[p].rows; row++) {
            d = compared(product(x + first, first, cols), *want++, cols, tolerance);
            d.param = p;
            d.row = (long)row;
            if (d.found)
                return d;
            first += cols;
        }
    return d;
}

/* The weights of n replicas after step t. */
static strategies_deviation compare_step(const strategies_case *c, int t, int first, int n, const double *w,
                                         double tolerance)
{
    strategies_deviation d = {0};
    for (int i = first; i < first + n && !d.found; i++, w += STRATEGIES_SIZE) {
        d = compare_params(w, c->steps[t][i], tolerance);
        if (!d.found && t == STRATEGIES_STEPS - 1)
            d = compare_rows(w, c->rows[i], tolerance);
        d.step = t;
        d.replica = i;
    }
    return d;
}

int strategies_follow(const strategies_case *c, int first, int n, double tolerance, strategies_step *step,
                      void *self, strategies_deviation *out)
{
    double *w = calloc((size_t)n * STRATEGIES_SIZE, sizeof *w),
           *g = calloc((size_t)n * STRATEGIES_SIZE, sizeof *g);
    int result = 0;
    *out = (strategies_deviation){0};
    for (int i = 0; i < n; i++)
        strategies_start(w + i * STRATEGIES_SIZE);
    for (int t = 0; t < STRATEGIES_STEPS && result == 0; t++) {
        for (int i = 0; i < n; i++)
            strategies_gradient(first + i, (uint64_t)t, w + i * STRATEGIES_SIZE, g + i * STRATEGIES_SIZE);
        result = step(self, (uint64_t)t, c->losses[t], g, w);
        if (result == 0)
            *out = compare_step(c, t, first, n, w, tolerance);
        if (out->found)
            result = 1;
    }
    free(w);
    free(g);
    return result;
}

strategies_deviation strategies_compare_state(const strategies_case *c, size_t state, int replica,
                                              const double *x, double tolerance)
{
    strategies_deviation d = compare_params(x, c->states[state].numbers[replica], tolerance);
    d.step = STRATEGIES_STEPS - 1;
    d.replica = replica;
    return d;
}

void strategies_print(const char *strategy, const strategies_case *c, const strategies_deviation *d)
{
    fprintf(stderr, "%s", strategy);
    for (size_t i = 0; i < c->n_settings; i++)
        fprintf(stderr, " %s=%s", c->settings[i].key, c->settings[i].value);
    fprintf(stderr, ": step %d, replica %d, parameter %zu", d->step, d->replica, d->param);
    if (d->row >= 0)
        fprintf(stderr, ", row %ld", d->row);
    fprintf(stderr, ": %.17g instead of %.17g, apart by %.3g, at most %.3g\n", d->got, d->want,
            fabs(d->got - d->want), d->bound);
}
