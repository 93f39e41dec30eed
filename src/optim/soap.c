/*
 * SOAP (arXiv 2409.11321, algorithm 3): Adam in a slowly turning basis, that of the eigenvectors of Shampoo's
 * two preconditioners. For a matrix X with gradient G [m,n]:
 *
 *     M = b1 M + (1-b1) G                      momentum, in the basis of X
 *     V = b2 V + (1-b2) (P' G Q)^2             second moments, element by element, in the turned basis
 *     N = (P' M Q / c1) / (sqrt(V / c2) + eps)           c = 1 - b^t, as AdamW's
 *     X = (1 - lr wd) X - lr P N Q'
 *     L = b2 L + (1-b2) G G'  [m,m]            R = b2 R + (1-b2) G' G  [n,n]
 *     P = qr((L + l I) P)                      Q = qr((R + r I) Q)           in steps 1, 11, 21, ...
 *
 * The bases P and Q follow the eigenvectors by one power iteration and a QR every ten steps, as in the paper.
 * They start as the identity instead of by an eigendecomposition, so that the first step is AdamW's. The
 * shift l = ||L|| / m, and r likewise, is ours: it changes no eigenvector, and bounds the condition of what
 * QR takes by m + 1. Without it directions that no gradient has had yet (of a matrix of low rank, or longer
 * than all gradients so far could fill) would be chosen by rounding, and results would depend on the mesh.
 * Both sides are turned however long they are: a side of m takes 2 m^2 numbers.
 */
#include "base/fail.h"
#include "compute/kernels.h"
#include "optim/rule.h"

#include <math.h>

enum { MOMENTUM, SECOND, LEFT, RIGHT, LEFT_BASIS, RIGHT_BASIS };
enum { TURN_EVERY = 10 }; /* steps between two power iterations: the paper's */

static dn_state_shape whole(size_t rows, size_t cols)
{
    return (dn_state_shape){rows, cols};
}

static dn_state_shape left(size_t rows, size_t cols)
{
    (void)cols;
    return (dn_state_shape){rows, rows};
}

static dn_state_shape right(size_t rows, size_t cols)
{
    (void)rows;
    return (dn_state_shape){cols, cols};
}

static size_t room(size_t m, size_t n)
{
    return 3 * m * n + m * m + n * n;
}

/* Six products of turning, two halves of Gram matrices; a tenth of two power iterations and QR. */
static double flops(size_t rows, size_t cols)
{
    double m = (double)rows, n = (double)cols;
    return 7 * m * n * (m + n) + (2 + 8.0 / 3) * (m * m * m + n * n * n) / TURN_EVERY;
}

/* out [m,n] = op(P) x op(Q) by way of t [m,n]. */
static void turn(dn_stream *s, const dn_owner_matrix *w, bool back, const dn_buf *x, dn_buf *t, dn_buf *out)
{
    size_t m = w->rows, n = w->cols;
    s->kernels->gemm(s, back ? DN_N : DN_T, DN_N, m, n, m, 1, w->states[LEFT_BASIS], m, x, n, 0, t, n);
    s->kernels->gemm(s, DN_N, back ? DN_T : DN_N, m, n, n, 1, t, n, w->states[RIGHT_BASIS], n, 0, out, n);
}

/* x [a,a] = beta2 x + (1-beta2) G G' or G' G; t as large. */
static void add_gram(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *w, dn_trans side,
                     dn_buf *x, dn_buf *t)
{
    size_t a = side == DN_N ? w->rows : w->cols, k = side == DN_N ? w->cols : w->rows;
    s->kernels->symmetric_product(s, 1, side, a, k, 1 - config->beta2, w->o, w->o, config->beta2, x, 0, t);
    s->kernels->copy(s, x, t, a * a);
}

