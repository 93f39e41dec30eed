/*
 * A transport moves bytes between processes that share no memory, and does nothing else: no sums, no collectives. It is a
 * module, a shared object that is opened when a run asks for it (base/module.h), so that neither the library nor the program
 * needs what it is built on.
 *
 * A module includes this header alone and links nothing of Dionode: it returns 0, or -1 with a sentence in `why`. One
 * thread calls it at a time, not always the same one. Messages between two ranks with the same tag arrive in the order in
 * which they were sent. No call waits: what is not done yet is asked for again.
 */
#ifndef COMM_TRANSPORT_TRANSPORT_H
#define COMM_TRANSPORT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DN_TRANSPORT_VERSION  2
#define DN_TRANSPORT_SYMBOL   "dn_transport_module"
#define DN_TRANSPORT_REQUESTS 2048 /* in flight, sends and receives */
#define DN_TRANSPORT_TAGS     32768 /* tags are less; any MPI has these */

typedef struct dn_transport {
    int version; /* DN_TRANSPORT_VERSION */
    const char *name;

    /* Collective over all processes that were started together: rank and their number. */
    int (*start)(int *rank, int *n_ranks, char *why, size_t bytes);
    /* Collective: from every process `bytes` bytes, by rank, to all of them: all [n_ranks * bytes]. */
    int (*gather)(const void *own, size_t bytes, void *all, char *why, size_t n);
    /* Collective: an arbitrary number that processes which can share memory have in common, and no others. */
    int (*find_node)(int *node, char *why, size_t bytes);

    /* Begin to send or receive `bytes` (up to 1 GiB) and return the request's number >= 0, to be asked for with `done`
     * until it is; the memory is the transport's until then. -1: an error. At most DN_TRANSPORT_REQUESTS at a time. */
    int (*send)(const void *data, size_t bytes, int to, int tag);
    int (*receive)(void *data, size_t bytes, int from, int tag);
    /* 1: done, and the number is free; 0: not yet; -1: an error, or a message of another length than was awaited. */
    int (*done)(int request);
    /* 1: a message with this tag, from any rank and of at most `room` bytes, was received whole; 0: there is none. */
    int (*take)(int tag, void *data, size_t room, int *from, size_t *bytes);

    /* Collective, the last call of a run that went well. */
    void (*finish)(void);
    /* Ends the processes of all nodes, this one last, with this exit status; may return. */
    void (*abort)(int exit_status);
} dn_transport;

#endif
