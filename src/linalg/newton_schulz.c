#include "linalg/newton_schulz.h"

#include "base/fail.h"
#include "base/size.h"

#include <math.h>

/* At most so many matrices at a time: their norms stand on the stack. */
enum { MOST = 64 };

/* The Gram form starts over from X before this step. */
enum { RESTART = 2 };

const dn_ns_coefficients *dn_ns_coefficients_of(dn_ns_set set)
{
    static const dn_ns_coefficients tables[] = {
        /* kellerjordan.github.io/posts/muon */
        [DN_NS_KELLER] = {1,
                          {{3.4445, -4.7750, 2.0315},
                           {3.4445, -4.7750, 2.0315},
                           {3.4445, -4.7750, 2.0315},
                           {3.4445, -4.7750, 2.0315},
                           {3.4445, -4.7750, 2.0315}}},
        /* microsoft/dion, dion/newton_schulz_triton.py */
        [DN_NS_DION] = {1,
                        {{4.0848, -6.8946, 2.9270},
                         {3.9505, -6.3029, 2.6377},
                         {3.7418, -5.5913, 2.3037},
                         {2.8769, -3.1427, 1.2046},
                         {2.8366, -3.0525, 1.2012}}},
        /* arXiv 2505.16932, algorithm 1, as microsoft/dion, dion/polar_express.py, has its result */
        [DN_NS_POLAR_EXPRESS] = {1.02,
                                 {{8.156554524902461, -22.48329292557795, 15.878769915207462},
                                  {4.042929935166739, -2.808917465908714, 0.5000178451051316},
                                  {3.8916678022926607, -2.772484153217685, 0.5060648178503393},
                                  {3.285753657755655, -2.3681294933425376, 0.46449024233003106},
                                  {2.3465413258596377, -1.7097828382687081, 0.42323551169305323}}},
    };
    return &tables[set];
}

/* `count` matrices on their way through; all arrays dense, one matrix behind the other. */
typedef struct batch {
    const dn_ns_coefficients *table;
    size_t count, rows, cols;
    size_t a, b;        /* short and long side */
    bool tall;          /* rows > cols: the short side's matrices stand on the right */
    dn_buf *x, *next;   /* [count][rows, cols] */
    dn_buf *squares[4]; /* [count][a, a] each; two for the plain form */
} batch;

static size_t elements_of_one(const dn_ns_method *method, size_t rows, size_t cols)
{
    size_t a = dn_min(rows, cols);
    return dn_size_add(dn_size_mul(2, rows * cols), dn_size_mul(method->gram ? 4 : 2, a * a));
}

size_t dn_ns_workspace_bytes(const dn_ns_method *method, size_t rows, size_t cols, size_t n)
{
    size_t elements = dn_size_mul(dn_min(n, MOST), elements_of_one(method, rows, cols));
    return dn_size_mul(elements, sizeof(dn_real));
}

double dn_ns_flops(const dn_ns_method *method, size_t rows, size_t cols)
{
    double a = (double)dn_min(rows, cols), b = (double)(rows + cols) - a;
    double gram = a * a * b, square = a * a * a, apply = 2 * a * a * b;
    if (!method->gram)
        return DN_NS_STEPS * (gram + square + apply);
    return dn_ns_gram_shard_flops(dn_min(rows, cols), rows * cols) +
           dn_ns_gram_factor_flops(dn_min(rows, cols));
}

static batch lay_out(const dn_ns_method *method, size_t count, size_t rows, size_t cols, void *workspace)
{
    batch w = {.table = dn_ns_coefficients_of(method->set),
               .count = count,
               .rows = rows,
               .cols = cols,
               .a = dn_min(rows, cols),
               .tall = rows > cols,
               .x = workspace};
    w.b = rows + cols - w.a;
    w.next = dn_at(w.x, count * rows * cols);
    for (size_t i = 0; i < (method->gram ? 4 : 2); i++)
        w.squares[i] = dn_at(w.next, count * (rows * cols + i * w.a * w.a));
    return w;
}

/* out = X X^T on the short side. */
static void form_gram(dn_stream *s, const batch *w, dn_buf *out)
{
    s->kernels->symmetric_product(s, w->count, w->tall ? DN_T : DN_N, w->a, w->b, 1, w->x, w->x, 0, NULL, 0,
                                  out);
}

/* out = left right, commuting symmetric matrices. */
static void multiply(dn_stream *s, const batch *w, dn_buf *out, const dn_buf *left, const dn_buf *right)
{
    s->kernels->symmetric_product(s, w->count, DN_N, w->a, w->a, 1, left, right, 0, NULL, 0, out);
}

/* out = a I + b G + c G^2 with the coefficients of `step`. */
static void form_polynomial(dn_stream *s, const batch *w, int step, dn_buf *out, const dn_buf *gram)
{
    s->kernels->symmetric_product(s, w->count, DN_N, w->a, w->a, w->table->step[step].c, gram, gram,
                                  w->table->step[step].b, gram, w->table->step[step].a, out);
}

/* X <- left X on the short side. */
static void apply(dn_stream *s, batch *w, const dn_buf *left)
{
    dn_buf *product = w->next;
    s->kernels->gemm_batch(s, w->count, DN_N, DN_N, w->rows, w->cols, w->a, 1, w->tall ? w->x : left,
                           w->tall ? left : w->x, 0, product);
    w->next = w->x;
    w->x = product;
}

static void iterate(dn_stream *s, batch *w)
{
    for (int step = 0; step < DN_NS_STEPS; step++) {
        form_gram(s, w, w->squares[0]);
        form_polynomial(s, w, step, w->squares[1], w->squares[0]);
        apply(s, w, w->squares[1]);
    }
}

