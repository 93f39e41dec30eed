/* Vectors, and the optimizers that go element by element. */
#include "compute/cuda/elements.cuh"

typedef dn_real (&one)[1];
typedef dn_real (&two)[2];

template <class T> static void set_all(dn_stream *s, T *x, size_t n, dn_real own)
{
    for_each<0, 1>(s, "fill", arrays<1, T>{{x}}, n, [=] __device__(one e) { e[0] = own; });
}

void dn_cuda_fill(dn_stream *s, dn_buf *x, size_t n, double value)
{
    with_type_of(x, [&](auto at) { set_all(s, at(x), n, (dn_real)value); });
}

void dn_cuda_copy(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    for_each<2, 1>(s, "copy", arrays<2>{{numbers(y), numbers(x)}}, n, [=] __device__(two e) { e[0] = e[1]; });
}

void dn_cuda_axpby(dn_stream *s, dn_buf *y, double a, const dn_buf *x, double b, size_t n)
{
    dn_real of_x = (dn_real)a, of_y = (dn_real)b;
    for_each<3, 1>(s, "axpby", arrays<2>{{numbers(y), numbers(x)}}, n,
                   [=] __device__(two e) { e[0] = of_x * e[1] + of_y * e[0]; });
}

void dn_cuda_scale(dn_stream *s, dn_buf *y, double a, const dn_buf *x, size_t n)
{
    dn_real own = (dn_real)a;
    for_each<2, 1>(s, "scale", arrays<2>{{numbers(y), numbers(x)}}, n,
                   [=] __device__(two e) { e[0] = own * e[1]; });
}

void dn_cuda_multiply_add(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
    dn_real factor = (dn_real)a, term = (dn_real)b;
    for_each<1, 1>(s, "multiply_add", arrays<1>{{numbers(x)}}, n, [=] __device__(one e) {
        for (size_t i = 0; i < rounds; i++)
            e[0] = factor * e[0] + term;
    });
}

void dn_cuda_multiply_add_layer(dn_stream *s, dn_buf *x, double a, double b, size_t rounds, size_t n)
{
    dn_cuda_multiply_add(s, x, a, b, rounds, n);
}

void dn_cuda_sign(dn_stream *s, dn_buf *y, const dn_buf *x, size_t n)
{
    for_each<2, 1>(s, "sign", arrays<2>{{numbers(y), numbers(x)}}, n,
                   [=] __device__(two e) { e[0] = (dn_real)((e[1] > 0) - (e[1] < 0)); });
}

void dn_cuda_clear_where_zero(dn_stream *s, dn_buf *x, const dn_buf *u, size_t n)
{
    for_each<3, 1>(s, "clear_where_zero", arrays<2>{{numbers(x), numbers(u)}}, n,
                   [=] __device__(two e) { e[0] = e[1] == 0 ? 0 : e[0]; });
}

/* Signs of products in double here and below: what is too small for a float has one all the same. */
void dn_cuda_scale_aligned(dn_stream *s, dn_buf *x, double a, const dn_buf *u, size_t n)
{
    dn_real own = (dn_real)a;
    for_each<3, 1>(s, "scale_aligned", arrays<2>{{numbers(x), numbers(u)}}, n,
                   [=] __device__(two e) { e[0] = (double)e[1] * (double)e[0] >= 0 ? own * e[0] : e[0]; });
}

void dn_cuda_divide_counts(dn_stream *s, dn_buf *x, const dn_buf *counts, size_t n)
{
    for_each<3, 1>(s, "divide_counts", arrays<2>{{numbers(x), numbers(counts)}}, n,
                   [=] __device__(two e) { e[0] = e[1] > 1 ? e[0] / e[1] : e[0]; });
}

/* Of x, m, v, g. What is 1 - beta is rounded once. */
void dn_cuda_adamw(dn_stream *s, dn_buf *x, dn_buf *m, dn_buf *v, const dn_buf *g, size_t n,
                   const dn_adamw_step *step)
{
    dn_real lr = (dn_real)step->lr, eps = (dn_real)step->eps,
            keep = (dn_real)(1 - step->lr * step->weight_decay);
    dn_real beta1 = (dn_real)step->beta1, rest1 = (dn_real)(1 - step->beta1),
            correction1 = (dn_real)step->correction1;
    dn_real beta2 = (dn_real)step->beta2, rest2 = (dn_real)(1 - step->beta2),
            correction2 = (dn_real)step->correction2;
    bool cautious = step->cautious;
    for_each<15, 7>(s, "adamw", arrays<4>{{numbers(x), numbers(m), numbers(v), numbers(g)}}, n,
                    [=] __device__(dn_real(&e)[4]) {
                        e[1] = beta1 * e[1] + rest1 * e[3];
                        e[2] = beta2 * e[2] + rest2 * e[3] * e[3];
                        bool decays = !cautious || (double)e[1] * (double)e[0] >= 0;
                        e[0] = (decays ? keep : 1) * e[0] -
                               lr * (e[1] / correction1) / (sqrt(e[2] / correction2) + eps);
                    });
}

/* Of x, m, g. */
void dn_cuda_lion(dn_stream *s, dn_buf *x, dn_buf *m, const dn_buf *g, size_t n, double lr, double beta1,
                  double beta2, double weight_decay, bool cautious)
{
    dn_real rate = (dn_real)lr, keep = (dn_real)(1 - lr * weight_decay);
    dn_real of_m = (dn_real)beta1, of_g = (dn_real)(1 - beta1), kept = (dn_real)beta2,
            added = (dn_real)(1 - beta2);
    for_each<7, 3>(s, "lion", arrays<3>{{numbers(x), numbers(m), numbers(g)}}, n,
                   [=] __device__(dn_real(&e)[3]) {
                       dn_real mixed = of_m * e[1] + of_g * e[2], u = (dn_real)((mixed > 0) - (mixed < 0));
                       bool decays = !cautious || (double)mixed * (double)e[0] >= 0;
                       e[1] = kept * e[1] + added * e[2];
                       e[0] = (decays ? keep : 1) * e[0] - rate * u;
                   });
}
