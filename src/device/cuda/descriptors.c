/*
 * Descriptors of memory, from the process that made it to every other one of the node, over sockets: other
 * ways are closed between processes of one parent (pidfd_getfd by ptrace's scope, CUDA's older handles by the
 * address). Containers may close this one, too, which is then an objection and no error.
 */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include "base/fail.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* Of several the first. */
static void object(char *objection, int rank, const char *what, int peer)
{
    if (!*objection)
        snprintf(objection, DN_OBJECTION_BYTES, "worker %d: %s worker %d: %s", rank, what, peer,
                 strerror(errno));
}

static socklen_t address_of(struct sockaddr_un *address, const char *host, int pid)
{
    /* Abstract: gone with its process. The heap's address tells several of a process apart. */
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    int length = snprintf(address->sun_path + 1, sizeof address->sun_path - 1, "dionode-gpu-%d-%zx", pid,
                          (size_t)(uintptr_t)host);
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)length);
}

static int new_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void listen_for(const dn_device_heap *asked, int *listener, char *objection)
{
    struct sockaddr_un address;
    socklen_t bytes = address_of(&address, asked->first, (int)getpid());
    *listener = new_socket();
    if (*listener < 0 || bind(*listener, (const struct sockaddr *)&address, bytes) != 0 ||
        listen(*listener, asked->n) != 0)
        object(objection, asked->rank, "no socket of", asked->rank);
}

/* Whether the process at the other end is that one, of this user: anyone may take an abstract name. */
static bool is_process(int s, int pid)
{
    struct ucred other;
    socklen_t bytes = sizeof other;
    bool same = getsockopt(s, SOL_SOCKET, SO_PEERCRED, &other, &bytes) == 0 && other.pid == pid &&
                other.uid == getuid();
    errno = same ? 0 : EPERM;
    return same;
}

/* Waits for nobody: all listen. */
static void connect_to_all(const dn_device_heap *asked, int *sockets, char *objection)
{
    for (int peer = 0; peer < asked->n; peer++) {
        struct sockaddr_un address;
        socklen_t bytes = address_of(&address, asked->first, asked->pids[peer]);
        if (peer == asked->rank)
            continue;
        sockets[peer] = new_socket();
        if (sockets[peer] < 0 || connect(sockets[peer], (const struct sockaddr *)&address, bytes) != 0 ||
            !is_process(sockets[peer], asked->pids[peer]))
            object(objection, asked->rank, "no connection to", peer);
    }
}

static dn_awaited look_at_socket(void *context)
{
    return poll(context, 1, 0) > 0 ? DN_AWAITED_DONE : DN_AWAITED_NOT_YET; /* or a signal came */
}

/* Until something has come. What is sent is a few bytes, for which a socket always has room. */
static dn_status await(int s, const dn_device_heap *asked)
{
    struct pollfd what = {.fd = s, .events = POLLIN};
    dn_status status = dn_gpu_library.wait(look_at_socket, &what);
    return status == DN_ERR_TIMEOUT
               ? dn_gpu_fail(
                     DN_ERR_SYSTEM,
                     "memory that workers share on GPUs: worker %d waits for a descriptor of a worker "
                     "that it is connected with",
                     asked->rank)
               : status;
}

typedef union control {
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
} control;

/* The rank, and the descriptor beside it. */
static bool send_descriptor(int s, int rank, int descriptor)
{
    control c = {0};
    struct iovec data = {&rank, sizeof rank};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    *head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(head), &descriptor, sizeof descriptor);
    return sendmsg(s, &message, MSG_NOSIGNAL) == (ssize_t)sizeof rank;
}

/* -1, with errno, if none comes. */
static int receive_descriptor(int s, int rank)
{
    control c = {0};
    int sender = -1, descriptor = -1;
    struct iovec data = {&sender, sizeof sender};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof c.room};
    ssize_t n = recvmsg(s, &message, MSG_CMSG_CLOEXEC);
    struct cmsghdr *head = n == (ssize_t)sizeof sender ? CMSG_FIRSTHDR(&message) : NULL;
    if (head && head->cmsg_type == SCM_RIGHTS)
        memcpy(&descriptor, CMSG_DATA(head), sizeof descriptor);
    if (n >= 0 && (descriptor < 0 || sender != rank))
        errno = EPROTO;
    return sender == rank ? descriptor : -1;
}

/* To each that has connected the own one, then from each that was connected to its. A connection is closed
 * behind what it was for, so that nobody waits for what was not sent; and with the listener those that it
 * could not accept. */
static dn_status exchange(const dn_device_heap *asked, int *listener, const int *sockets, int own,
                          int *descriptors, char *objection)
{
    for (int i = 0; i < asked->n - 1 && *listener >= 0; i++) {
        DN_TRY(await(*listener, asked));
        int s = accept4(*listener, NULL, NULL, SOCK_CLOEXEC);
        if (s < 0 || !send_descriptor(s, asked->rank, own))
            object(objection, asked->rank, "a descriptor is not sent by", asked->rank);
        if (s < 0) {
            close(*listener);
            *listener = -1;
        } else {
            close(s);
        }
    }
    for (int peer = 0; peer < asked->n; peer++) {
        if (peer == asked->rank)
            continue;
        DN_TRY(await(sockets[peer], asked));
        descriptors[peer] = receive_descriptor(sockets[peer], peer);
        if (descriptors[peer] < 0)
            object(objection, asked->rank, "no descriptor from", peer);
    }
    return asked->agree(asked->context, objection);
}

dn_status dn_gpu_pass_descriptors(const dn_device_heap *asked, int own, int *descriptors,
                                  char objection[DN_OBJECTION_BYTES])
{
    int listener = -1, sockets[DN_MAX_RANKS];
    for (int peer = 0; peer < asked->n; peer++)
        sockets[peer] = -1;
    if (!*objection)
        listen_for(asked, &listener, objection);
    dn_status status = asked->agree(asked->context, objection); /* all listen */
    if (status == DN_OK && !*objection) {
        connect_to_all(asked, sockets, objection);
        status = asked->agree(asked->context, objection); /* all are connected with all */
    }
    if (status == DN_OK && !*objection)
        status = exchange(asked, &listener, sockets, own, descriptors, objection);
    for (int peer = 0; peer < asked->n; peer++)
        if (sockets[peer] >= 0)
            close(sockets[peer]);
    if (listener >= 0)
        close(listener);
    return status;
}
