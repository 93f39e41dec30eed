/*
 * Every call of dionode/comm.h, in communicators of all kinds, among ranks that another launcher started on one or several
 * nodes (tests/ranks/nodes_runs.py). Numbers are small integers, so sums are exact in any order: the reference is plain
 * arithmetic. With the argument "all" of more counts, in more communicators; with "many" only what is begun, among many nodes.
 * Writes one line for what differs, and "right N" with the number of comparisons on rank 0.
 */
#include "dionode/comm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNT = 100003, MAX_PUT = 200, ARENA = 16 << 20 };

static uint64_t n_compared, n_wrong;
static bool any_crossed;
static uint64_t number; /* of the call */

/* What a rank brings: of the member's index, the element and the call. */
static double brought(int member, size_t i)
{
    return (double)((member * 7 + (int)(i % 13) * 3 + (int)(number % 5)) % 17 - 8);
}

static double reduced(int size, dn_op op, size_t i)
{
    double x = brought(0, i);
    for (int member = 1; member < size; member++) {
        double y = brought(member, i);
        x = op == DN_MAX ? (y > x ? y : x) : op == DN_MIN ? (y < x ? y : x) : x + y;
    }
    return op == DN_AVG ? x / size : x;
}

static void expect(const char *what, dn_comm *comm, size_t i, double got, double wanted)
{
    n_compared++;
    double apart = got > wanted ? got - wanted : wanted - got;
    if (apart <= 1e-15 * (wanted < 0 ? -wanted : wanted)) /* a mean is the sum times the rounded 1/size */
        return;
    if (n_wrong++ < 5)
        printf("%s of %d, rank %d, element %zu: %.17g instead of %.17g\n", what, dn_comm_size(comm), dn_comm_rank(comm), i, got,
               wanted);
}

static void check(dn_status status)
{
    if (status == DN_OK)
        return;
    fprintf(stderr, "%s\n", dn_error_message());
    exit(dn_status_exit(status));
}

/* ---- bytes that cross between nodes ---- */

/* How comm lies: its nodes, and its members on the smallest; of each member the node. Ranks know their own (DIONODE_NODE). */
typedef struct spread {
    int n_nodes, n_rails, node[12];
} spread;

static spread spread_of(dn_comm *comm)
{
    spread s = {0};
    const char *own = getenv("DIONODE_NODE");
    double nodes[12] = {0};
    nodes[dn_comm_rank(comm)] = own ? atoi(own) : 0;
    check(dn_comm_all_reduce_scalars(comm, nodes, 12, DN_SUM));
    s.n_rails = dn_comm_size(comm);
    for (int i = 0; i < dn_comm_size(comm); i++) {
        int n = 0, is_first = 1;
        s.node[i] = (int)nodes[i];
        for (int k = 0; k < dn_comm_size(comm); k++) {
            n += nodes[k] == nodes[i];
            is_first &= k >= i || nodes[k] != nodes[i];
        }
        s.n_nodes += is_first;
        s.n_rails = n < s.n_rails ? n : s.n_rails;
    }
    return s;
}

/* Since the last call all members together received that many bytes from other nodes. */
static void expect_crossed(const char *what, dn_comm *comm, double wanted)
{
    double crossed = 0;
    const dn_comm_stats stats = dn_comm_get_stats(comm, true);
    for (int kind = 0; kind < DN_N_TRAFFIC; kind++)
        crossed += (double)stats.network[kind];
    check(dn_comm_all_reduce_scalars(comm, &crossed, 1, DN_SUM));
    expect(what, comm, 0, crossed, wanted);
    any_crossed |= crossed > 0;
}

/* Of each member and the next `next` ones, itself among them if that is all: on two nodes. */
static int pairs_apart(const spread *s, int P, int next)
{
    int n = 0;
    for (int i = 0; i < P; i++)
        for (int k = 1; k <= next; k++)
            n += s->node[i] != s->node[(i + k) % P];
    return n;
}

