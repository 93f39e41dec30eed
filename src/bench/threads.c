#include "bench/threads.h"

#include "base/fail.h"
#include "topo/domains.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum gate { CLOSED, OPEN, CANCELLED };

typedef struct thread_group {
    const dn_topo *topo;
    dn_threads_fn *fn;
    void *argument;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* Under the lock. */
    enum gate gate;
    int n_bound;
    dn_status failed;
    char message[256];
} thread_group;

typedef struct member {
    thread_group *thread_group;
    int index, pu;
    pthread_t thread;
} member;

/* Reports the result of binding, then waits for the gate. True: run. */
static bool wait_for_gate(thread_group *t, dn_status bound)
{
    pthread_mutex_lock(&t->lock);
    t->n_bound++;
    if (bound != DN_OK && t->failed == DN_OK) {
        t->failed = bound;
        strncpy(t->message, dn_error_message(), sizeof t->message - 1);
    }
    pthread_cond_broadcast(&t->changed);
    while (t->gate == CLOSED)
        pthread_cond_wait(&t->changed, &t->lock);
    bool open = t->gate == OPEN;
    pthread_mutex_unlock(&t->lock);
    return open;
}

static void *thread_main(void *argument)
{
    member *m = argument;
    if (wait_for_gate(m->thread_group, dn_topo_bind_pu(m->thread_group->topo, m->pu)))
        m->thread_group->fn(m->index, m->thread_group->argument);
    return NULL;
}

/* Opens the gate once all n threads are bound, or cancels those that were started. */
static dn_status open_gate(thread_group *t, int n_started, int n)
{
    pthread_mutex_lock(&t->lock);
    while (t->n_bound < n_started)
        pthread_cond_wait(&t->changed, &t->lock);
    dn_status status = n_started < n
                           ? dn_fail(DN_ERR_SYSTEM, "cannot start thread %d of %d", n_started + 1, n)
                       : t->failed != DN_OK ? dn_fail(t->failed, "%s", t->message)
                                            : DN_OK;
    t->gate = status == DN_OK ? OPEN : CANCELLED;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return status;
}

dn_status dn_threads_run(const dn_topo *topo, const int *pus, int n, dn_threads_fn *fn, void *argument)
{
    thread_group t = {.topo = topo,
                      .fn = fn,
                      .argument = argument,
                      .lock = PTHREAD_MUTEX_INITIALIZER,
                      .changed = PTHREAD_COND_INITIALIZER};
    member *members = calloc((size_t)n, sizeof *members);
    int n_started = 0;
    if (!members)
        return dn_fail(DN_ERR_MEMORY, "no memory for %d threads", n);
    for (; n_started < n; n_started++) {
        members[n_started] = (member){.thread_group = &t, .index = n_started, .pu = pus[n_started]};
        if (pthread_create(&members[n_started].thread, NULL, thread_main, &members[n_started]) != 0)
            break;
    }
    dn_status status = open_gate(&t, n_started, n);
    for (int i = 0; i < n_started; i++)
        pthread_join(members[i].thread, NULL);
    free(members);
    return status;
}
