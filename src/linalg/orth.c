#include "linalg/orth.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
#include "device/device.h"

#include <assert.h>

/* Beyond this a call works in several batches. */
#define BATCH_BYTES ((size_t)64 << 20)
#define BATCH_MOST  64

/* What the next round of a matrix does. */
typedef enum stage { GRAM, SKETCH, HOUSEHOLDER, DONE, N_STAGES = DONE } stage;

/* What the owner found out in a round; read in place by all. */
typedef struct factor_result {
    dn_factor_info info;
    double defect;
} factor_result;

typedef struct task {
    dn_orth_matrix *a;
    stage stage;
    bool sketched, again;         /* passes it has behind it: by a sketch; one by Gram that left too much */
    bool admitted;                /* Householder: the owner's room holds it in this round */
    size_t whole_at;              /* and where */
    factor_result *factor_result; /* symmetric, as the small matrices */
    dn_wide *partial, *inverse;
    const void **partials; /* [communicator size] of all members; the owner's list */
} task;

typedef struct batch {
    dn_stream *s;
    dn_comm *comm;
    dn_orth method;
    uint64_t seed;
    dn_buf *whole; /* symmetric: owners gather rows here */
    size_t whole_elements;
    task tasks[BATCH_MOST];
    size_t n;
} batch;

static int rank_in(const batch *b)
{
    return dn_comm_rank(b->comm);
}

static bool owned(const batch *b, const task *t)
{
    return t->a->owner == rank_in(b);
}

/* ---- workspace ---- */

static stage first_stage(dn_orth method, const dn_orth_matrix *a)
{
    if (a->r == 0)
        return DONE;
    if (method == DN_ORTH_QR || (method == DN_ORTH_RCQR && a->m == a->r) ||
        (method == DN_ORTH_CQR2 && a->steep))
        return HOUSEHOLDER;
    return method == DN_ORTH_RCQR ? SKETCH : GRAM;
}

double dn_orth_owner_flops(dn_orth method, const dn_orth_matrix *a)
{
    double m = (double)a->m, r = (double)a->r;
    return first_stage(method, a) == HOUSEHOLDER ? 4 * m * r * r - 4.0 / 3 * r * r * r : 2.0 / 3 * r * r * r;
}

static bool may_sketch(dn_orth method, const dn_orth_matrix *a)
{
    return (method == DN_ORTH_RCQR || method == DN_ORTH_CQR) && a->m > a->r;
}

/* Takes the small matrices of a task; with an arena that measures, says what they need. */
static void take_small(dn_orth method, int comm_size, const dn_orth_matrix *a, dn_arena *arena, task *t)
{
    size_t rows = may_sketch(method, a) ? dn_sketch_rows(a->r) + 1 : a->r;
    bool none = first_stage(method, a) == HOUSEHOLDER;
    t->factor_result = dn_heap_on_host(dn_arena_take(arena, sizeof *t->factor_result));
    t->partials = dn_heap_on_host(dn_arena_take(arena, none ? 0 : (size_t)comm_size * sizeof *t->partials));
    t->partial = dn_arena_take(arena, none ? 0 : dn_size_mul(dn_max(rows, a->r) * a->r, sizeof(double)));
    t->inverse = dn_arena_take(arena, none ? 0 : dn_size_mul(a->r * a->r, sizeof(double)));
}

static size_t small_bytes(dn_orth method, int comm_size, const dn_orth_matrix *a)
{
    dn_arena measure = {0};
    task ignored;
    take_small(method, comm_size, a, &measure, &ignored);
    return measure.used;
}

static size_t whole_bytes(const dn_orth_matrix *a)
{
    dn_arena measure = {0};
    (void)dn_arena_take(&measure, dn_size_mul(a->m * a->r, sizeof(dn_real)));
    return measure.used;
}

/* One member has its rows in one place already. Where Householder is but the last resort, one matrix at a
 * time will do. */