/* An all-reduce of whole chunks up to 64 KiB a rail, or of pieces; a private one a stage at a time. */
static double all_reduce_crosses(const spread *s, double bytes, bool is_private)
{
    double sum = 0, part = is_private ? 128 << 10 : bytes;
    for (double done = 0; done < bytes; done += part) {
        double now = bytes - done < part ? bytes - done : part;
        sum += now / s->n_rails <= 64 << 10 ? s->n_nodes * (s->n_nodes - 1) * now : 2 * (s->n_nodes - 1) * now;
    }
    return sum;
}

static void fill(dn_comm *comm, double *buffer, size_t n)
{
    number++;
    for (size_t i = 0; i < n; i++)
        buffer[i] = brought(dn_comm_rank(comm), i);
}

/* ---- reductions ---- */

static void reductions(dn_comm *comm, double *x, size_t n, bool symmetric)
{
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const spread s = spread_of(comm);
    const double bytes = (double)(n * sizeof *x), once = (s.n_nodes - 1) * bytes; /* to one owner, or from it */
    const double reduce_crosses = all_reduce_crosses(&s, bytes, true); /* of a private buffer */
    size_t first, end;
    dn_comm_get_stats(comm, true);
    for (dn_op op = DN_SUM; op < DN_N_OPS; op++) {
        fill(comm, x, n);
        check(dn_comm_all_reduce(comm, x, n, DN_F64, op, DN_TRAFFIC_GRADIENT));
        for (size_t i = 0; i < n; i++)
            expect("all-reduce", comm, i, x[i], reduced(P, op, i));
        expect_crossed("bytes of all-reduce", comm, bytes <= 96 ? 0 : all_reduce_crosses(&s, bytes, !symmetric)); /* 96: with the barrier */
        fill(comm, x, n);
        check(dn_comm_reduce_scatter(comm, x, n, DN_F64, op, DN_TRAFFIC_GRADIENT));
        dn_comm_chunk_bounds(comm, n, DN_F64, me, &first, &end);
        for (size_t i = first; i < end; i++)
            expect("reduce-scatter", comm, i, x[i], reduced(P, op, i));
        expect_crossed("bytes of reduce-scatter", comm, symmetric ? once : reduce_crosses);
    }
    for (int root = 0; root < P; root++) {
        fill(comm, x, n);
        check(dn_comm_reduce(comm, x, n, DN_F64, DN_SUM, root, DN_TRAFFIC_GRADIENT));
        for (size_t i = 0; i < n && me == root; i++)
            expect("reduce", comm, i, x[i], reduced(P, DN_SUM, i));
        expect_crossed("bytes of reduce", comm, symmetric ? once : reduce_crosses);
    }
    if (!symmetric)
        return;
    const void *shared;
    fill(comm, x, n);
    check(dn_comm_all_reduce_shared(comm, x, n, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT, &shared));
    for (size_t i = 0; i < n; i++)
        expect("shared all-reduce", comm, i, ((const double *)shared)[i], reduced(P, DN_SUM, i));
    expect_crossed("bytes of shared all-reduce", comm, all_reduce_crosses(&s, bytes, false));
    fill(comm, x, n);
    const dn_owned items[3] = {{x, n / 3, P - 1}, {x + n / 3, n / 4, 0}, {x + n / 3 + n / 4, n - n / 3 - n / 4, P / 2}};
    check(dn_comm_reduce_to_owners(comm, items, 3, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT));
    for (int k = 0; k < 3; k++)
        for (size_t i = 0; i < items[k].count; i++) {
            size_t at = (size_t)((double *)items[k].buffer - x) + i;
            expect("reduce to owners", comm, at, x[at], items[k].owner == me ? reduced(P, DN_SUM, at) : brought(me, at));
        }
    expect_crossed("bytes of reduce to owners", comm, once);
    check(dn_comm_gather_from_owners(comm, items, 3, DN_F64, DN_TRAFFIC_GRADIENT));
    for (size_t i = 0; i < n; i++)
        expect("gather from owners", comm, i, x[i], reduced(P, DN_SUM, i));
    expect_crossed("bytes of gather from owners", comm, once);
    uint64_t exchanges[2];
    fill(comm, x, n);
    check(dn_comm_begin_all_reduce(comm, x, n / 2, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT, &exchanges[0]));
    check(dn_comm_begin_reduce_scatter(comm, x + n / 2, n - n / 2, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT, &exchanges[1]));
    check(dn_comm_advance(comm));
    check(dn_comm_finish(comm, exchanges[0]));
    check(dn_comm_finish(comm, exchanges[1]));
    dn_comm_chunk_bounds(comm, n - n / 2, DN_F64, me, &first, &end);
    for (size_t i = 0; i < n / 2; i++)
        expect("begun all-reduce", comm, i, x[i], reduced(P, DN_SUM, i));
    for (size_t i = n / 2 + first; i < n / 2 + end; i++)
        expect("begun reduce-scatter", comm, i, x[i], reduced(P, DN_SUM, i));
    const double half = (double)(n / 2 * sizeof *x);
    expect_crossed("bytes of what was begun", comm, all_reduce_crosses(&s, half, false) + (s.n_nodes - 1) * (bytes - half));
}

