/* Attention: the reference against the textbook, every backend against the reference, and causality. */
#include "support.h"
#include "compute/cpu/cpu.h"
#include "support/close.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* arrays: q k v | o lse | d_o | dq dk dv */
enum { Q, K, V, O, LSE, D_O, DQ, DK, DV, N_ARRAYS };

static void run_attention(dn_stream *s, dn_buf *const *b, double *host, const void *context)
{
    const dn_attention_shape *shape = context;
    s->kernels->attention_forward(s, b[O], b[LSE], b[Q], b[K], b[V], shape);
    s->kernels->attention_backward(s, b[DQ], b[DK], b[DV], b[D_O], b[Q], b[K], b[V], b[O], b[LSE], shape);
}

/* A gradient adds up to T terms, each with the errors of a score (hd terms) behind it; with q and k of size 1
 * terms are below 1 or so. */
static trial make_trial(const dn_attention_shape *x)
{
    size_t N = x->B * x->T, width = x->NH * x->hd, kv = x->NKV * x->hd;
    trial t = {.arrays = {padded_array(N, width, x->ld, 1, 1), padded_array(N, kv, x->ld, 2, 1),
                          padded_array(N, kv, x->ld, 3, 1), nan_array(N * width), nan_array(N * x->NH),
                          random_array(N * width, 4, 1), nan_rows(N, width, x->ld), nan_rows(N, kv, x->ld),
                          nan_rows(N, kv, x->ld)},
               .n_arrays = N_ARRAYS,
               .same_bits = true};
    for (size_t a = DQ; a <= DV; a++)
        t.arrays[a].scale = 4 + sqrt((double)x->T);
    for (size_t a = O; a <= DV; a++)
        t.arrays[a].ulps = 32;
    return t;
}

/* Behind the first that have their keys for themselves three share them among 2, 3 and all query heads, then
 * windows: within a block, of one position, of a block and about it; the last are as models have them, one
 * position away from whole tiles. */
static const dn_attention_shape shapes[] = {
    {.B = 1, .T = 1, .NH = 1, .NKV = 1, .hd = 2, .ld = 2},
    {.B = 2, .T = 5, .NH = 3, .NKV = 3, .hd = 4, .ld = 17},
    {.B = 1, .T = 64, .NH = 2, .NKV = 2, .hd = 16, .ld = 32},
    {.B = 1, .T = 65, .NH = 1, .NKV = 1, .hd = 34, .ld = 40},
    {.B = 2, .T = 130, .NH = 3, .NKV = 3, .hd = 32, .ld = 300},
    {.B = 1, .T = 200, .NH = 1, .NKV = 1, .hd = 130, .ld = 130},
    {.B = 0, .T = 3, .NH = 1, .NKV = 1, .hd = 2, .ld = 2},
    {.B = 2, .T = 5, .NH = 4, .NKV = 2, .hd = 4, .ld = 17},
    {.B = 2, .T = 130, .NH = 6, .NKV = 2, .hd = 32, .ld = 200},
    {.B = 1, .T = 65, .NH = 3, .NKV = 1, .hd = 34, .ld = 110},
    {.B = 2, .T = 130, .NH = 4, .NKV = 2, .hd = 8, .ld = 40, .window = 7},
    {.B = 1, .T = 70, .NH = 1, .NKV = 1, .hd = 8, .ld = 8, .window = 1},
    {.B = 1, .T = 260, .NH = 2, .NKV = 1, .hd = 8, .ld = 16, .window = 63},
    {.B = 1, .T = 260, .NH = 2, .NKV = 1, .hd = 8, .ld = 16, .window = 64},
    {.B = 1, .T = 260, .NH = 2, .NKV = 1, .hd = 8, .ld = 16, .window = 65},
    {.B = 1, .T = 130, .NH = 1, .NKV = 1, .hd = 8, .ld = 8, .window = 1000},
    {.B = 1, .T = 257, .NH = 2, .NKV = 1, .hd = 64, .ld = 200},
    {.B = 1, .T = 97, .NH = 7, .NKV = 1, .hd = 80, .ld = 730, .window = 33},
    {.B = 2, .T = 63, .NH = 2, .NKV = 2, .hd = 96, .ld = 600},
    {.B = 1, .T = 161, .NH = 4, .NKV = 2, .hd = 128, .ld = 1024, .window = 100},
    {.B = 1, .T = 31, .NH = 1, .NKV = 1, .hd = 256, .ld = 256},
};
enum { TEXTBOOK = 4, SHARED = 8, WINDOW = 10 };