static size_t room_for_whole(dn_orth method, int comm_size, const dn_orth_matrix *matrices, size_t n)
{
    size_t sum = 0, largest = 0;
    for (size_t i = 0; i < n && comm_size > 1; i++) {
        size_t now = first_stage(method, &matrices[i]) == HOUSEHOLDER ? whole_bytes(&matrices[i]) : 0;
        sum = dn_size_add(sum, now);
        largest = dn_max(largest, whole_bytes(&matrices[i]));
    }
    return dn_max(largest, dn_min(sum, BATCH_BYTES));
}

size_t dn_orth_heap_bytes(dn_orth method, int comm_size, const dn_orth_matrix *matrices, size_t n)
{
    size_t sum = 0, largest = 0;
    for (size_t i = 0; i < n; i++) {
        size_t bytes = small_bytes(method, comm_size, &matrices[i]);
        sum = dn_size_add(sum, bytes);
        largest = dn_max(largest, bytes);
    }
    size_t most = dn_max(largest, BATCH_BYTES);
    return dn_size_add(room_for_whole(method, comm_size, matrices, n), dn_min(sum, most));
}

/* ---- a round: every member for its rows ---- */

static dn_row_block band_of(const batch *b, const task *t, const dn_wide *inverse)
{
    const dn_orth_matrix *a = t->a;
    const dn_orth_shard *part = &a->parts[rank_in(b)];
    return (dn_row_block){.m = a->m,
                          .r = a->r,
                          .row0 = part->row0,
                          .rows = part->rows,
                          .p = dn_at(a->p, part->at),
                          .seed = b->seed,
                          .draw = a->draw,
                          .partial = t->partial,
                          .inverse = inverse};
}

static dn_status form_partials(batch *b)
{
    for (stage which = GRAM; which <= SKETCH; which++) {
        dn_row_block shards[BATCH_MOST];
        size_t n = 0;
        for (size_t i = 0; i < b->n; i++)
            if (b->tasks[i].stage == which)
                shards[n++] = band_of(b, &b->tasks[i], NULL);
        if (n > 0)
            (which == GRAM ? b->s->kernels->gram : b->s->kernels->sketch)(b->s, shards, n);
    }
    return dn_stream_sync(b->s);
}

/* ---- a round: the owner once ---- */

/* What is a triangle is exchanged as one. */
static size_t triangle_bytes(size_t r)
{
    return r * (r + 1) / 2 * sizeof(double);
}

static size_t sketch_bytes(size_t r)
{
    return (dn_sketch_rows(r) + 1) * r * sizeof(double);
}

static dn_comm_chunk chunk_of_partial(const task *t)
{
    size_t r = t->a->r;
    return t->stage == SKETCH ? dn_comm_chunk_of(t->partial, sketch_bytes(r))
                              : (dn_comm_chunk){t->partial, r * r * sizeof(double), triangle_bytes(r)};
}

static dn_status factor_sums(batch *b, stage which)
{
    dn_factoring items[BATCH_MOST];
    task *whose[BATCH_MOST];
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        task *t = &b->tasks[i];
        if (t->stage != which)
            continue;
        dn_comm_view_to_owner(b->comm, chunk_of_partial(t), t->a->owner, DN_TRAFFIC_ORTH, t->partials);
        t->a->rounds.grams += which == GRAM;
        t->a->rounds.sketches += which == SKETCH;
        if (!owned(b, t))
            continue;
        whose[n] = t;
        items[n++] = (dn_factoring){.r = t->a->r,
                                    .n_partials = (size_t)dn_comm_size(b->comm),
                                    .partials = (const dn_wide *const *)t->partials,
                                    .inverse = t->inverse};
    }
    if (n > 0)
        (which == GRAM ? b->s->kernels->factor_gram : b->s->kernels->factor_sketch)(b->s, items, n);
    DN_TRY(dn_stream_sync(b->s));
    for (size_t i = 0; i < n; i++)
        *whose[i]->factor_result = (factor_result){items[i].info, items[i].defect};
    return DN_OK;
}

/* Which matrices the rooms of their owners hold in this round; the first always fits. The same on all
 * members. */
