/*
 * A device to find faults with, made of the host's memory. It is as unforgiving as an accelerator can be:
 *
 * - No host code reads its memory: a handle is an address with a bit set that no address of a process has, so
 * that following it is a fault at the line that does. What runs on a stream takes the bit away.
 * - Nothing queued is done until somebody waits, and what is copied from the host is read then, not before.
 * - Results on the host are not-a-number until they are delivered at a sync.
 * - Streams go on in the worst order that events allow (DIONODE_FAKE_ORDER): `first`: all that can be done of
 * the stream made first, then of the next; `last`: the other way round; `random` or `random:SEED`. Only as
 * much is done as the wait needs.
 *
 * Streams belong to the thread that made them, which is a rank.
 */
#include "device/device.h"

#include "base/fail.h"
#include "base/size.h"

#include <stdlib.h>
#include <string.h>

/* Neither 48 nor 57 bits of address reach it: x86-64 and AArch64 fault on it, whatever is mapped. */
#define DEVICE_BIT ((uintptr_t)1 << 55)

#define CHUNK_BYTES ((size_t)64 << 10)

/* Memory of queued calls: taken piece by piece, given back all at once. */
typedef struct chunk {
    struct chunk *next;
    size_t bytes, used;
    _Alignas(16) char memory[];
} chunk;

typedef struct task {
    struct task *next;
    void (*run)(dn_stream *stream, void *arguments); /* NULL: waits for the event */
    void (*deliver)(void *arguments);                /* NULL: nothing */
    void *arguments;
    dn_event event;
} task;

typedef struct queue {
    struct queue *before, *after; /* of this thread, in the order they were made */
    dn_stream *stream;
    task *first, *last; /* all since the last sync */
    task *next;         /* the first that has not run; NULL: none */
    uint64_t n_queued, n_run;
    chunk *chunks;
} queue;

typedef enum order { FIRST, LAST, RANDOM } order;

static _Thread_local queue *oldest, *newest;
static _Thread_local order order_of_streams;
static _Thread_local uint64_t random_state;

/* ---- memory ---- */

static void *host_address(const void *address)
{
    return (void *)((uintptr_t)address & ~DEVICE_BIT);
}

static bool on_device(const void *address)
{
    return (uintptr_t)address & DEVICE_BIT;
}

static void *take(size_t bytes)
{
    void *memory = dn_memory_take(bytes);
    return memory ? (void *)((uintptr_t)memory | DEVICE_BIT) : NULL;
}

static void give_back(void *memory)
{
    free(host_address(memory));
}

static void *lend(const void *handle)
{
    return on_device(handle) ? host_address(handle) : NULL;
}

static void *keep(dn_stream *stream, size_t bytes)
{
    queue *q = stream->queue;
    size_t rounded = dn_size_add(bytes, 15) / 16 * 16;
    if (!q->chunks || rounded > q->chunks->bytes - q->chunks->used) {
        size_t size = dn_max(rounded, CHUNK_BYTES);
        chunk *c = malloc(sizeof *c + size);
        if (!c)
            abort(); /* a device to test with has nowhere to say so */
        *c = (chunk){.next = q->chunks, .bytes = size};
        q->chunks = c;
    }
    void *kept = q->chunks->memory + q->chunks->used;
    q->chunks->used += rounded;
    return kept;
}

/* ---- queues ---- */

static void choose_order(void)
{
    const char *text = getenv("DIONODE_FAKE_ORDER");
    order_of_streams = !text || strcmp(text, "first") == 0 ? FIRST
                       : strcmp(text, "last") == 0         ? LAST
                                                           : RANDOM;
    const char *seed = text ? strchr(text, ':') : NULL;
    random_state = seed ? strtoull(seed + 1, NULL, 10) : 1;
}

static dn_status open_stream(dn_stream *stream)
{
    if (!newest)
        choose_order();
    queue *q = calloc(1, sizeof *q);
    if (!q)
        return dn_fail(DN_ERR_MEMORY, "no memory for a stream");
    q->stream = stream;
    q->before = newest;
    *(newest ? &newest->after : &oldest) = q;
    newest = q;
    stream->queue = q;
    return DN_OK;
}

static void push(dn_stream *stream, task t)
{
    queue *q = stream->queue;
    task *queued = keep(stream, sizeof *queued);
    *queued = t;
    *(q->last ? &q->last->next : &q->first) = queued;
    q->last = queued;
    if (!q->next)
        q->next = queued;
    q->n_queued++;
}

static void call(dn_stream *stream, void (*run)(dn_stream *stream, void *arguments),
                 void (*deliver)(void *arguments), void *arguments)
{
    push(stream, (task){.run = run, .deliver = deliver, .arguments = arguments});
}

