/* Stands in for exchanges and the orthonormalization in bands until they are there. */
#ifndef SYNC_INTERIM_H
#define SYNC_INTERIM_H

#include "base/fail.h"
#include "dionode/mesh.h"
#include "linalg/orth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct dn_orth_part {
    size_t row0, rows, at;
} dn_orth_part;

typedef enum dn_orth_found { DN_ORTH_FINE, DN_ORTH_FELL_BACK, DN_ORTH_ZERO, DN_ORTH_BROKEN } dn_orth_found;

typedef struct dn_orth_matrix {
    size_t m, r;
    dn_buf *p;
    const dn_orth_part *parts;
    int owner;
    uint64_t draw;
    dn_orth_found found;
} dn_orth_matrix;

static inline size_t dn_orth_heap_bytes(dn_orth method, int team, const dn_orth_matrix *x, size_t n)
{
    return 0;
}

static inline dn_status interim_orth(dn_stream *s, dn_comm *team, dn_orth method, uint64_t seed,
                                     dn_orth_matrix *x)
{
    size_t r = x->r;
    dn_real *whole = malloc(x->m * r * sizeof *whole);
    DN_TRY(dn_comm_barrier(team));
    for (int k = 0; k < dn_comm_size(team); k++)
        memcpy(whole + x->parts[k].row0 * r, (dn_real *)dn_comm_peer(team, x->p, k) + x->parts[k].at,
               x->parts[k].rows * r * sizeof *whole);
    DN_TRY(dn_comm_barrier(team));
    double norm2;
    s->kernels->sum_squares(s, &norm2, (dn_buf *)whole, x->m * r);
    x->found = norm2 == 0 ? DN_ORTH_ZERO : isfinite(norm2) ? DN_ORTH_FINE : DN_ORTH_BROKEN;
    if (x->found == DN_ORTH_FINE) {
        bool back;
        DN_TRY((dn_orthonormalize)(s, method, (dn_buf *)whole, x->m, r, seed, x->draw, &back));
        x->found = back ? DN_ORTH_FELL_BACK : DN_ORTH_FINE;
        const dn_orth_part *mine = &x->parts[dn_comm_rank(team)];
        memcpy((dn_real *)x->p + mine->at, whole + mine->row0 * r, mine->rows * r * sizeof *whole);
    }
    free(whole);
    return DN_OK;
}

static inline dn_status interim_orths(dn_stream *s, dn_comm *team, dn_orth method, uint64_t seed, void *w,
                                      size_t wb, dn_orth_matrix *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        DN_TRY(interim_orth(s, team, method, seed, &x[i]));
    return DN_OK;
}
#define dn_orthonormalize(...) interim_orths(__VA_ARGS__)

#endif