/* Steps from .. to - 1 on the Gram matrix in squares[0]. Returns K, another of the squares. */
static dn_buf *iterate_gram(dn_stream *s, const batch *w, int from, int to)
{
    dn_buf *r = w->squares[0], *factor = w->squares[1], *k = w->squares[2], *product = w->squares[3];
    for (int step = from; step < to; step++) {
        dn_buf *polynomial = step == from ? k : factor; /* K starts as I: K W is W */
        form_polynomial(s, w, step, polynomial, r);
        if (step > from) {
            multiply(s, w, product, k, polynomial);
            dn_buf *old = k;
            k = product;
            product = old;
        }
        if (step + 1 < to) {
            multiply(s, w, product, polynomial, r);
            multiply(s, w, r, product, polynomial);
        }
    }
    return k;
}

static void round_of_gram(dn_stream *s, batch *w, int from, int to)
{
    form_gram(s, w, w->squares[0]);
    apply(s, w, iterate_gram(s, w, from, to));
}

/* X of the batch = x / its norm, or 0 for what is not to be touched. */
static dn_status load(dn_stream *s, const dn_ns_method *method, const batch *w, dn_buf *const *x,
                      dn_ns_info *info)
{
    double squares[MOST];
    size_t size = w->rows * w->cols;
    for (size_t i = 0; i < w->count; i++)
        s->kernels->sum_squares(s, &squares[i], x[i], size);
    DN_TRY(dn_stream_sync(s));
    for (size_t i = 0; i < w->count; i++) {
        double norm = sqrt(squares[i]);
        info[i] = !isfinite(norm) ? DN_NS_NOT_FINITE : norm == 0 ? DN_NS_ZERO : DN_NS_OK;
        if (info[i] == DN_NS_OK)
            s->kernels->scale(s, dn_at(w->x, i * size), dn_ns_scale(method, squares[i]), x[i], size);
        else
            s->kernels->fill(s, dn_at(w->x, i * size), size, 0);
    }
    return DN_OK;
}

static dn_status run_batch(dn_stream *s, const dn_ns_method *method, batch w, dn_buf *const *x,
                           dn_ns_info *info)
{
    size_t size = w.rows * w.cols;
    DN_TRY(load(s, method, &w, x, info));
    if (method->gram) {
        round_of_gram(s, &w, 0, RESTART);
        round_of_gram(s, &w, RESTART, DN_NS_STEPS);
    } else
        iterate(s, &w);
    for (size_t i = 0; i < w.count; i++)
        if (info[i] == DN_NS_OK)
            s->kernels->copy(s, x[i], dn_at(w.x, i * size), size);
    return dn_stream_sync(s);
}

dn_status dn_newton_schulz(dn_stream *s, const dn_ns_method *method, dn_buf *const *x, dn_ns_info *info,
                           size_t n, size_t rows, size_t cols, void *workspace, size_t workspace_bytes)
{
    size_t one = elements_of_one(method, rows, cols) * sizeof(dn_real);
    size_t most = one ? workspace_bytes / one : MOST;
    if (most == 0)
        return dn_fail(DN_ERR_ARG, "%zu bytes of workspace are too few for a %zu x %zu matrix: give %zu",
                       workspace_bytes, rows, cols, one);
    most = dn_min(most, MOST);
    for (size_t at = 0; at < n; at += most) {
        size_t count = dn_min(n - at, most);
        DN_TRY(run_batch(s, method, lay_out(method, count, rows, cols, workspace), x + at, info + at));
    }
    return DN_OK;
}

/* ---- in parts ---- */

double dn_ns_scale(const dn_ns_method *method, double square)
{
    return 1 / (dn_ns_coefficients_of(method->set)->norm_factor * sqrt(square) + method->eps);
}

void dn_ns_gram_shard(dn_stream *s, dn_buf *gram, const dn_buf *x, size_t rows, size_t cols, bool tall)
{
    size_t a = tall ? cols : rows, b = tall ? rows : cols;
    if (b == 0)
        s->kernels->fill(s, gram, a * a, 0);
    else
        s->kernels->symmetric_product(s, 1, tall ? DN_T : DN_N, a, b, 1, x, x, 0, NULL, 0, gram);
}

void dn_ns_gram_factor(dn_stream *s, const dn_ns_method *method, int round, dn_buf *k, dn_buf *gram, size_t a,
                       void *workspace)
{
    batch w = lay_out(method, 1, a, a, workspace);
    w.squares[0] = gram;
    dn_buf *result = iterate_gram(s, &w, round == 0 ? 0 : RESTART, round == 0 ? RESTART : DN_NS_STEPS);
    s->kernels->copy(s, k, result, a * a);
}

void dn_ns_gram_apply(dn_stream *s, dn_buf *x, const dn_buf *k, size_t rows, size_t cols, bool tall,
                      dn_buf *workspace)
{
    size_t a = tall ? cols : rows;
    if (rows * cols == 0)
        return;
    s->kernels->gemm(s, DN_N, DN_N, rows, cols, a, 1, tall ? x : k, a, tall ? k : x, cols, 0, workspace,
                     cols);
    s->kernels->copy(s, x, workspace, rows * cols);
}

double dn_ns_gram_shard_flops(size_t a, size_t elements)
{
    double form = (double)a * (double)elements, multiply = 2 * (double)a * (double)elements;
    return DN_NS_GRAM_ROUNDS * (form + multiply);
}

/* One R^2 a step; K W and R <- W R W are not needed first and last in each of the two rounds. */
double dn_ns_gram_factor_flops(size_t a)
{
    double square = (double)a * (double)a * (double)a;
    return (DN_NS_STEPS + (DN_NS_STEPS - 2) + 2 * (DN_NS_STEPS - 2)) * square;
}