static void admit(batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        task *t = &b->tasks[i];
        t->whole_at = 0;
        for (size_t j = 0; j < i; j++) {
            const task *before = &b->tasks[j];
            if (before->stage == HOUSEHOLDER && before->admitted && before->a->owner == t->a->owner)
                t->whole_at += before->a->m * before->a->r;
        }
        t->admitted = dn_comm_size(b->comm) == 1 || t->whole_at + t->a->m * t->a->r <= b->whole_elements;
    }
}

static bool in_turn(const task *t)
{
    return t->stage == HOUSEHOLDER && t->admitted;
}

/* Where this rank's room has, or will have, all rows of a matrix. */
static dn_buf *whole_of(const batch *b, const task *t)
{
    return dn_comm_size(b->comm) == 1 ? dn_at(t->a->p, t->a->parts[0].at) : dn_at(b->whole, t->whole_at);
}

/* The rows of all members to the owner's room, or each one's from there. */
static void send_rows(const batch *b, const task *t, bool back)
{
    const dn_orth_matrix *a = t->a;
    for (int k = 0; k < dn_comm_size(b->comm) && dn_comm_size(b->comm) > 1; k++) {
        const dn_orth_shard *part = &a->parts[k];
        size_t n = part->rows * a->r;
        dn_buf *own = dn_at(a->p, part->at), *at_owner = dn_at(whole_of(b, t), part->row0 * a->r);
        dn_comm_chunk sent = dn_comm_chunk_of(back ? at_owner : own, n * sizeof(dn_real));
        const dn_buf *from =
            dn_comm_view_sent(b->comm, sent, back ? a->owner : k, back ? k : a->owner, DN_TRAFFIC_ORTH);
        if (from)
            b->s->kernels->copy(b->s, back ? own : at_owner, from, n);
    }
    t->a->rounds.wholes += !back;
    t->a->rounds.returned += back;
}

static dn_status factor_wholes(batch *b)
{
    dn_tall items[BATCH_MOST];
    task *whose[BATCH_MOST];
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        task *t = &b->tasks[i];
        if (!in_turn(t))
            continue;
        send_rows(b, t, false);
        if (!owned(b, t))
            continue;
        whose[n] = t;
        items[n++] = (dn_tall){.m = t->a->m, .r = t->a->r, .p = whole_of(b, t)};
    }
    if (n > 0)
        b->s->kernels->householder(b->s, items, n);
    DN_TRY(dn_stream_sync(b->s));
    for (size_t i = 0; i < n; i++)
        *whose[i]->factor_result = (factor_result){.info = items[i].info};
    return DN_OK;
}

void dn_orth_rounds_add(dn_orth_rounds *sum, const dn_orth_rounds *more)
{
    sum->grams += more->grams;
    sum->sketches += more->sketches;
    sum->applied += more->applied;
    sum->wholes += more->wholes;
    sum->returned += more->returned;
}

/* ---- a round: what comes next, and every member's rows ---- */

/*
 * Draws the consequences of a round: what each matrix does next, and P = P T where it is due.
 *
 * Rounding P T to dn_real between the passes does no harm: its columns are nearly orthonormal, so rounding is
 * small against every direction of them (in P itself it could bury some), and the next Gram matrix is formed
 * of what was written. Any upper-triangular T of positive diagonal keeps p = P R: how accurate T is decides
 * only how far P'P is from I.
 */
