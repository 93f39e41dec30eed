#include "data/partition.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"
#include "dionode/tensor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIRICHLET_STREAMS (UINT64_C(0x64697263) << 32) /* plus the group's number */

/* Rows first, first + stride, ...: n of them. */
typedef struct run_of_rows {
    size_t first, n, stride;
} run_of_rows;

struct dn_partition {
    int n_clients;
    size_t *n_rows; /* [n_clients] */
    size_t *starts; /* [n_clients + 1] into runs */
    run_of_rows *runs;
};

dn_status dn_partition_parse(const char *text, const char *where, dn_partition_rule *rule)
{
    int end = -1;
    *rule = (dn_partition_rule){DN_PARTITION_IID, 0};
    if (strcmp(text, "iid") == 0)
        return DN_OK;
    rule->kind = strcmp(text, "by_file") == 0 ? DN_PARTITION_BY_FILE : strcmp(text, "by_label") == 0 ? DN_PARTITION_BY_LABEL : DN_PARTITION_DIRICHLET;
    if (rule->kind != DN_PARTITION_DIRICHLET)
        return DN_OK;
    if (sscanf(text, "dirichlet:%lf%n", &rule->alpha, &end) == 1 && end >= 0 && !text[end] && rule->alpha >= 1e-3 &&
        rule->alpha <= 1e6)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "%s: '%.100s' is none of iid, by_file, by_label and dirichlet:A with A from 0.001 to 1e6", where, text);
}

/* Uniform draws number *at, and so on, of a group's stream. */
typedef struct draws {
    uint64_t seed, stream, at;
} draws;

static double uniform(draws *d)
{
    return dn_random_uniform(d->seed, d->stream, d->at++);
}

static double normal(draws *d)
{
    double radius = sqrt(-2 * log(uniform(d)));
    return radius * cos(2 * M_PI * uniform(d));
}

/* The logarithm of a draw from Gamma(alpha, 1): Marsaglia and Tsang, ACM TOMS 26 (2000); below 1 as Gamma(alpha + 1) times a
 * uniform draw to the power of 1 / alpha, which for small alpha is a number only as a logarithm. */
static double log_gamma_draw(draws *d, double alpha)
{
    double boost = alpha < 1 ? log(uniform(d)) / alpha : 0, a = (alpha < 1 ? alpha + 1 : alpha) - 1. / 3;
    for (;;) {
        double x = normal(d), v = 1 + x / sqrt(9 * a);
        v = v * v * v;
        if (v > 0 && log(uniform(d)) < 0.5 * x * x + a * (1 - v + log(v)))
            return boost + log(a * v);
    }
}

/* shares [n], whose sum is 1. */
static void draw_shares(draws *d, double alpha, int n, double *shares)
{
    double most = -INFINITY, sum = 0;
    for (int c = 0; c < n; c++)
        most = fmax(most, shares[c] = log_gamma_draw(d, alpha));
    for (int c = 0; c < n; c++)
        sum += shares[c] = exp(shares[c] - most);
    for (int c = 0; c < n; c++)
        shares[c] /= sum;
}

/* The rows that each client has of a group, a file or a label: runs [n_clients], perhaps empty; shares [n_clients]: scratch. */
static void deal_group(const dn_partition_rule *rule, int n, uint64_t seed, size_t group, dn_range rows, double *shares,
                       run_of_rows *runs)
{
    draws d = {.seed = seed, .stream = DIRICHLET_STREAMS + group};
    if (rule->kind == DN_PARTITION_DIRICHLET)
        draw_shares(&d, rule->alpha, n, shares);
    double before = 0;
    size_t at = rows.first;
    for (int c = 0; c < n; c++) {
        bool all = rule->kind != DN_PARTITION_DIRICHLET && group % (size_t)n == (size_t)c;
        size_t end = all ? rows.end : at;
        if (rule->kind == DN_PARTITION_DIRICHLET) {
            before += shares[c];
            end = c == n - 1 ? rows.end : rows.first + (size_t)((double)(rows.end - rows.first) * fmin(before, 1));
        }
        runs[c] = (run_of_rows){at, end - at, 1};
        at = end;
    }
}

