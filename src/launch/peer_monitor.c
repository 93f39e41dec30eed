#include "launch/peer_monitor.h"

#include "base/fail.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <unistd.h>

struct dn_peer_monitor {
    dn_world *world;
    pthread_t thread;
    int end; /* eventfd: readable once the thread shall end */
    int n_ranks;
    struct pollfd
        fds[DN_MAX_RANKS + 1]; /* [rank]: pidfd, -1 for this rank and those that are gone; last: end */
};

/* Only the parent learns the exit status or signal of a process. */
static void note_end(dn_world *world, int rank)
{
    if (dn_world_has_left(world, rank))
        return;
    dn_failure failure = {.status = DN_ERR_PEER, .rank = rank, .step = dn_world_step(world, rank)};
    snprintf(failure.message, sizeof failure.message,
             "rank %d (pid %d) ended in step %llu without dn_comm_leave; its launcher reports the cause",
             rank, dn_world_pid(world, rank), (unsigned long long)failure.step);
    dn_world_abort(world, &failure);
}

static void *monitor_peers(void *context)
{
    dn_peer_monitor *peers = context;
    struct pollfd *end = &peers->fds[peers->n_ranks];
    while (poll(peers->fds, (nfds_t)peers->n_ranks + 1, -1) >= 0 || errno == EINTR) {
        if (end->revents)
            break;
        for (int rank = 0; rank < peers->n_ranks; rank++) {
            if (!peers->fds[rank].revents)
                continue;
            note_end(peers->world, rank);
            close(peers->fds[rank].fd);
            peers->fds[rank] = (struct pollfd){.fd = -1};
        }
    }
    return NULL;
}

static dn_status open_all(dn_peer_monitor *peers, int me)
{
    peers->end = eventfd(0, EFD_CLOEXEC);
    if (peers->end < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno, "cannot open an eventfd");
    peers->fds[peers->n_ranks] = (struct pollfd){.fd = peers->end, .events = POLLIN};
    for (int rank = 0; rank < peers->n_ranks; rank++) {
        if (rank == me || dn_world_node(peers->world, rank) != dn_world_node(peers->world, me))
            continue;
        int pid = dn_world_pid(peers->world, rank);
        int descriptor = pidfd_open(pid, 0);
        if (descriptor >= 0)
            peers->fds[rank] = (struct pollfd){.fd = descriptor, .events = POLLIN};
        else if (errno == ESRCH)
            note_end(peers->world, rank); /* no failure if it has left */
        else
            return dn_fail_errno(
                DN_ERR_SYSTEM, errno,
                "cannot monitor rank %d (pid %d; pidfd_open needs Linux 5.3 and free descriptors: "
                "ulimit -n)",
                rank, pid);
    }
    return DN_OK;
}

static dn_status start_thread(dn_peer_monitor *peers)
{
    int error = dn_thread_start(&peers->thread, monitor_peers, peers);
    return error
               ? dn_fail_errno(DN_ERR_SYSTEM, error, "cannot start the thread that monitors the other ranks")
               : DN_OK;
}

static void close_all(dn_peer_monitor *peers)
{
    for (int i = 0; i <= peers->n_ranks; i++)
        if (peers->fds[i].fd >= 0)
            close(peers->fds[i].fd);
    free(peers);
}

dn_status dn_peer_monitor_start(dn_world *world, int rank, dn_peer_monitor **out)
{
    dn_peer_monitor *peers = calloc(1, sizeof *peers);
    if (!peers)
        return dn_fail(DN_ERR_MEMORY, "no memory to monitor the other ranks");
    peers->world = world;
    peers->n_ranks = dn_world_size(world);
    for (int i = 0; i <= peers->n_ranks; i++)
        peers->fds[i].fd = -1;
    dn_status status = open_all(peers, rank);
    if (status == DN_OK)
        status = start_thread(peers);
    if (status == DN_OK)
        *out = peers;
    else
        close_all(peers);
    return status;
}

void dn_peer_monitor_stop(dn_peer_monitor **peers)
{
    if (!*peers)
        return;
    const uint64_t one = 1;
    ssize_t ignored = write((*peers)->end, &one, sizeof one); /* cannot fail: the counter is 0 */
    (void)ignored;
    pthread_join((*peers)->thread, NULL);
    close_all(*peers);
    *peers = NULL;
}