/* More exchanges than are between nodes at a time, each of more messages: those of a batch that had no room keep the order, and
 * ranks that meet in a barrier meanwhile leave it. Every rank goes on when it likes. */
static void many_begun(dn_comm *comm, double *x)
{
    enum { EXCHANGES = 7, ITEMS = 150, EACH = 3, N = EXCHANGES * ITEMS * EACH };
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const spread s = spread_of(comm);
    static dn_owned items[EXCHANGES][ITEMS];
    uint64_t exchange = 0;
    dn_comm_get_stats(comm, true);
    fill(comm, x, N);
    for (int e = 0; e < EXCHANGES; e++) {
        for (int i = 0; i < ITEMS; i++)
            items[e][i] = (dn_owned){x + (e * ITEMS + i) * EACH, EACH, (e + i * i) % P};
        check(dn_comm_begin_reduce_to_owners(comm, items[e], ITEMS, DN_F64, DN_AVG, DN_TRAFFIC_GRADIENT,
                                             e + 1 < EXCHANGES ? DN_BEGIN_PART : 0, &exchange));
        if ((e + me) % 3 == 0)
            check(dn_comm_advance(comm));
        if (e % 3 == 1)
            check(dn_comm_barrier(comm));
    }
    check(dn_comm_finish(comm, exchange));
    for (int e = 0; e < EXCHANGES; e++)
        for (int i = 0; i < ITEMS; i++)
            for (size_t k = 0; k < EACH; k++) {
                const size_t at = (size_t)((e * ITEMS + i) * EACH) + k;
                expect("begun to owners", comm, at, x[at], items[e][i].owner == me ? reduced(P, DN_AVG, at) : brought(me, at));
            }
    expect_crossed("bytes of what was begun to owners", comm, (s.n_nodes - 1) * (double)(N * sizeof *x));
    check(dn_comm_barrier(comm)); /* others have read what is written next */
}

/* A batch whose copies stay until it is finished, however far it has come; all of them are read then. */
static void begun_and_kept(dn_comm *comm, double *x)
{
    enum { N = 5000 };
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const dn_owned items[2] = {{x, N / 3, P - 1}, {x + N / 3, N - N / 3, 0}};
    uint64_t exchange;
    fill(comm, x, N);
    check(dn_comm_begin_reduce_to_owners(comm, items, 2, DN_F64, DN_SUM, DN_TRAFFIC_DELTA, DN_BEGIN_KEEP, &exchange));
    for (int time = 0; time < 20; time++) {
        check(dn_comm_barrier(comm)); /* others have begun, too */
        check(dn_comm_advance(comm));
    }
    for (size_t i = 0; i < N; i++)
        expect("begun and kept", comm, i, x[i], brought(me, i));
    check(dn_comm_barrier(comm));
    check(dn_comm_finish(comm, exchange));
    for (size_t i = 0; i < N; i++) {
        const int owner = i < N / 3 ? P - 1 : 0;
        expect("kept and finished", comm, i, x[i], owner == me ? reduced(P, DN_SUM, i) : brought(me, i));
    }
    check(dn_comm_barrier(comm));
}

