#include "comm/proxy.h"

#include "base/fail.h"
#include "base/thread.h"
#include "comm/internal.h"
#include "device/device.h"
#include "shm/wait.h"

#include <semaphore.h>
#include <stdlib.h>

/* One asker's line, in the owner's scratch. */
typedef struct request {
    uint64_t offset, bytes; /* written by the asker before `asked` */
    _Atomic uint64_t asked; /* counts the requests; by the asker alone */
    _Atomic uint64_t done;  /* follows it; by the owner alone */
} request;

typedef struct desk {
    sem_t called; /* once for each request, and for the end */
    request requests[DN_MAX_RANKS];
} desk;

_Static_assert(DN_PROXY_AT + sizeof(desk) <= DN_NODE_LINES_AT, "the scratch has room");

struct dn_proxy {
    dn_world *world;
    int rank;
    pthread_t thread;
    _Atomic bool ends;
};

static desk *desk_of(const dn_world *world, int rank)
{
    return (desk *)(void *)((char *)dn_world_scratch(world, rank) + DN_PROXY_AT);
}

/* All that is asked for. */
static dn_status answer(const dn_proxy *proxy, dn_stream *stream)
{
    char *arena = dn_world_arena(proxy->world, proxy->rank);
    for (int rank = 0; rank < dn_world_size(proxy->world); rank++) {
        request *r = &desk_of(proxy->world, proxy->rank)->requests[rank];
        const uint64_t asked = atomic_load_explicit(&r->asked, memory_order_acquire);
        if (atomic_load_explicit(&r->done, memory_order_relaxed) == asked)
            continue;
        char *host = arena + r->offset;
        dn_copy_bytes(stream, host, host + stream->device->heap_distance, r->bytes);
        DN_TRY(dn_stream_sync(stream));
        dn_wait_post(proxy->world, proxy->rank, &r->done, asked);
    }
    return DN_OK;
}

static void *serve(void *context)
{
    dn_proxy *proxy = context;
    dn_stream *stream = NULL;
    dn_device_attach(proxy->world, proxy->rank);
    dn_status status = dn_stream_open(&stream);
    while (status == DN_OK) {
        if (sem_wait(&desk_of(proxy->world, proxy->rank)->called) != 0)
            continue; /* a signal */
        if (atomic_load_explicit(&proxy->ends, memory_order_acquire))
            break;
        status = answer(proxy, stream);
    }
    if (status != DN_OK)
        dn_comm_publish(proxy->world, proxy->rank, status);
    if (stream)
        dn_stream_destroy(&stream);
    return NULL;
}

dn_status dn_proxy_start(dn_world *world, int rank, dn_proxy **out)
{
    dn_proxy *proxy = calloc(1, sizeof *proxy);
    if (!proxy)
        return dn_fail(DN_ERR_MEMORY, "no memory for a thread that lends a device's memory");
    *proxy = (dn_proxy){.world = world, .rank = rank};
    (void)sem_init(&desk_of(world, rank)->called, 1, 0); /* between processes, of which Linux has all */
    int error = dn_thread_start(&proxy->thread, serve, proxy);
    if (error) {
        free(proxy);
        return dn_fail_errno(DN_ERR_SYSTEM, error, "cannot start a thread that lends a device's memory");
    }
    *out = proxy;
    return DN_OK;
}

void dn_proxy_stop(dn_proxy **proxy)
{
    dn_proxy *p = *proxy;
    if (!p)
        return;
    *proxy = NULL;
    atomic_store_explicit(&p->ends, true, memory_order_release);
    (void)sem_post(&desk_of(p->world, p->rank)->called);
    pthread_join(p->thread, NULL);
    free(p);
}

dn_status dn_proxy_ask(const dn_proxy *proxy, int owner, uint64_t offset, size_t bytes)
{
    desk *d = desk_of(proxy->world, owner);
    request *r = &d->requests[proxy->rank];
    const uint64_t number = atomic_load_explicit(&r->asked, memory_order_relaxed) + 1;
    r->offset = offset;
    r->bytes = bytes;
    atomic_store_explicit(&r->asked, number, memory_order_release);
    (void)sem_post(&d->called);
    return dn_wait_reach(proxy->world, proxy->rank, owner, &r->done, number);
}
