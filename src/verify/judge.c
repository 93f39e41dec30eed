/* From the records of all ranks to a row of the report. */
#include "verify/inside.h"

#include "base/fail.h"
#include "tensor/axes.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct judge {
    dn_verify_report *report;
    const dn_reference *reference;
    const dn_gathered *gathered;
    dn_verify_row *row;
    bool rounding;        /* the row is that of rounding: nothing is too different */
    size_t last;          /* finding that was looked up: the next is most likely behind it */
    size_t last_rounding; /* likewise, in the row of rounding */
    dn_shard *held;       /* room for all records */
    const dn_observation *
        *shown; /* [reference->n]: the first record of each original; NULL: nobody has shown it */
    const dn_observation **next; /* [gathered->n]: of the same original */
} judge;

/* ---- lines and findings ---- */

static dn_status find_line(dn_verify_report *report, const char *name, dn_verify_kind kind, int *line)
{
    for (size_t i = 0; i < report->n_lines; i++) {
        if (strcmp(report->lines[i].name, name) != 0)
            continue;
        *line = (int)i;
        return report->lines[i].kind == kind
                   ? DN_OK
                   : dn_fail(DN_ERR_ARG, "the line '%s' is shown by two kinds of calls: name them apart",
                             name);
    }
    dn_verify_line *lines =
        dn_verify_grow(report->lines, report->n_lines, &report->lines_capacity, sizeof *lines);
    if (!lines)
        return dn_verify_no_memory();
    report->lines = lines;
    *line = (int)report->n_lines++;
    lines[*line] = (dn_verify_line){.kind = kind};
    snprintf(lines[*line].name, sizeof lines[*line].name, "%s", name);
    return DN_OK;
}

/* The finding of a name under a line, a new one holds; valid until the next call. */
static dn_status check_of(judge *j, int line, const char *name, dn_verify_check **out)
{
    dn_verify_row *row = j->row;
    for (size_t tried = 0; tried < row->n; tried++) {
        size_t i = (j->last + 1 + tried) % row->n;
        *out = &row->checks[i];
        if ((*out)->line == line && strcmp((*out)->name, name) == 0) {
            j->last = i;
            return DN_OK;
        }
    }
    dn_verify_check *checks = dn_verify_grow(row->checks, row->n, &row->capacity, sizeof *checks);
    if (!checks)
        return dn_verify_no_memory();
    row->checks = checks;
    j->last = row->n;
    *out = &checks[row->n++];
    **out = (dn_verify_check){.line = line, .holds = true};
    snprintf((*out)->name, sizeof(*out)->name, "%s", name);
    return DN_OK;
}

