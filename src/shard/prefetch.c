#include "shard/prefetch.h"

#include "base/fail.h"
#include "base/thread.h"
#include "comm/world.h"
#include "device/device.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>

struct dn_prefetch {
    const dn_comm *comm;
    dn_stream *stream; /* makes the copies on a device; NULL on the CPU, where a thread does */
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t
        changed; /* one waits at a time: the prefetch thread for work, or its owner for the end of it */
    const dn_copy *copies;
    size_t n;
    bool busy, ends;
};

static void *copy_on_demand(void *context)
{
    dn_prefetch *c = context;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->busy && !c->ends)
            pthread_cond_wait(&c->changed, &c->lock);
        if (!c->busy)
            break;
        pthread_mutex_unlock(&c->lock);
        for (size_t i = 0; i < c->n; i++)
            dn_comm_fetch(c->comm, c->copies[i].to, c->copies[i].from, c->copies[i].member);
        pthread_mutex_lock(&c->lock);
        c->busy = false;
        pthread_cond_signal(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

dn_status dn_prefetch_create(const dn_comm *comm, dn_prefetch **out)
{
    dn_prefetch *c = calloc(1, sizeof *c);
    if (!c)
        return dn_fail(DN_ERR_MEMORY, "no memory for a thread that copies weights");
    c->comm = comm;
    if (dn_device_is_apart()) {
        dn_status status = dn_stream_open(&c->stream);
        if (status == DN_OK)
            *out = c;
        else
            free(c);
        return status;
    }
    pthread_mutex_init(&c->lock, NULL); /* neither can fail on Linux */
    pthread_cond_init(&c->changed, NULL);
    int error = dn_thread_start(&c->thread, copy_on_demand, c);
    if (error) {
        free(c);
        return dn_fail_errno(DN_ERR_SYSTEM, error, "cannot start a thread that copies weights");
    }
    *out = c;
    return DN_OK;
}

void dn_prefetch_destroy(dn_prefetch **prefetch)
{
    dn_prefetch *c = *prefetch;
    if (!c)
        return;
    *prefetch = NULL;
    if (c->stream) {
        dn_stream_destroy(&c->stream);
        free(c);
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->ends = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void dn_prefetch_begin(dn_prefetch *c, const dn_copy *copies, size_t n, dn_event after)
{
    if (c->stream) {
        dn_stream_wait(c->stream, after);
        for (size_t i = 0; i < n; i++)
            dn_comm_fetch_on(c->comm, c->stream, copies[i].to, copies[i].from, copies[i].member);
        return;
    }
    pthread_mutex_lock(&c->lock);
    assert(!c->busy);
    c->copies = copies;
    c->n = n;
    c->busy = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void dn_prefetch_wait(dn_prefetch *c, dn_stream *stream)
{
    if (c->stream) {
        dn_stream_wait(stream, dn_event_record(c->stream));
        return;
    }
    pthread_mutex_lock(&c->lock);
    while (c->busy)
        pthread_cond_wait(&c->changed, &c->lock);
    pthread_mutex_unlock(&c->lock);
}