static void every_backend_agrees_with_the_reference(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        trial t = make_trial(&shapes[i]);
        compare_columns(&t, run_attention, &shapes[i]);
    }
}

/* out [hd] = softmax of all scores of query i, as a formula; returns the log of the sum of exponentials. */
static double textbook_row(const dn_attention_shape *x, const trial *t, size_t row, size_t h, double *out)
{
    size_t first = row / x->T * x->T, kv = h / (x->NH / x->NKV);
    const dn_real *q = t->arrays[Q].start + row * x->ld + h * x->hd;
    double sum = 0;
    memset(out, 0, x->hd * sizeof *out);
    if (x->window > 0 && row - first >= x->window)
        first = row - x->window + 1;
    for (size_t j = first; j <= row; j++) {
        double score = 0;
        for (size_t c = 0; c < x->hd; c++)
            score += (double)q[c] * (double)t->arrays[K].start[j * x->ld + kv * x->hd + c];
        double weight = exp(score / sqrt((double)x->hd));
        sum += weight;
        for (size_t c = 0; c < x->hd; c++)
            out[c] += weight * (double)t->arrays[V].start[j * x->ld + kv * x->hd + c];
    }
    for (size_t c = 0; c < x->hd; c++)
        out[c] /= sum;
    return log(sum);
}

static void check_textbook(const dn_attention_shape *x)
{
    trial t = make_trial(x);
    dn_real *results[MAX_ARRAYS];
    double host[MAX_HOST], out[64];
    run_backend("ref", 1, &t, run_attention, x, results, host);
    for (size_t row = 0; row < x->B * x->T; row++)
        for (size_t h = 0; h < x->NH; h++) {
            double lse = textbook_row(x, &t, row, h, out);
            double got = (double)results[LSE][(row / x->T * x->NH + h) * x->T + row % x->T];
            assert_close(got, lse, 16 * DN_REAL_EPS * (1 + fabs(lse)));
            for (size_t c = 0; c < x->hd; c++)
                assert_close((double)results[O][(row * x->NH + h) * x->hd + c], out[c], 16 * DN_REAL_EPS);
        }
    free_results(&t, results);
    free_trial(&t);
}

static void the_reference_is_the_textbook_softmax(void **state)
{
    check_textbook(&shapes[TEXTBOOK]);
    check_textbook(&shapes[SHARED]);
    check_textbook(&shapes[WINDOW]);
}

/* Other keys, values and queries from position 70 on: nothing before 70 may change by a bit. */
static void the_future_does_not_change_the_past(void **state)
{
    const dn_attention_shape x = {.B = 1, .T = 130, .NH = 1, .NKV = 1, .hd = 32, .ld = 32};
    enum { CUT = 70 };
    for (const dn_kernels *const *backend = dn_kernels_available(); *backend; backend = next_backend(backend)) {
        dn_real *before[MAX_ARRAYS], *after[MAX_ARRAYS];
        double host[MAX_HOST];
        trial t = make_trial(&x);
        run_backend((*backend)->name, 1, &t, run_attention, &x, before, host);
        for (size_t a = Q; a <= V; a++)
            for (size_t i = CUT * x.ld; i < t.arrays[a].n; i++)
                t.arrays[a].start[i] *= -3;
        run_backend((*backend)->name, 1, &t, run_attention, &x, after, host);
        assert_memory_equal(before[O], after[O], CUT * x.hd * sizeof(dn_real));
        assert_memory_equal(before[LSE], after[LSE], CUT * sizeof(dn_real));
        assert_memory_not_equal(before[O], after[O], x.T * x.hd * sizeof(dn_real));
        free_results(&t, before);
        free_results(&t, after);
        free_trial(&t);
    }
}

/* As many threads as heads or fewer, and more: of these some follow each other through the same gradients of
 * queries. Any other order of the additions would be other bits. Several times, since threads meet
 * differently each time. */
static void threads_do_not_change_a_bit(void **state)
{
    const dn_attention_shape some[] = {
        {.B = 1, .T = 450, .NH = 1, .NKV = 1, .hd = 16, .ld = 16},
        {.B = 2, .T = 330, .NH = 3, .NKV = 1, .hd = 16, .ld = 100},
        {.B = 1, .T = 450, .NH = 2, .NKV = 1, .hd = 18, .ld = 36, .window = 100},
    };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        trial t = make_trial(&some[i]);
        compare_threads(&t, run_attention, &some[i]);
        free_trial(&t);
    }
}

