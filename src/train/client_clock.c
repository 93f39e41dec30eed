/* Which tickets are done first: by the clock on the wall, each on a worker of its own, or in the order of a log. Under a real clock a
 * worker looks between its ticket's steps whether a version can be made; then it pauses, helps to make that, and goes on. */
#include "train/clients_internal.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "compute/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NAP_NS 500000

dn_status dn_client_clock_open(dn_clients *k, void *n_ended)
{
    const dn_comm_chunk chunk = dn_comm_chunk_of(n_ended, sizeof *k->clock.n_ended);
    *(uint64_t *)n_ended = 0;
    DN_TRY(dn_comm_barrier(k->instance->mesh->all)); /* until that of worker 0 is 0 */
    k->clock.n_ended = (uint64_t *)(uintptr_t)dn_comm_view(k->instance->mesh->all, chunk, 0, DN_TRAFFIC_CONTROL);
    k->clock.holder = calloc((size_t)k->n_workers, sizeof *k->clock.holder);
    return k->clock.holder ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for who trains what");
}

void dn_client_clock_close(dn_clients *k)
{
    free(k->clock.holder);
    dn_tickets_log_close(&k->log);
}

dn_status dn_client_clock_expect(dn_clients *k, uint64_t step)
{
    const dn_client_plan *p = &k->plan->clients;
    char path[DN_PATH_MAX + 16];
    bool replay = p->clock == DN_CLOCK_REPLAY;
    for (int w = 0; w < k->n_workers; w++)
        k->clock.holder[w] = -1;
    k->clock.began_s = dn_clock_s();
    if (p->clock == DN_CLOCK_VIRTUAL)
        return DN_OK;
    snprintf(path, sizeof path, "%s/tickets.log", k->plan->config.checkpoint_dir);
    dn_tickets_log_close(&k->log);
    DN_TRY(dn_tickets_log_open(replay ? p->log : path, p->quorum, replay ? UINT64_MAX : step, replay, &k->log));
    k->clock.before_s = k->log.n > 0 ? k->log.seconds[k->log.n - 1] : 0;
    if (k->log.n >= step)
        return DN_OK;
    return dn_fail(DN_ERR_DATA, "%s has the order of %zu versions, and %llu are made: it is not this run's", k->log.path, k->log.n,
                   (unsigned long long)step);
}

dn_status dn_client_clock_repeat(dn_clients *k)
{
    uint64_t version = dn_tickets_version(k->tickets);
    if (version < k->log.n)
        return dn_tickets_end(k->tickets, k->log.clients + version * (uint64_t)k->log.quorum, k->log.seconds[version]);
    return dn_fail(DN_ERR_DATA, "%s has the order of %zu versions: lower num_iterations, or set stop_after", k->log.path, k->log.n);
}

/* Each ticket that is out and has no worker gets one. */
static void hand_out(dn_clients *k)
{
    const dn_ticket *out = dn_tickets_out(k->tickets);
    for (int i = 0, free = 0; i < k->plan->clients.n_out; i++) {
        bool held = false;
        for (int w = 0; w < k->n_workers; w++)
            held = held || k->clock.holder[w] == out[i].client;
        while (!held && k->clock.holder[free] >= 0)
            free++;
        if (!held)
            k->clock.holder[free] = out[i].client;
    }
}

static const dn_ticket *ticket_of(const dn_clients *k, int client)
{
    const dn_ticket *out = dn_tickets_out(k->tickets);
    while (client >= 0 && out->client != client)
        out++;
    return client >= 0 ? out : NULL;
}

static bool can_be_made(const dn_clients *k)
{
    return __atomic_load_n(k->clock.n_ended, __ATOMIC_ACQUIRE) >= (uint64_t)k->plan->clients.quorum;
}

static dn_status train_on(dn_clients *k)
{
    dn_client_clock *x = &k->clock;
    bool over = x->holder[k->rank] < 0 || x->place > 0;
    while (!over && !can_be_made(k)) {
        DN_TRY(dn_client_training_step(k, &over, &x->loss));
        x->counted = k->training.counted;
        if (over)
            x->place = (double)__atomic_add_fetch(x->n_ended, 1, __ATOMIC_ACQ_REL);
    }
    while (!can_be_made(k)) {
        DN_TRY(k->work.wait(k->work.context));
        nanosleep(&(struct timespec){.tv_nsec = NAP_NS}, NULL);
    }
    return DN_OK;
}

dn_status dn_client_clock_train(dn_clients *k)
{
    dn_client_clock *x = &k->clock;
    dn_stream *s = k->instance->stream;
    int held = x->holder[k->rank];
    hand_out(k);
    if (held >= 0)
        s->kernels->copy(s, k->instance->values, x->paused, k->n);
    else if (x->holder[k->rank] >= 0)
        DN_TRY(dn_client_training_begin(k, ticket_of(k, x->holder[k->rank])));
    dn_status status = train_on(k);
    k->told.loss[k->rank] = x->place > 0 ? x->loss : 0;
    k->told.counted[k->rank] = x->place > 0 ? x->counted : 0;
    k->told.place[k->rank] = x->place;
    if (k->rank == 0)
        *k->told.now_s = x->before_s + dn_clock_s() - x->began_s;
    DN_TRY(dn_stream_sync(s));
    return status;
}

dn_status dn_client_clock_decide(dn_clients *k, int *workers)
{
    int clients[DN_MAX_RANKS], quorum = k->plan->clients.quorum;
    for (int w = 0; w < k->n_workers; w++) {
        int place = (int)k->told.place[w];
        if (place > 0 && place <= quorum) {
            workers[place - 1] = w;
            clients[place - 1] = k->clock.holder[w];
        }
    }
    if (!k->clock.logged && k->rank == 0)
        DN_TRY(dn_tickets_log_write(&k->log));
    k->clock.logged = true;
    DN_TRY(dn_tickets_log_add(&k->log, *k->told.now_s, clients, k->rank == 0));
    return dn_tickets_end(k->tickets, clients, *k->told.now_s);
}

dn_status dn_client_clock_pause(dn_clients *k)
{
    dn_client_clock *x = &k->clock;
    dn_stream *s = k->instance->stream;
    uint64_t left = 0;
    for (int w = 0; w < k->n_workers; w++) {
        double place = k->told.place[w], quorum = k->plan->clients.quorum;
        left += place > quorum;
        if (place > 0 && place <= quorum)
            x->holder[w] = -1;
        if (w == k->rank)
            x->place = place > quorum ? place - quorum : 0;
    }
    if (k->rank == 0) /* a barrier follows before any worker looks again */
        __atomic_store_n(x->n_ended, left, __ATOMIC_RELEASE);
    if (x->holder[k->rank] >= 0)
        s->kernels->copy(s, x->paused, k->instance->values, k->n);
    return dn_stream_sync(s);
}
