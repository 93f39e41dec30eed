/*
 * The wide work of orthonormalization: Gram matrices and sketches of bands of rows, and P = P T.
 *
 * At the sizes of Dion (m ~ 1000, r ~ 128) OpenBLAS's syrk and trmm run at a third of peak and hardly use two
 * threads. Here threads share out rows, and a thread works in tiles that OpenBLAS multiplies with its kernels
 * for small matrices (inside a parallel region OpenBLAS uses the calling thread alone). dn_real becomes
 * double tile by tile: no copy of P is made.
 *
 * Bands are cut into at most 16 parts by their shape alone, and what is formed of parts is added in order:
 * one bit pattern for any number of threads and in any batch. The parts of a whole batch, one behind the
 * other, are cut into as many runs of equal work as there are threads, and a thread adds the parts of a band
 * as it goes. Where a run ends inside of a band, what is formed of the rest waits in slots until all is
 * done.
 */
#include "base/random.h"
#include "compute/cpu/blas.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

/* Rows and columns of a product. Measured with AVX-512, doubles, r 64 to 192: tiles of 32 columns reach 65 to
 * 86 GFLOP/s in a Gram matrix and 52 to 64 in P T, of 64 columns 48 to 75 and 43 to 56 (both compute
 * whole tiles on the diagonal), of 128 some 35 to 50. */
#define TILE  ((size_t)32)
#define CHUNK ((size_t)128)
#define PARTS ((size_t)16)

/* ---- sharing out ---- */

/* Some rows of a band. */
typedef struct part {
    const dn_row_block *band;
    size_t first, rows; /* counted from the band's first */
    size_t index;       /* among those of the band */
    size_t run;         /* who takes it */
    bool waits;         /* its band began in another run */
} part;

/* All parts of a batch in order. */
typedef struct walk {
    const dn_row_block *bands;
    size_t n_bands, n_runs;
    double total;        /* work of the batch */
    double before;       /* work of the bands gone by */
    size_t band, n_gone; /* and parts of this one */
} walk;

/* Without columns there is nothing in the rows. */
static size_t rows_in(const dn_row_block *b)
{
    return b->r > 0 ? b->rows : 0;
}

/* A part holds at least r rows, so that slots hold no more than a copy of their bands would. */
static size_t part_rows(const dn_row_block *b)
{
    return dn_blocks(dn_max(dn_max(dn_blocks(rows_in(b), PARTS), b->r), CHUNK), CHUNK / 2) * (CHUNK / 2);
}

/* An empty band has one part, without rows: its sum is 0. */
static size_t count_parts(const dn_row_block *b)
{
    return dn_max(dn_blocks(rows_in(b), part_rows(b)), 1);
}

/* Up to a factor, of each of these kernels. */
static double work_of(const dn_row_block *b, size_t rows)
{
    return (double)rows * (double)b->r * (double)b->r;
}

static walk start_walk(const dn_row_block *bands, size_t n_bands, size_t n_runs)
{
    walk w = {.bands = bands, .n_bands = n_bands, .n_runs = n_runs};
    for (size_t i = 0; i < n_bands; i++)
        w.total += work_of(&bands[i], rows_in(&bands[i]));
    return w;
}

/* The run that the middle of a part falls in. */
static size_t run_of(const walk *w, size_t index)
{
    const dn_row_block *b = &w->bands[w->band];
    size_t first = index * part_rows(b), last = dn_min(first + part_rows(b), rows_in(b));
    double middle = w->before + work_of(b, first + last) / 2;
    return w->total > 0 ? dn_min((size_t)(middle / w->total * (double)w->n_runs), w->n_runs - 1) : 0;
}

static bool next_part(walk *w, part *out)
{
    if (w->band == w->n_bands)
        return false;
    const dn_row_block *b = &w->bands[w->band];
    size_t first = w->n_gone * part_rows(b);
    *out = (part){.band = b,
                  .first = first,
                  .rows = dn_min(rows_in(b) - first, part_rows(b)),
                  .index = w->n_gone,
                  .run = run_of(w, w->n_gone),
                  .waits = run_of(w, w->n_gone) != run_of(w, 0)};
    if (++w->n_gone == count_parts(b)) {
        w->before += work_of(b, rows_in(b));
        w->n_gone = 0;
        w->band++;
    }
    return true;
}