/* Rounds of a tile for each thread until all tasks are done. A task of the way back adds a tile to what the tasks before it
 * have added there in earlier rounds, or waits: so it would wait for ever for a task that nobody has taken. */
static size_t rounds_of(size_t heads, size_t blocks, size_t n_threads, bool backward)
{
    enum { MOST = 64, HEADS = 96 };
    static size_t added[HEADS][MOST], last[HEADS][MOST]; /* how often, and in which round */
    struct {
        dn_cpu_task task;
        size_t left; /* of its tiles, which are those from `blocks` down to its own */
    } threads[MOST] = {0};
    size_t taken = 0, done = 0, rounds, tiles = heads * blocks * (blocks + 1) / 2;
    assert_true(heads <= HEADS && blocks <= MOST && n_threads <= MOST);
    memset(added, 0, sizeof added);
    memset(last, 0, sizeof last);
    for (rounds = 1; done < tiles; rounds++) {
        size_t began = done;
        for (size_t i = 0; i < n_threads; i++) {
            if (threads[i].left == 0 && taken < heads * blocks) {
                threads[i].task = dn_cpu_task_of(taken++, heads, blocks, n_threads);
                threads[i].left = blocks - threads[i].task.part;
            }
            size_t head = threads[i].task.head, part = threads[i].task.part, tile = part + threads[i].left - 1;
            if (threads[i].left == 0 || (backward && (added[head][tile] != part || last[head][tile] == rounds)))
                continue;
            added[head][tile]++;
            last[head][tile] = rounds;
            threads[i].left--;
            done++;
        }
        assert_true(done > began);
    }
    for (size_t head = 0; head < heads; head++)
        for (size_t tile = 0; tile < blocks; tile++)
            assert_int_equal(added[head][tile], tile + 1); /* each block of keys that it sees, once */
    return rounds - 1;
}

/* Of a large machine and models of few heads. Nobody could need fewer rounds than an even share, or than the longest task.
 * Forward only the last tasks leave threads without work, of whom a seventh wait at most here; heads alone would take eight times
 * as long on 48 threads as six of them do. On the way back, where tasks of a head that begin together follow one another at
 * the distance of a tile, it is half as much again at most. */
static void few_heads_feed_many_threads(void **state)
{
    static const size_t heads[] = {1, 6, 12, 96}, blocks[] = {4, 16, 64}, threads[] = {2, 8, 47, 48};
    for (size_t i = 0; i < 4 * 3 * 4 * 2; i++) {
        size_t h = heads[i / 24], b = blocks[i / 8 % 3], n = threads[i / 2 % 4], backward = i % 2;
        size_t tiles = h * b * (b + 1) / 2, least = dn_max((tiles + n - 1) / n, b), rounds = rounds_of(h, b, n, backward);
        if ((double)rounds > (backward ? 1.5 : 1.15) * (double)least)
            fail_msg("%zu heads of %zu blocks on %zu threads%s: %zu rounds, not %zu", h, b, n, backward ? ", backward" : "", rounds,
                     least);
    }
}

/* Scores of several hundred: exponentials without the maximum taken off would be infinite. */
static void large_scores_do_not_overflow(void **state)
{
    const dn_attention_shape x = {.B = 1, .T = 130, .NH = 1, .NKV = 1, .hd = 16, .ld = 16};
    trial t = make_trial(&x);
    for (size_t i = 0; i < t.arrays[Q].n; i++)
        t.arrays[Q].start[i] *= 200;
    for (size_t a = O; a <= DV; a++)
        t.arrays[a].ulps = 200 * 32;
    t.arrays[DK].scale *= 200;
    compare_columns(&t, run_attention, &x);
}

TESTS(attention)
{
    dn_blas_tune(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_the_textbook_softmax),
        cmocka_unit_test(every_backend_agrees_with_the_reference),
        cmocka_unit_test(threads_do_not_change_a_bit),
        cmocka_unit_test(few_heads_feed_many_threads),
        cmocka_unit_test(the_future_does_not_change_the_past),
        cmocka_unit_test(large_scores_do_not_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