/* The first reason stays. */
static void fail(dn_verify_check *check, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void fail(dn_verify_check *check, const char *format, ...)
{
    va_list arguments;
    if (!check->holds)
        return;
    check->holds = false;
    va_start(arguments, format);
    vsnprintf(check->why, sizeof check->why, format, arguments);
    va_end(arguments);
}

/* The largest norm of the reference's tensors under a line. */
static double largest_norm(const judge *j, int line)
{
    double square = 0;
    for (size_t i = 0; i < j->reference->n; i++)
        if (j->reference->all[i].kind == DN_VERIFY_BLOCK &&
            strcmp(j->reference->all[i].line, j->report->lines[line].name) == 0)
            square = fmax(square, j->reference->all[i].square);
    return sqrt(square);
}

/* How much a tensor of this norm may differ, relative to it: by the tolerance or, if that is more, by some times what
 * rounding does. Where that is all of it, the tensor is nothing but rounding, as the gradient of a bias of keys, which is 0 in
 * truth: how large depends on the order of each sum, so one measured value is no bound, and the tolerance is taken of the
 * line's largest tensor. */
static double allowed(judge *j, const dn_verify_check *check, double norm)
{
    const dn_verify_row *row = &j->report->rows[j->report->reference];
    if (j->rounding)
        return INFINITY;
    for (size_t tried = 0; j->report->rounding && tried < row->n; tried++) {
        size_t i = (j->last_rounding + 1 + tried) % row->n;
        const dn_verify_check *f = &row->checks[i];
        if (f->line != check->line || strcmp(f->name, check->name) != 0)
            continue;
        j->last_rounding = i;
        double limit = fmax(j->report->tolerance, DN_VERIFY_MARGIN * f->difference);
        return limit < 1 ? limit : fmax(limit, j->report->tolerance * largest_norm(j, check->line) / norm);
    }
    return j->report->tolerance;
}

/* A difference of this size: of all that have the same name the largest counts, and NaN is the largest. */
static void judge_difference(judge *j, dn_verify_check *check, double difference, double reference)
{
    double limit = allowed(j, check, fabs(reference));
    if (!(difference <= check->difference))
        check->difference = difference;
    if (!isfinite(reference))
        fail(check, "the reference itself is not finite");
    else if (!(difference <= limit))
        fail(check, "differs by %.1e, tolerance %.0e", difference, limit);
}

static double relative(double off, double whole)
{
    return off == 0 ? 0 : off / whole; /* something of nothing is infinite */
}

/* ---- coverage ---- */

static dn_status fail_coverage(judge *j, const char *line, const char *name, const char *why)
{
    dn_verify_check *check;
    char whole[DN_TENSOR_NAME_MAX];
    snprintf(whole, sizeof whole, "%s: %.*s", line, (int)(sizeof whole - DN_VERIFY_LINE_MAX - 3), name);
    DN_TRY(check_of(j, DN_VERIFY_COVERAGE_LINE, whole, &check));
    fail(check, "%s", why);
    return DN_OK;
}

static dn_status judge_wrong(judge *j, const dn_observation *r)
{
    char why[200];
    const dn_block *b = &r->block;
    const dn_original *original = r->original >= 0 ? &j->reference->all[r->original] : NULL;
    if (r->wrong == DN_WRONG_SHAPE)
        snprintf(why, sizeof why, "rank %d shows [%zu, %zu] of type %d, the reference [%zu, %zu] of type %d",
                 r->rank, r->tensor.rows, r->tensor.cols, (int)r->tensor.type, original->tensor.rows,
                 original->tensor.cols, (int)original->tensor.type);
    else if (r->wrong == DN_WRONG_PLACE)
        snprintf(why, sizeof why, "rank %d shows %zu x %zu elements from [%zu, %zu], outside of [%zu, %zu]",
                 r->rank, b->rows, b->cols, b->row0, b->col0, r->tensor.rows, r->tensor.cols);
    else
        snprintf(why, sizeof why, "rank %d shows it, the reference does not", r->rank);
    return fail_coverage(j, r->line, r->tensor.name, why);
}

/* Which set of replicas a rank belongs to: its coordinates along the replicated axes. */
static int replica_of(const dn_verify_row *row, int rank, unsigned replicated)
{
    int at[DN_N_AXES];
    dn_mesh_at(row->size, rank, at);
    for (int axis = 0; axis < DN_N_AXES; axis++)
        at[axis] = replicated & DN_AXIS(axis) ? at[axis] : 0;
    return dn_mesh_rank(row->size, at);
}

/* ---- blocks and scalars ---- */

/* One replica of a tensor: what its ranks hold, and how far that is off. */
static dn_status judge_replica(judge *j, int index, unsigned replicated, int replica)
{
    const dn_original *original = &j->reference->all[index];
    double off = 0;
    size_t n = 0;
    char why[160];
    for (const dn_observation *r = j->shown[index]; r; r = j->next[r - j->gathered->records]) {
        if (r->wrong != DN_WRONG_NOTHING || replica_of(j->row, r->rank, replicated) != replica)
            continue;
        j->held[n++] = (dn_shard){.block = r->block, .rank = r->rank};
        off += r->value;
    }
    if (!dn_shards_tile(original->tensor.rows, original->tensor.cols, j->held, n, why, sizeof why))
        DN_TRY(fail_coverage(j, original->line, original->tensor.name, why));
    dn_verify_check *check;
    int line;
    DN_TRY(find_line(j->report, original->line, DN_VERIFY_BLOCK, &line));
    DN_TRY(check_of(j, line, original->tensor.name, &check));
    bool itself = j->row->is_reference && !j->rounding;
    double norm = sqrt(original->square);
    judge_difference(j, check, itself ? 0 : relative(sqrt(off), norm), norm);
    return DN_OK;
}

/* Every set of replicas of which a rank is a member is one to judge. */
static dn_status judge_tensor(judge *j, int index, unsigned replicated)
{
    const int *size = j->row->size;
    int n_ranks = dn_axes_size(size, DN_ALL_AXES);
    for (int rank = 0; rank < n_ranks; rank++)
        if (replica_of(j->row, rank, replicated) == rank)
            DN_TRY(judge_replica(j, index, replicated, rank));
    return DN_OK;
}

static dn_status judge_scalar(judge *j, const dn_observation *r)
{
    const dn_original *original = &j->reference->all[r->original];
    double off = fabs(r->value - original->square);
    dn_verify_check *check;
    int line;
    DN_TRY(find_line(j->report, r->line, DN_VERIFY_SCALAR, &line));
    DN_TRY(check_of(j, line, r->tensor.name, &check));
    judge_difference(j, check, relative(off, fabs(original->square)), original->square);
    return DN_OK;
}

/* Strings the records of each original together, in order. */
static void string_together(judge *j)
{
    for (size_t i = j->gathered->n; i-- > 0;) {
        const dn_observation *r = &j->gathered->records[i];
        if (r->original < 0)
            continue;
        j->next[i] = j->shown[r->original];
        j->shown[r->original] = r;
    }
}

static dn_status judge_originals(judge *j)
{
    for (int index = 0; index < (int)j->reference->n; index++) {
        const dn_original *original = &j->reference->all[index];
        const dn_observation *shown = j->shown[index];
        if (!shown && original->tensor.rows * original->tensor.cols == 0 && original->kind == DN_VERIFY_BLOCK)
            continue;
        if (!shown)
            DN_TRY(fail_coverage(j, original->line, original->tensor.name,
                                 "the reference shows it, no rank of this mesh does"));
        else if (original->kind == DN_VERIFY_BLOCK)
            DN_TRY(judge_tensor(j, index, shown->replicated));
    }
    return DN_OK;
}

/* ---- what needs no reference ---- */

static dn_status judge_same(judge *j, const dn_observation *r)
{
    dn_verify_check *check;
    int line;
    DN_TRY(find_line(j->report, r->line, r->kind, &line));
    DN_TRY(check_of(j, line, r->tensor.name, &check));
    if (r->wrong == DN_WRONG_BYTES)
        fail(check, "rank %d holds %" PRIu64 " bytes, others of its group another number", r->rank,
             r->expected);
    else if (r->wrong == DN_WRONG_BITS)
        fail(check, "rank %d differs from the first of its group, from byte %" PRIu64 " of %" PRIu64 " on",
             r->rank, r->counted, r->expected);
    return DN_OK;
}

static dn_status judge_number(judge *j, const dn_observation *r)
{
    dn_verify_check *check;
    char name[32];
    int line;
    snprintf(name, sizeof name, "rank %d", r->rank);
    DN_TRY(find_line(j->report, r->line, r->kind, &line));
    DN_TRY(check_of(j, line, name, &check));
    check->counted = r->counted;
    check->expected = r->expected;
    check->cluster = r->cluster;
    if (r->kind != DN_VERIFY_AMOUNT && r->counted != r->expected)
        fail(check, "%" PRIu64 " %s were counted, the formula says %" PRIu64, r->counted,
             r->kind == DN_VERIFY_HOPS ? "hops" : "bytes", r->expected);
    return DN_OK;
}

static dn_status judge_record(judge *j, const dn_observation *r)
{
    int line;
    switch (r->kind) {
    case DN_VERIFY_BLOCK:
        DN_TRY(find_line(j->report, r->line, r->kind, &line));
        return r->wrong == DN_WRONG_NOTHING ? DN_OK : judge_wrong(j, r);
    case DN_VERIFY_SCALAR:
        return r->wrong == DN_WRONG_NOTHING ? judge_scalar(j, r) : judge_wrong(j, r);
    case DN_VERIFY_SAME:
        return judge_same(j, r);
    default:
        return judge_number(j, r);
    }
}

/* ---- a mesh ---- */

static dn_status judge_all(judge *j)
{
    int line;
    dn_verify_check *check;
    string_together(j);
    DN_TRY(find_line(j->report, "coverage", DN_VERIFY_COVERAGE, &line));
    for (size_t i = 0; i < j->gathered->n; i++)
        DN_TRY(judge_record(j, &j->gathered->records[i]));
    DN_TRY(judge_originals(j));
    if (!dn_verify_worst(j->row, DN_VERIFY_COVERAGE_LINE))
        DN_TRY(check_of(j, DN_VERIFY_COVERAGE_LINE, "all", &check));
    for (size_t i = 0; i < j->row->n; i++)
        j->row->holds = j->row->holds && j->row->checks[i].holds;
    return DN_OK;
}

static dn_verify_row *add_row(dn_verify_report *report, const int size[DN_N_AXES],
                              const dn_gathered *gathered)
{
    dn_verify_row *rows = dn_verify_grow(report->rows, report->n_rows, &report->capacity, sizeof *rows);
    if (!rows)
        return NULL;
    report->rows = rows;
    dn_verify_row *row = &rows[report->n_rows++];
    *row = (dn_verify_row){
        .status = gathered->status, .seconds = gathered->seconds, .holds = gathered->status == DN_OK};
    memcpy(row->size, size, sizeof row->size);
    snprintf(row->message, sizeof row->message, "%s", gathered->message);
    return row;
}

static dn_status judge_row(judge *j)
{
    size_t n = j->gathered->n;
    j->held = malloc((n + 1) * sizeof *j->held);
    j->shown = calloc(j->reference->n + 1, sizeof *j->shown);
    j->next = calloc(n + 1, sizeof *j->next);
    dn_status status = j->held && j->shown && j->next
                           ? judge_all(j)
                           : dn_fail(DN_ERR_MEMORY, "no memory for judging %zu results", n);
    free(j->held);
    free(j->shown);
    free(j->next);
    return status;
}

dn_status dn_verify_judge(dn_verify_report *report, const dn_reference *reference, const int size[DN_N_AXES], bool is_reference,
                          const dn_gathered *gathered)
{
    judge j = {.report = report, .reference = reference, .gathered = gathered};
    j.row = add_row(report, size, gathered);
    if (!j.row)
        return dn_verify_no_memory();
    j.row->is_reference = is_reference;
    report->reference = is_reference ? report->n_rows - 1 : report->reference;
    return gathered->status == DN_OK ? judge_row(&j) : DN_OK;
}

dn_status dn_verify_judge_rounding(dn_verify_report *report, const dn_reference *reference,
                                   const dn_gathered *gathered)
{
    judge j = {.report = report, .reference = reference, .gathered = gathered, .rounding = true};
    j.row = &report->rows[report->reference];
    j.row->n = 0;
    report->rounding = true;
    return judge_row(&j);
}