/* On more nodes than a rank's moves have room for: who goes on with what was begun waits for nobody, so that all come to the barriers.
 * Chunks that are exchanged whole, others in pieces, and items. */
static void begun_among_many(dn_comm *comm, double *x)
{
    enum { WHOLE = 3000, PIECES = 60000, ITEMS = 10000, N = WHOLE + PIECES + ITEMS };
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    uint64_t exchanges[3];
    size_t first, end;
    fill(comm, x, N);
    check(dn_comm_begin_all_reduce(comm, x, WHOLE, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT, &exchanges[0]));
    check(dn_comm_begin_all_reduce(comm, x + WHOLE, PIECES, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT, &exchanges[1]));
    check(dn_comm_begin_reduce_scatter(comm, x + WHOLE + PIECES, ITEMS, DN_F64, DN_SUM, DN_TRAFFIC_GRADIENT, &exchanges[2]));
    for (int time = 0; time < 12; time++) {
        if ((me + time) % 4 == 0)
            check(dn_comm_advance(comm));
        check(dn_comm_barrier(comm));
    }
    for (int e = 0; e < 3; e++)
        check(dn_comm_finish(comm, exchanges[e]));
    for (size_t i = 0; i < WHOLE + PIECES; i++)
        expect("all-reduce begun among many", comm, i, x[i], reduced(P, DN_SUM, i));
    dn_comm_chunk_bounds(comm, ITEMS, DN_F64, me, &first, &end);
    for (size_t i = WHOLE + PIECES + first; i < WHOLE + PIECES + end; i++)
        expect("reduce-scatter begun among many", comm, i, x[i], reduced(P, DN_SUM, i));
}

/* ---- copies ---- */

static void copies(dn_comm *comm, double *x, double *y, size_t n)
{
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const spread s = spread_of(comm);
    const double bytes = (double)(n * sizeof *x);
    size_t first, end;
    dn_comm_get_stats(comm, true);
    for (int root = 0; root < P; root++) {
        fill(comm, x, n);
        check(dn_comm_broadcast(comm, x, n * sizeof *x, root, DN_TRAFFIC_WEIGHTS));
        for (size_t i = 0; i < n; i++)
            expect("broadcast", comm, i, x[i], brought(root, i));
        expect_crossed("bytes of broadcast", comm, (s.n_nodes - 1) * bytes);
    }
    fill(comm, x, n);
    check(dn_comm_all_gather(comm, x, n, DN_F64, DN_TRAFFIC_WEIGHTS));
    for (int member = 0; member < P; member++) {
        dn_comm_chunk_bounds(comm, n, DN_F64, member, &first, &end);
        for (size_t i = first; i < end; i++)
            expect("all-gather", comm, i, x[i], brought(member, i));
    }
    expect_crossed("bytes of all-gather", comm, (s.n_nodes - 1) * bytes);
    const size_t row = n / (size_t)P;
    fill(comm, x, row * (size_t)P);
    check(dn_comm_all_to_all(comm, x, y, row, DN_F64, DN_TRAFFIC_WEIGHTS));
    for (int member = 0; member < P; member++)
        for (size_t i = 0; i < row; i++)
            expect("all-to-all", comm, i, y[(size_t)member * row + i], brought(member, (size_t)me * row + i));
    expect_crossed("bytes of all-to-all", comm, (double)(row * sizeof *x) * pairs_apart(&s, P, P));
    fill(comm, x, n);
    if (P > 1 && me == 0) { /* around, one after another: a large message waits for its receiver */
        check(dn_comm_send(comm, x, n, DN_F64, 1, DN_TRAFFIC_WEIGHTS));
        check(dn_comm_receive(comm, y, n, DN_F64, P - 1, DN_TRAFFIC_WEIGHTS));
    } else if (P > 1) {
        check(dn_comm_receive(comm, y, n, DN_F64, me - 1, DN_TRAFFIC_WEIGHTS));
        check(dn_comm_send(comm, x, n, DN_F64, (me + 1) % P, DN_TRAFFIC_WEIGHTS));
    }
    for (size_t i = 0; i < n && P > 1; i++)
        expect("message", comm, i, y[i], brought((me + P - 1) % P, i));
    expect_crossed("bytes of messages", comm, bytes * pairs_apart(&s, P, 1));
}