/* One power iteration of both bases, in t [m,m] and u [n,n]. */
static dn_status follow(dn_stream *s, const dn_owner_matrix *w, dn_buf *t, dn_buf *u, dn_ns_info *info)
{
    dn_tall sides[] = {{.m = w->rows, .r = w->rows, .p = t}, {.m = w->cols, .r = w->cols, .p = u}};
    double squares[2];
    for (int i = 0; i < 2; i++)
        s->kernels->sum_squares(s, &squares[i], w->states[LEFT + i], sides[i].m * sides[i].m);
    DN_TRY(dn_stream_sync(s));
    for (int i = 0; i < 2; i++) {
        size_t a = sides[i].m;
        const dn_buf *basis = w->states[LEFT_BASIS + i];
        s->kernels->gemm(s, DN_N, DN_N, a, a, a, 1, w->states[LEFT + i], a, basis, a, 0, sides[i].p, a);
        s->kernels->axpby(s, sides[i].p, sqrt(squares[i]) / (double)a, basis, 1, a * a);
    }
    s->kernels->householder(s, sides, 2);
    DN_TRY(dn_stream_sync(s));
    for (int i = 0; i < 2; i++) {
        if (sides[i].info == DN_FACTOR_NOT_FINITE)
            *info = DN_NS_NOT_FINITE;
        if (sides[i].info == DN_FACTOR_OK) /* not where all gradients were 0 so far */
            s->kernels->copy(s, w->states[LEFT_BASIS + i], sides[i].p, sides[i].m * sides[i].m);
    }
    return DN_OK;
}

static dn_status transform(dn_stream *s, const dn_optim_config *config, const dn_owner_matrix *w,
                           dn_ns_info *info)
{
    size_t m = w->rows, n = w->cols;
    dn_buf *gradient = w->workspace, *momentum = dn_at(gradient, m * n), *update = dn_at(momentum, m * n);
    dn_buf *t = dn_at(update, m * n), *u = dn_at(t, m * m);
    const size_t sizes[] = {[MOMENTUM] = m * n, [SECOND] = m * n, [LEFT] = m * m, [RIGHT] = n * n};
    double squares[4], of_update, sum = 0;
    const dn_adamw_step adam = {.lr = -1,
                                .beta1 = config->beta1,
                                .beta2 = config->beta2,
                                .eps = config->eps,
                                .correction1 = 1 - pow(config->beta1, (double)w->step + 1),
                                .correction2 = 1 - pow(config->beta2, (double)w->step + 1)};
    turn(s, w, false, w->o, update, gradient);
    turn(s, w, false, w->states[MOMENTUM], update, momentum);
    s->kernels->axpby(s, w->states[MOMENTUM], 1 - config->beta1, w->o, config->beta1, m * n);
    add_gram(s, config, w, DN_N, w->states[LEFT], t);
    add_gram(s, config, w, DN_T, w->states[RIGHT], u);
    s->kernels->fill(s, update, m * n, 0);
    s->kernels->adamw(s, update, momentum, w->states[SECOND], gradient, m * n, &adam);
    turn(s, w, true, update, gradient, w->o);
    s->kernels->sum_squares(s, &of_update, w->o, m * n);
    for (int i = 0; i < 4; i++)
        s->kernels->sum_squares(s, &squares[i], w->states[i], sizes[i]);
    DN_TRY(dn_stream_sync(s));
    for (int i = 0; i < 4; i++) /* a basis that is not finite shows in the update */
        sum += squares[i];
    *info = !isfinite(sum + of_update) ? DN_NS_NOT_FINITE : squares[MOMENTUM] == 0 ? DN_NS_ZERO : DN_NS_OK;
    return w->step % TURN_EVERY == 0 ? follow(s, w, t, u, info) : DN_OK;
}

static void apply(dn_stream *s, const dn_optim_config *config, const dn_matrix_shard *x,
                  const dn_update_params *p)
{
    (void)config;
    s->kernels->axpby(s, x->weight, -p->lr, x->grad, 1 - p->lr * p->weight_decay, x->rows * x->cols);
}

const dn_rule dn_rule_soap = {
    .info = {.name = "soap", .help = "Adam in the eigenbasis of Shampoo", .matrices_only = true, .lr = 0.003},
    .executor = DN_OWNER,
    .states = {[MOMENTUM] = {.name = "soap.momentum", .at_owner = whole},
               [SECOND] = {.name = "soap.second", .at_owner = whole},
               [LEFT] = {.name = "soap.left", .at_owner = left},
               [RIGHT] = {.name = "soap.right", .at_owner = right},
               [LEFT_BASIS] = {.name = "soap.left_basis", .at_owner = left, .identity = true},
               [RIGHT_BASIS] = {.name = "soap.right_basis", .at_owner = right, .identity = true}},
    .options = {&dn_option_beta1, &dn_option_beta2, &dn_option_eps},
    .decays = {&dn_option_beta1, &dn_option_beta2},
    .transform = transform,
    .transform_room = room,
    .transform_flops = flops,
    .apply = apply,
};