static dn_status fill(const dn_partition_rule *rule, const size_t *first, size_t n_groups, uint64_t seed, double *shares,
                      run_of_rows *of_group, dn_partition *p)
{
    size_t rows = first[n_groups], n = (size_t)p->n_clients;
    for (size_t c = 0; c < n && rule->kind == DN_PARTITION_IID; c++) {
        p->runs[c] = (run_of_rows){c, rows > c ? (rows - c + n - 1) / n : 0, n};
        p->starts[c + 1] = c + 1;
    }
    for (size_t group = 0; group < n_groups && rule->kind != DN_PARTITION_IID; group++) {
        deal_group(rule, p->n_clients, seed, group, (dn_range){first[group], first[group + 1]}, shares, of_group);
        for (size_t c = 0; c < n; c++) {
            p->runs[c * n_groups + group] = of_group[c];
            p->starts[c + 1] = (c + 1) * n_groups;
        }
    }
    for (size_t c = 0; c < n; c++) {
        for (size_t k = p->starts[c]; k < p->starts[c + 1]; k++)
            p->n_rows[c] += p->runs[k].n;
        if (p->n_rows[c] == 0)
            return dn_fail(DN_ERR_DATA, "client %zu of %zu has none of the %zu rows: use fewer clients%s", c, n, rows,
                           rule->kind == DN_PARTITION_DIRICHLET  ? ", or a larger A in partition dirichlet:A"
                           : rule->kind == DN_PARTITION_BY_FILE  ? ", at most as many as files"
                           : rule->kind == DN_PARTITION_BY_LABEL ? ", at most as many as labels"
                                                                 : "");
    }
    return DN_OK;
}

static dn_status create(const dn_partition_rule *rule, const size_t *first, size_t n_groups, int n_clients, uint64_t seed,
                        dn_partition **out)
{
    size_t n = (size_t)n_clients, n_runs = n * (rule->kind == DN_PARTITION_IID ? 1 : n_groups);
    dn_partition *p = *out = calloc(1, sizeof *p);
    double *shares = calloc(n, sizeof *shares);
    run_of_rows *of_group = calloc(n, sizeof *of_group);
    dn_status status = p && shares && of_group ? DN_OK : DN_ERR_MEMORY;
    if (status == DN_OK) {
        p->n_clients = n_clients;
        p->n_rows = calloc(n, sizeof *p->n_rows);
        p->starts = calloc(n + 1, sizeof *p->starts);
        p->runs = calloc(n_runs, sizeof *p->runs);
        status = p->n_rows && p->starts && p->runs ? fill(rule, first, n_groups, seed, shares, of_group, p) : DN_ERR_MEMORY;
    }
    if (status == DN_ERR_MEMORY)
        status = dn_fail(DN_ERR_MEMORY, "no memory for the rows of %d clients", n_clients);
    free(shares);
    free(of_group);
    if (status != DN_OK)
        dn_partition_destroy(out);
    return status;
}

dn_status dn_partition_create_by_label(const dn_partition_rule *rule, const size_t *first, size_t n_groups, int n_clients, uint64_t seed,
                                       dn_partition **out)
{
    *out = NULL;
    if (rule->kind == DN_PARTITION_BY_FILE)
        return dn_fail(DN_ERR_CONFIG, "partition by_file: labelled texts are one file; use by_label, iid or dirichlet:A");
    return create(rule, first, n_groups, n_clients, seed, out);
}

dn_status dn_partition_create(const dn_partition_rule *rule, const dn_tokens *tokens, size_t T, int n_clients, uint64_t seed,
                              dn_partition **out)
{
    size_t rows = (dn_tokens_count(tokens) - 1) / T, n_files = dn_tokens_n_files(tokens);
    *out = NULL;
    if (rule->kind == DN_PARTITION_BY_LABEL)
        return dn_fail(DN_ERR_CONFIG, "partition by_label: tokens have no labels; use by_file, iid or dirichlet:A");
    size_t *first = calloc(n_files + 1, sizeof *first);
    if (!first)
        return dn_fail(DN_ERR_MEMORY, "no memory for where %zu files begin", n_files);
    for (size_t file = 0; file <= n_files; file++) /* rows that begin in a file */
        first[file] = file == n_files ? rows : dn_min((dn_tokens_file_first(tokens, file) + T - 1) / T, rows);
    dn_status status = create(rule, first, n_files, n_clients, seed, out);
    free(first);
    return status;
}

void dn_partition_destroy(dn_partition **partition)
{
    dn_partition *p = *partition;
    *partition = NULL;
    if (!p)
        return;
    free(p->n_rows);
    free(p->starts);
    free(p->runs);
    free(p);
}

size_t dn_partition_rows(const dn_partition *p, int client)
{
    return p->n_rows[client];
}

size_t dn_partition_row(const dn_partition *p, int client, size_t index)
{
    const run_of_rows *run = &p->runs[p->starts[client]];
    for (; index >= run->n; run++)
        index -= run->n;
    return run->first + index * run->stride;
}