/* ---- views ---- */

/* To the next one, all at once: each is asked while it asks. */
static void put_to_next(dn_comm *comm, double *x, size_t n, int times)
{
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    double told[MAX_PUT];
    n = n < MAX_PUT ? n : MAX_PUT;
    for (int time = 0; time < times; time++) {
        for (size_t i = 0; i < n; i++)
            told[i] = brought(me, i) + time;
        dn_comm_put(comm, x, told, n * sizeof *x, (me + 1) % P, DN_TRAFFIC_WEIGHTS);
        check(dn_comm_barrier(comm));
        for (size_t i = 0; i < n; i++)
            expect("put", comm, i, x[i], brought((me + P - 1) % P, i) + time);
        check(dn_comm_barrier(comm));
    }
}

static void views(dn_comm *comm, double *x, double *y, size_t n)
{
    const int P = dn_comm_size(comm), me = dn_comm_rank(comm);
    const void *of_all[DN_MAX_RANKS];
    const dn_comm_chunk chunk = dn_comm_chunk_of(x, n * sizeof *x);
    const spread s = spread_of(comm);
    dn_comm_get_stats(comm, true);
    fill(comm, x, n);
    check(dn_comm_barrier(comm));
    for (int member = 0; member < P; member++) {
        const double *theirs = dn_comm_view(comm, chunk, member, DN_TRAFFIC_WEIGHTS);
        const double *owners = dn_comm_view_from_owner(comm, chunk, member, DN_TRAFFIC_WEIGHTS);
        dn_comm_fetch(comm, y, chunk, member);
        for (size_t i = 0; i < n; i++) {
            expect("view", comm, i, theirs[i], brought(member, i));
            expect("view from owner", comm, i, owners[i], brought(member, i));
            expect("fetch", comm, i, y[i], brought(member, i));
        }
        dn_comm_view_to_owner(comm, chunk, member, DN_TRAFFIC_WEIGHTS, of_all);
        for (int k = 0; k < P && member == me; k++)
            for (size_t i = 0; i < n; i++)
                expect("view to owner", comm, i, ((const double *)of_all[k])[i], brought(k, i));
        dn_comm_count_fetched(comm, n * sizeof *x, member, DN_TRAFFIC_WEIGHTS);
    }
    expect_crossed("bytes of views", comm, 4. * (double)(n * sizeof *x) * pairs_apart(&s, P, P));
    put_to_next(comm, x, n, 1);
}

static bool all_counts;

/* In the barrier's lines; whole chunks over the rail; in pieces, and through the stages in parts. */
static void all_calls(dn_comm *comm, double *x, double *y, double *p, double *q)
{
    static const size_t counts[] = {0, 1, 12, 13, 130, 4097, MAX_COUNT};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        const bool once = !all_counts && counts[i] == MAX_COUNT;
        if (!all_counts && counts[i] != 130 && !once)
            continue;
        if (counts[i] == 130) {
            many_begun(comm, x);
            begun_and_kept(comm, x);
        }
        reductions(comm, x, counts[i], true);
        if (once)
            continue;
        reductions(comm, p, counts[i], false);
        copies(comm, x, y, counts[i]);
        copies(comm, p, q, counts[i]);
        if (counts[i] > 0)
            views(comm, x, y, counts[i]);
    }
}