static dn_status conclude(batch *b)
{
    dn_row_block shards[BATCH_MOST];
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        task *t = &b->tasks[i];
        dn_orth_matrix *a = t->a;
        if (t->stage == DONE || (t->stage == HOUSEHOLDER && !t->admitted))
            continue;
        const factor_result *result = dn_comm_view_from_owner(
            b->comm, dn_comm_chunk_of(t->factor_result, sizeof *result), a->owner, DN_TRAFFIC_ORTH);
        if (result->info == DN_FACTOR_ZERO || result->info == DN_FACTOR_NOT_FINITE) {
            t->stage = DONE;
            a->info = result->info == DN_FACTOR_ZERO ? DN_ORTH_ZERO : DN_ORTH_NOT_FINITE;
        } else if (result->info == DN_FACTOR_RANK_DEFICIENT) {
            /* The pass of cqr is then not behind it: P is as it was, and a sketch may do. */
            bool may = b->method == DN_ORTH_CQR && t->stage == GRAM && !t->sketched && a->m > a->r;
            t->stage = may ? SKETCH : HOUSEHOLDER;
            a->info = may ? a->info : DN_ORTH_FELL_BACK;
        } else if (t->stage == HOUSEHOLDER) {
            send_rows(b, t, true);
            t->stage = DONE;
        } else {
            const dn_comm_chunk inverse = {t->inverse, a->r * a->r * sizeof(double), triangle_bytes(a->r)};
            shards[n++] = band_of(b, t, dn_comm_view_from_owner(b->comm, inverse, a->owner, DN_TRAFFIC_ORTH));
            a->rounds.applied++;
            if (t->stage == SKETCH) { /* then a pass by the Gram matrix */
                t->stage = GRAM;
                t->sketched = true;
            } else if (b->method == DN_ORTH_CQR2 && !t->again && result->defect > DN_REAL_EPS) {
                t->again = true;
            } else {
                t->stage = DONE;
                a->info = DN_ORTH_OK;
            }
        }
    }
    if (n > 0)
        b->s->kernels->apply(b->s, shards, n);
    return dn_stream_sync(b->s);
}

/* ---- all ---- */

static bool finished(const batch *b)
{
    for (size_t i = 0; i < b->n; i++)
        if (b->tasks[i].stage != DONE)
            return false;
    return true;
}

/* As many matrices as the arena holds. */
static void fill_batch(batch *b, dn_arena arena, dn_orth_matrix *matrices, size_t n)
{
    int comm_size = dn_comm_size(b->comm);
    for (b->n = 0; b->n < n && b->n < BATCH_MOST; b->n++) {
        dn_orth_matrix *a = &matrices[b->n];
        task *t = &b->tasks[b->n];
        assert(a->m >= a->r);
        if (small_bytes(b->method, comm_size, a) > arena.capacity - arena.used)
            return;
        a->info = a->r == 0 ? DN_ORTH_ZERO : DN_ORTH_OK;
        a->rounds = (dn_orth_rounds){0};
        *t = (task){.a = a, .stage = first_stage(b->method, a)};
        take_small(b->method, comm_size, a, &arena, t);
    }
}

dn_status dn_orthonormalize(dn_stream *s, dn_comm *comm, dn_orth method, uint64_t seed, void *workspace,
                            size_t workspace_bytes, dn_orth_matrix *matrices, size_t n)
{
    size_t needed = dn_orth_heap_bytes(method, dn_comm_size(comm), matrices, n);
    if (workspace_bytes < needed)
        return dn_fail(DN_ERR_ARG, "orthonormalization of %zu matrices needs %zu bytes of workspace, not %zu",
                       n, needed, workspace_bytes);
    dn_arena arena = {.base = workspace, .capacity = workspace_bytes};
    size_t whole = room_for_whole(method, dn_comm_size(comm), matrices, n);
    batch b = {.s = s, .comm = comm, .method = method, .seed = seed};
    b.whole_elements = whole / sizeof(dn_real);
    b.whole = dn_arena_take(&arena, whole);
    for (size_t done = 0; done < n; done += b.n) {
        if (done > 0) /* members may still be reading the last batch's results here */
            DN_TRY(dn_comm_barrier(comm));
        fill_batch(&b, arena, matrices + done, n - done);
        while (!finished(&b)) {
            DN_TRY(form_partials(&b)); /* every member, of its rows */
            admit(&b);
            DN_TRY(dn_comm_barrier(comm));
            DN_TRY(factor_sums(&b, GRAM)); /* the owner, of the sum */
            DN_TRY(factor_sums(&b, SKETCH));
            DN_TRY(factor_wholes(&b));
            DN_TRY(dn_comm_barrier(comm));
            DN_TRY(conclude(&b)); /* every member: P = P T, its rows */
        }
    }
    return DN_OK;
}