/* ---- order ---- */

static bool passed(dn_event event)
{
    const queue *q = event.stream->queue;
    return q->n_run >= event.place;
}

static bool ready(const queue *q)
{
    return q->next && (q->next->run || passed(q->next->event));
}

static uint64_t draw(void)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return random_state >> 33;
}

/* A queue whose next task may run. There is one while a stream is waited for: an event was recorded before it
 * was waited for. */
static queue *choose(void)
{
    uint64_t n = 0;
    queue *chosen = NULL;
    for (queue *q = order_of_streams == LAST ? newest : oldest; q;
         q = order_of_streams == LAST ? q->before : q->after) {
        if (!ready(q))
            continue;
        if (order_of_streams != RANDOM)
            return q;
        if (draw() % ++n == 0)
            chosen = q;
    }
    return chosen;
}

static void run_next(queue *q)
{
    task *t = q->next;
    q->next = t->next;
    if (t->run)
        t->run(q->stream, t->arguments);
    q->n_run++;
}

static void drain(dn_stream *stream)
{
    queue *q = stream->queue;
    while (q->next)
        run_next(choose());
}

static dn_status sync_stream(dn_stream *stream)
{
    queue *q = stream->queue;
    drain(stream);
    for (task *t = q->first; t; t = t->next)
        if (t->deliver)
            t->deliver(t->arguments);
    q->first = q->last = NULL;
    while (q->chunks && q->chunks->next) { /* the last one stays */
        chunk *c = q->chunks;
        q->chunks = c->next;
        free(c);
    }
    if (q->chunks)
        q->chunks->used = 0;
    return DN_OK;
}

static void close_stream(dn_stream *stream)
{
    queue *q = stream->queue;
    drain(stream);
    *(q->before ? &q->before->after : &oldest) = q->after;
    *(q->after ? &q->after->before : &newest) = q->before;
    for (chunk *c = q->chunks, *next; c; c = next) {
        next = c->next;
        free(c);
    }
    free(q);
}

static dn_event record(dn_stream *stream)
{
    const queue *q = stream->queue;
    return (dn_event){.stream = stream, .place = q->n_queued};
}

static void wait_for(dn_stream *stream, dn_event event)
{
    push(stream, (task){.event = event});
}

/* ---- copies and folds ---- */

typedef struct copying {
    void *to, *target; /* on the host: where it ends, and where it lies until it is delivered */
    const void *from;
    size_t bytes;
} copying;

static void run_copy(dn_stream *stream, void *arguments)
{
    const copying *c = arguments;
    memcpy(host_address(c->target), host_address(c->from), c->bytes);
}

static void deliver_copy(void *arguments)
{
    const copying *c = arguments;
    memcpy(c->to, c->target, c->bytes);
}

static void copy(dn_stream *stream, void *to, const void *from, size_t bytes)
{
    copying *c = keep(stream, sizeof *c);
    *c = (copying){.to = to, .target = to, .from = from, .bytes = bytes};
    if (!on_device(to)) {
        c->target = keep(stream, bytes);
        memset(to, 0xff, bytes);
    }
    call(stream, run_copy, on_device(to) ? NULL : deliver_copy, c);
}

static void run_clear(dn_stream *stream, void *arguments)
{
    const copying *c = arguments;
    memset(host_address(c->to), 0, c->bytes);
}

static void clear(dn_stream *stream, void *to, size_t bytes)
{
    copying *c = keep(stream, sizeof *c);
    *c = (copying){.to = to, .bytes = bytes};
    call(stream, run_clear, NULL, c);
}

static void run_fold(dn_stream *stream, void *arguments)
{
    dn_fold *fold = arguments;
    for (int i = 0; i < fold->n_sources; i++)
        fold->sources[i] = host_address(fold->sources[i]);
    for (int i = 0; i < fold->n_targets; i++)
        fold->targets[i] = host_address(fold->targets[i]);
    dn_fold_on_host(fold);
}

static void fold(dn_stream *stream, const dn_fold *asked)
{
    dn_fold *kept = keep(stream, sizeof *kept);
    *kept = *asked;
    call(stream, run_fold, NULL, kept);
}

const dn_device dn_device_fake = {
    .name = "fake",
    .help = "an accelerator in the host's memory that finds faults: for tests, slow",
    .heap_distance = (ptrdiff_t)DEVICE_BIT,
    .take = take,
    .give_back = give_back,
    .open = open_stream,
    .close = close_stream,
    .keep = keep,
    .call = call,
    .lend = lend,
    .copy = copy,
    .clear = clear,
    .fold = fold,
    .sync = sync_stream,
    .drain = drain,
    .record = record,
    .wait = wait_for,
    .passed = passed,
};