/* What some members begin is not what others do: it is told, whoever is on which node. */
static void begin_apart(dn_comm *comm, double *x)
{
    uint64_t exchange;
    const dn_op op = dn_comm_rank(comm) == dn_comm_size(comm) - 1 ? DN_MAX : DN_SUM;
    check(dn_comm_begin_all_reduce(comm, x, 1000, DN_F64, op, DN_TRAFFIC_GRADIENT, &exchange));
    check(dn_comm_finish(comm, exchange));
    check(dn_comm_barrier(comm));
}

/* All calls in the world, and some in its parts. */
static void in_all_communicators(dn_comm *world, double *x, double *y, double *p, double *q)
{
    const int me = dn_comm_rank(world), P = dn_comm_size(world);
    dn_comm *part;
    put_to_next(world, x, MAX_PUT, all_counts ? 100 : 10);
    all_calls(world, x, y, p, q);
    const size_t mark = dn_comm_heap_mark(world);
    for (int time = 0; time < 2; time++) { /* the second time in memory where the first ones' barriers were */
        const int colors[] = {me % 2, me / 2, me == 0, me == 0 ? -1 : 0};
        for (size_t i = 0; i < sizeof colors / sizeof *colors; i++) {
            check(dn_comm_split(world, colors[i], time ? -me : me, 0, &part));
            number = 1000 * (i + 1); /* also where there is no part */
            if (part && time == 0 && all_counts)
                all_calls(part, x, y, p, q);
            else if (part) /* few calls: which count from the beginning again */
                views(part, x, y, 130);
            check(dn_comm_barrier(world));
            dn_comm_destroy(&part);
        }
        check(dn_comm_heap_release(world, mark));
    }
    if (P > 2 && me != 1) {
        int ranks[DN_MAX_RANKS], n = 0;
        for (int rank = P - 1; rank >= 0; rank--)
            if (rank != 1)
                ranks[n++] = rank;
        check(dn_comm_create_group(world, ranks, n, 0, &part));
        number = 0;
        reductions(part, x, 4097, true);
        copies(part, p, q, 130);
        dn_comm_destroy(&part);
    }
}

int main(int argc, char **argv)
{
    dn_comm *world;
    void *x, *y;
    double *p = malloc(MAX_COUNT * sizeof *p), *q = malloc(MAX_COUNT * sizeof *q);
    all_counts = argc > 1 && strcmp(argv[1], "all") == 0;
    setvbuf(stdout, NULL, _IOLBF, 0);
    dn_status status = dn_comm_join(ARENA, 30, &world);
    if (status != DN_OK || !p || !q) {
        fprintf(stderr, "%s\n", dn_error_message());
        return dn_comm_leave(&world, status);
    }
    const int me = dn_comm_rank(world);
    check(dn_comm_alloc(world, MAX_COUNT * sizeof(double), &x));
    check(dn_comm_alloc(world, MAX_COUNT * sizeof(double), &y));
    if (argc > 1 && strcmp(argv[1], "apart") == 0)
        begin_apart(world, x);
    if (argc > 1 && strcmp(argv[1], "many") == 0)
        begun_among_many(world, x);
    else
        in_all_communicators(world, x, y, p, q);
    double totals[2] = {(double)n_compared, (double)n_wrong};
    check(dn_comm_all_reduce_scalars(world, totals, 2, DN_SUM));
    if (me == 0)
        printf("right %.0f wrong %.0f network %s\n", totals[0] - totals[1], totals[1],
               any_crossed ? "yes" : "no");
    free(p);
    free(q);
    check(dn_comm_barrier(world)); /* the line is written before anybody ends the run */
    const int exit_status = dn_comm_leave(&world, DN_OK);
    return totals[1] > 0 ? dn_status_exit(DN_ERR_NUMERIC) : exit_status;
}
