#include "bench/threads.h"

#include "base/fail.h"
#include "topo/domains.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum gate { CLOSED, OPEN, CANCELLED };

typedef struct team {
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
} team;

typedef struct member {
    team *team;
    int index, pu;
    pthread_t thread;
} member;

/* Tells how binding went, then waits for the word to begin. */
static bool join_in(team *t, dn_status bound)
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

static void *live(void *argument)
{
    member *m = argument;
    if (join_in(m->team, dn_topo_bind_pu(m->team->topo, m->pu)))
        m->team->fn(m->index, m->team->argument);
    return NULL;
}

/* Opens the gate once all n are bound, or sends those that were made home. */
static dn_status begin(team *t, int n_made, int n)
{
    pthread_mutex_lock(&t->lock);
    while (t->n_bound < n_made)
        pthread_cond_wait(&t->changed, &t->lock);
    dn_status status = n_made < n ? dn_fail(DN_ERR_SYSTEM, "cannot start thread %d of %d", n_made + 1, n)
                       : t->failed != DN_OK ? dn_fail(t->failed, "%s", t->message)
                                            : DN_OK;
    t->gate = status == DN_OK ? OPEN : CANCELLED;
    pthread_cond_broadcast(&t->changed);
    pthread_mutex_unlock(&t->lock);
    return status;
}

dn_status dn_threads_run(const dn_topo *topo, const int *pus, int n, dn_threads_fn *fn, void *argument)
{
    team t = {.topo = topo,
              .fn = fn,
              .argument = argument,
              .lock = PTHREAD_MUTEX_INITIALIZER,
              .changed = PTHREAD_COND_INITIALIZER};
    member *members = calloc((size_t)n, sizeof *members);
    int n_made = 0;
    if (!members)
        return dn_fail(DN_ERR_MEMORY, "no memory for %d threads", n);
    for (; n_made < n; n_made++) {
        members[n_made] = (member){.team = &t, .index = n_made, .pu = pus[n_made]};
        if (pthread_create(&members[n_made].thread, NULL, live, &members[n_made]) != 0)
            break;
    }
    dn_status status = begin(&t, n_made, n);
    for (int i = 0; i < n_made; i++)
        pthread_join(members[i].thread, NULL);
    free(members);
    return status;
}