static const dn_real *rows_of(const part *x)
{
    return dn_host(x->band->p) + x->first * x->band->r;
}

static void widen(double *restrict out, const dn_real *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = (double)in[i];
}

/* ---- what is formed of parts ---- */

typedef struct former {
    size_t (*rows)(size_t r);              /* of a result [rows, r] */
    bool upper;                            /* only its upper triangle */
    size_t (*room)(const dn_row_block *b); /* doubles that form works in */
    void (*form)(const part *x, double *room, double *out);
} former;

static size_t gram_rows(size_t r)
{
    return r;
}

static size_t gram_room(const dn_row_block *b)
{
    return CHUNK * b->r;
}

static void form_gram(const part *x, double *chunk, double *gram)
{
    size_t r = x->band->r;
    if (x->rows == 0)
        memset(gram, 0, r * r * sizeof *gram);
    for (size_t row = 0; row < x->rows; row += CHUNK) {
        size_t rows = dn_min(x->rows - row, CHUNK);
        widen(chunk, rows_of(x) + row * r, rows * r);
        for (size_t i = 0; i < r; i += TILE)
            for (size_t j = i; j < r; j += TILE)
                cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)dn_min(r - i, TILE),
                            (int)dn_min(r - j, TILE), (int)rows, 1, chunk + i, (int)r, chunk + j, (int)r,
                            row > 0, gram + i * r + j, (int)r);
    }
}

static const former gram_former = {gram_rows, true, gram_room, form_gram};

static size_t sketch_rows(size_t r)
{
    return dn_sketch_rows(r) + 1;
}

/* A chunk of S, and the product, in dn_real. */
static size_t sketch_room(const dn_row_block *b)
{
    return dn_sketch_rows(b->r) * (CHUNK + b->r);
}

static void add_squares(double *restrict squares, const dn_real *restrict x, size_t rows, size_t r)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < r; j++)
            squares[j] += (double)x[i * r + j] * (double)x[i * r + j];
}

static void form_sketch(const part *x, double *room, double *out)
{
    const dn_row_block *b = x->band;
    size_t k = dn_sketch_rows(b->r), r = b->r;
    dn_real *chunk = (dn_real *)room, *product = chunk + k * CHUNK;
    memset(product, 0, k * r * sizeof *product);
    memset(out + k * r, 0, r * sizeof *out);
    for (size_t row = 0; row < x->rows; row += CHUNK) {
        size_t rows = dn_min(x->rows - row, CHUNK), at = b->row0 + x->first + row;
        const dn_real *p = rows_of(x) + row * r;
        for (size_t i = 0; i < k; i++)
            dn_random_normal(b->seed, b->draw, i * b->m + at, rows, 1 / sqrt((double)k), chunk + i * rows);
        dn_cblas_gemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)k, (int)r, (int)rows, 1, chunk,
                      (int)rows, p, (int)r, 1, product, (int)r);
        add_squares(out + k * r, p, rows, r);
    }
    widen(out, product, k * r);
}

static const former sketch_former = {sketch_rows, false, sketch_room, form_sketch};

/* ---- forming ---- */

/* Rows first, first + step, ... of out += in. */
static void add_rows(const former *f, double *restrict out, const double *restrict in, size_t r, size_t first,
                     size_t step)
{
    for (size_t i = first; i < f->rows(r); i += step)
        for (size_t j = f->upper ? i : 0; j < r; j++)
            out[i * r + j] += in[i * r + j];
}

static size_t size_of(const former *f, const dn_row_block *b)
{
    return f->rows(b->r) * b->r;
}

/* The memory of a batch: for each run a room and a result; slots for the parts that wait. */
typedef struct store {
    double *rooms, *slots;
    size_t room, result;
} store;

