/* `dionode topo` where another launcher started the ranks: their nodes, and what messages between these take. */
#include "base/clock.h"
#include "base/fail.h"
#include "base/output.h"
#include "base/printable.h"
#include "bench/summary.h"
#include "comm/world.h"
#include "dionode/bench.h"
#include "dionode/topo.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_S 60.0
#define SHORT      sizeof(int32_t)
#define LONG       ((size_t)4 << 20)

enum { SAMPLES = 11, TRIPS_SHORT = 10 };

/* As it lies on the symmetric heap of each rank. */
typedef struct place {
    char host[64], pus[120];
} place;

/* Half of the round trip of a message between two ranks, the median of some, on both of them; 0 elsewhere. */
static dn_status time_trip(dn_comm *comm, int from, int to, void *buffer, size_t bytes, int n_trips, double *seconds)
{
    const int rank = dn_comm_rank(comm), other = rank == from ? to : from;
    const size_t count = bytes / sizeof(int32_t);
    double samples[SAMPLES];
    *seconds = 0;
    DN_TRY(dn_comm_barrier(comm));
    for (int i = 0; i <= SAMPLES && (rank == from || rank == to); i++) { /* the first is a warm-up */
        double begin_s = dn_clock_s();
        for (int trip = 0; trip < n_trips; trip++) {
            if (rank == from)
                DN_TRY(dn_comm_send(comm, buffer, count, DN_I32, other, DN_TRAFFIC_CONTROL));
            DN_TRY(dn_comm_receive(comm, buffer, count, DN_I32, other, DN_TRAFFIC_CONTROL));
            if (rank == to)
                DN_TRY(dn_comm_send(comm, buffer, count, DN_I32, other, DN_TRAFFIC_CONTROL));
        }
        if (i > 0)
            samples[i - 1] = (dn_clock_s() - begin_s) / (2 * n_trips);
    }
    if (rank == from || rank == to)
        *seconds = dn_summarize(samples, SAMPLES).p50;
    return dn_comm_barrier(comm);
}

static int first_on(const dn_comm *comm, int node)
{
    int rank = 0;
    while (rank < dn_comm_size(comm) && dn_comm_node(comm, rank) != node)
        rank++;
    return rank;
}

/* To a node's first rank; from the first rank of another or, inside, the second of the same. -1: a node of one rank. */
static int partner(const dn_comm *comm, int node, int other)
{
    if (node != other)
        return first_on(comm, other);
    int rank = first_on(comm, node) + 1;
    while (rank < dn_comm_size(comm) && dn_comm_node(comm, rank) != node)
        rank++;
    return rank < dn_comm_size(comm) ? rank : -1;
}

static dn_status print_matrix(dn_comm *comm, const char *title, void *buffer, size_t bytes, int n_trips, double scale, bool of_bytes)
{
    const int n = dn_comm_n_nodes(comm);
    const bool prints = dn_comm_rank(comm) == 0;
    if (prints)
        printf("\n%s\n%8s", title, "");
    for (int to = 0; to < n && prints; to++)
        printf(" %9d", to);
    for (int from = 0; from < n; from++) {
        if (prints)
            printf("\n%8d", from);
        for (int to = 0; to < n; to++) {
            int other = partner(comm, from, to);
            double seconds = 0;
            if (other >= 0)
                DN_TRY(time_trip(comm, first_on(comm, from), other, buffer, bytes, n_trips, &seconds));
            DN_TRY(dn_comm_all_reduce_scalars(comm, &seconds, 1, DN_MAX));
            if (prints && other < 0)
                printf(" %9s", "-");
            else if (prints)
                printf(" %9.2f", scale * (of_bytes ? (double)bytes / seconds : seconds));
        }
        if (prints)
            DN_TRY(dn_flush(stdout));
    }
    if (prints)
        printf("\n");
    return DN_OK;
}

static void print_ranks(dn_comm *comm, const place *own)
{
    const int n = dn_comm_n_nodes(comm);
    int n_rails = dn_comm_size(comm);
    for (int node = 0; node < n; node++) {
        int n_here = 0;
        for (int rank = 0; rank < dn_comm_size(comm); rank++)
            n_here += dn_comm_node(comm, rank) == node;
        n_rails = n_here < n_rails ? n_here : n_rails;
    }
    printf("nodes      %d, of %d rank%s\n", n, dn_comm_size(comm), dn_plural(dn_comm_size(comm)));
    if (n > 1)
        printf("rails      %d: as many ranks of each node exchange with the others' at a time\n", n_rails);
    printf("\n%-6s %-5s %-24s %s\n", "node", "rank", "host", "CPUs");
    for (int node = 0; node < n; node++)
        for (int rank = 0; rank < dn_comm_size(comm); rank++) {
            if (dn_comm_node(comm, rank) != node)
                continue;
            const place *p = dn_comm_view(comm, dn_comm_chunk_of(own, sizeof *own), rank, DN_TRAFFIC_CONTROL);
            printf("%-6d %-5d %-24s %s\n", node, rank, p->host, p->pus);
        }
}

static dn_status measure(dn_comm *comm)
{
    void *memory, *buffer;
    DN_TRY(dn_comm_alloc(comm, sizeof(place), &memory));
    DN_TRY(dn_comm_alloc(comm, LONG, &buffer));
    memset(buffer, 0, LONG);
    place *own = memory;
    if (gethostname(own->host, sizeof own->host - 1) != 0)
        snprintf(own->host, sizeof own->host, "?");
    own->host[sizeof own->host - 1] = '\0';
    dn_topo_bound_pus(own->pus, sizeof own->pus);
    DN_TRY(dn_comm_barrier(comm));
    if (dn_comm_rank(comm) == 0)
        print_ranks(comm, own);
    DN_TRY(print_matrix(comm, "Latency in microseconds: 4 bytes from a node (row) to another; on the diagonal, inside", buffer, SHORT,
                        TRIPS_SHORT, 1e6, false));
    return print_matrix(comm, "Bandwidth in GB/s: 4 MiB, the same way, one message at a time", buffer, LONG, 1, 1e-9, true);
}

int dn_bench_nodes(void)
{
    dn_comm *comm = NULL;
    dn_status status = dn_comm_join(2 * LONG, DEADLINE_S, &comm);
    if (status == DN_OK)
        status = measure(comm);
    return dn_comm_leave(&comm, status);
}
