/* The module libdionode-mpi.so: bytes by MPI-3, point to point. No MPI_Allreduce and the like: their order is not said. */
#include "comm/transport/transport.h"

#include <mpi.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static MPI_Comm all; /* a copy of MPI_COMM_WORLD: our tags meet nobody else's */
static struct request {
    MPI_Request mpi;
    bool used, receives;
    int bytes;
} requests[DN_TRANSPORT_REQUESTS];

static int fail(int error, const char *what, char *why, size_t bytes)
{
    char text[MPI_MAX_ERROR_STRING];
    int n = 0;
    if (error == MPI_SUCCESS)
        return 0;
    if (MPI_Error_string(error, text, &n) != MPI_SUCCESS)
        snprintf(text, sizeof text, "error %d", error);
    snprintf(why, bytes, "%s: %s", what, text);
    return -1;
}

static int start(int *rank, int *n_ranks, char *why, size_t bytes)
{
    int given = MPI_THREAD_SINGLE, begun = 0, ended = 0;
    /* Open MPI gives the processor away in every call where ranks outnumber cores; here who waits sleeps, and calls do not
     * wait. */
    setenv("OMPI_MCA_mpi_yield_when_idle", "0", 0);
    if (fail(MPI_Initialized(&begun), "MPI_Initialized", why, bytes) || fail(MPI_Finalized(&ended), "MPI_Finalized", why, bytes))
        return -1;
    if (ended) {
        snprintf(why, bytes, "MPI has ended in this process, and begins once only");
        return -1;
    }
    if (!begun && fail(MPI_Init_thread(NULL, NULL, MPI_THREAD_SERIALIZED, &given), "MPI_Init_thread", why, bytes))
        return -1;
    if (begun)
        MPI_Query_thread(&given);
    if (given < MPI_THREAD_SERIALIZED) {
        snprintf(why, bytes, "this MPI lets only the main thread call it (MPI_THREAD_SERIALIZED is needed)");
        return -1;
    }
    if (fail(MPI_Comm_dup(MPI_COMM_WORLD, &all), "MPI_Comm_dup", why, bytes))
        return -1;
    MPI_Comm_set_errhandler(all, MPI_ERRORS_RETURN);
    MPI_Comm_rank(all, rank);
    MPI_Comm_size(all, n_ranks);
    return 0;
}

static int gather(const void *own, size_t n, void *all_bytes, char *why, size_t bytes)
{
    return fail(MPI_Allgather(own, (int)n, MPI_BYTE, all_bytes, (int)n, MPI_BYTE, all), "MPI_Allgather", why, bytes);
}

static int find_node(int *node, char *why, size_t bytes)
{
    MPI_Comm here;
    int rank;
    MPI_Comm_rank(all, &rank);
    if (fail(MPI_Comm_split_type(all, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &here), "MPI_Comm_split_type", why, bytes))
        return -1;
    *node = rank; /* of the node's first rank */
    int error = MPI_Bcast(node, 1, MPI_INT, 0, here);
    MPI_Comm_free(&here);
    return fail(error, "MPI_Bcast", why, bytes);
}

static int free_request(void)
{
    for (int i = 0; i < DN_TRANSPORT_REQUESTS; i++)
        if (!requests[i].used)
            return i;
    return -1;
}

static int send_bytes(const void *data, size_t bytes, int to, int tag)
{
    int i = free_request();
    if (i < 0 || MPI_Isend(data, (int)bytes, MPI_BYTE, to, tag, all, &requests[i].mpi) != MPI_SUCCESS)
        return -1;
    requests[i].used = true;
    requests[i].receives = false;
    return i;
}

static int receive_bytes(void *data, size_t bytes, int from, int tag)
{
    int i = free_request();
    if (i < 0 || MPI_Irecv(data, (int)bytes, MPI_BYTE, from, tag, all, &requests[i].mpi) != MPI_SUCCESS)
        return -1;
    requests[i].used = requests[i].receives = true;
    requests[i].bytes = (int)bytes;
    return i;
}

static int done(int i)
{
    MPI_Status status;
    int flag = 0, bytes = 0;
    if (MPI_Test(&requests[i].mpi, &flag, &status) != MPI_SUCCESS)
        return -1;
    if (!flag)
        return 0;
    requests[i].used = false;
    if (!requests[i].receives)
        return 1;
    return MPI_Get_count(&status, MPI_BYTE, &bytes) == MPI_SUCCESS && bytes == requests[i].bytes ? 1 : -1;
}

static int take(int tag, void *data, size_t room, int *from, size_t *bytes)
{
    MPI_Status status;
    int flag = 0, n = 0;
    if (MPI_Iprobe(MPI_ANY_SOURCE, tag, all, &flag, &status) != MPI_SUCCESS)
        return -1;
    if (!flag)
        return 0;
    if (MPI_Get_count(&status, MPI_BYTE, &n) != MPI_SUCCESS || (size_t)n > room ||
        MPI_Recv(data, n, MPI_BYTE, status.MPI_SOURCE, tag, all, MPI_STATUS_IGNORE) != MPI_SUCCESS)
        return -1;
    *from = status.MPI_SOURCE;
    *bytes = (size_t)n;
    return 1;
}

static void finish(void)
{
    MPI_Comm_free(&all);
    MPI_Finalize();
}

static void abort_all(int exit_status)
{
    MPI_Abort(MPI_COMM_WORLD, exit_status);
}

__attribute__((visibility("default"))) extern const dn_transport dn_transport_module;
const dn_transport dn_transport_module = {
    .version = DN_TRANSPORT_VERSION,
    .name = "mpi",
    .start = start,
    .gather = gather,
    .find_node = find_node,
    .send = send_bytes,
    .receive = receive_bytes,
    .done = done,
    .take = take,
    .finish = finish,
    .abort = abort_all,
};