static bool take_store(dn_stream *s, const former *f, const dn_row_block *bands, size_t n, store *out)
{
    *out = (store){0};
    size_t slots = 0;
    walk w = start_walk(bands, n, (size_t)s->n_threads);
    for (part x; next_part(&w, &x);) {
        out->room = dn_max(out->room, f->room(x.band));
        out->result = dn_max(out->result, size_of(f, x.band));
        if (x.waits)
            slots += size_of(f, x.band);
    }
    size_t runs = w.n_runs * (out->room + out->result);
    out->rooms = dn_scratch(s, (runs + slots) * sizeof(double));
    out->slots = out->rooms + runs;
    return out->rooms != NULL;
}

static void form_run(const former *f, walk w, size_t run, const store *m)
{
    double *room = m->rooms + run * (m->room + m->result), *result = room + m->room, *slot = m->slots;
    for (part x; next_part(&w, &x);) {
        double *out = dn_host_wide(x.band->partial);
        if (x.run == run) {
            double *to = x.waits ? slot : x.index > 0 ? result : out;
            f->form(&x, room, to);
            if (to == result)
                add_rows(f, out, result, x.band->r, 0, 1);
        }
        slot += x.waits ? size_of(f, x.band) : 0;
    }
}

/* Every n_runs-th row of the results: what waited is added, in order. */
static void add_slots(const former *f, walk w, size_t run, const store *m)
{
    const double *slot = m->slots;
    for (part x; next_part(&w, &x);)
        if (x.waits) {
            add_rows(f, dn_host_wide(x.band->partial), slot, x.band->r, run, w.n_runs);
            slot += size_of(f, x.band);
        }
}

static void form_all(dn_stream *s, const former *f, const dn_row_block *bands, size_t n)
{
    store m;
    if (n == 0 || !take_store(s, f, bands, n, &m))
        return;
    const walk w = start_walk(bands, n, (size_t)s->n_threads);
#pragma omp parallel num_threads(s->n_threads)
    {
#pragma omp for schedule(static)
        for (size_t run = 0; run < w.n_runs; run++)
            form_run(f, w, run, &m);
#pragma omp for schedule(static)
        for (size_t run = 0; run < w.n_runs; run++)
            add_slots(f, w, run, &m);
    }
}

void DN_CPU(gram)(dn_stream *s, const dn_row_block *bands, size_t n)
{
    form_all(s, &gram_former, bands, n);
}

void DN_CPU(sketch)(dn_stream *s, const dn_row_block *bands, size_t n)
{
    form_all(s, &sketch_former, bands, n);
}

/* ---- P = P T ---- */

static size_t apply_room(size_t r)
{
    return CHUNK * (r + TILE);
}

/* T's tiles below its diagonal are never read. */
static void apply_part(const part *x, double *chunk)
{
    size_t r = x->band->r;
    const double *t = dn_host_wide(x->band->inverse);
    double *product = chunk + CHUNK * r;
    for (size_t row = 0; row < x->rows; row += CHUNK) {
        size_t rows = dn_min(x->rows - row, CHUNK);
        dn_real *p = dn_host(x->band->p) + (x->first + row) * r;
        widen(chunk, p, rows * r);
        for (size_t j = 0; j < r; j += TILE) {
            size_t cols = dn_min(r - j, TILE);
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)cols, (int)(j + cols), 1,
                        chunk, (int)r, t + j, (int)r, 0, product, TILE);
            for (size_t i = 0; i < rows; i++)
                for (size_t l = 0; l < cols; l++)
                    p[i * r + j + l] = (dn_real)product[i * TILE + l];
        }
    }
}

static void apply_run(walk w, size_t run, double *room)
{
    for (part x; next_part(&w, &x);)
        if (x.run == run)
            apply_part(&x, room);
}

void DN_CPU(apply)(dn_stream *s, const dn_row_block *bands, size_t n)
{
    size_t room = 0;
    for (size_t i = 0; i < n; i++)
        room = dn_max(room, apply_room(bands[i].r));
    double *rooms = dn_scratch(s, (size_t)s->n_threads * room * sizeof *rooms);
    if (!rooms || n == 0)
        return;
    const walk w = start_walk(bands, n, (size_t)s->n_threads);
#pragma omp parallel for schedule(static) num_threads(s->n_threads)
    for (size_t run = 0; run < w.n_runs; run++)
        apply_run(w, run, rooms + run * room);
}
