/* Streams of CUDA: what is queued, what it keeps of the host, and what a sync delivers. */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Events are used by turns. Who asks about one that was taken again learns of a later place, which lies
 * behind his. CHUNK: page-locked memory of the calls between two syncs, as a rule. */
enum { EVENTS = 64, CHUNK_BYTES = 1 << 20 };
/* Behind every STRIDE-th launch there is a mark, an event that tells how far the GPU has come. The host is
 * MARKS of them ahead, no more: with some thousand launches queued CUDA waits for the GPU in the next, and
 * would for ever. */
enum { STRIDE = 16, MARKS = 32, NAMES = STRIDE * (MARKS + 1) };

typedef struct chunk {
    struct chunk *next;
    size_t bytes, used;
    bool page_locked;
    _Alignas(256) char memory[];
} chunk;

typedef struct delivery {
    struct delivery *next;
    void (*deliver)(const void *results, const void *context);
    const void *results, *context;
} delivery;

typedef struct queue {
    cudaStream_t stream;
    cudaEvent_t events[EVENTS];
    uint64_t n_events, n_passed; /* recorded; known to have passed */
    chunk *chunks;
    delivery *first, *last;
    void *scratch;
    size_t scratch_bytes;
    cudaEvent_t marks[MARKS];
    uint64_t n_marked, n_reached; /* marks: recorded; known to have passed */
    const char *names[NAMES];     /* of the last launches, for messages */
    uint64_t n_named;
    void *kept; /* of compute/cuda/gemm.c */
    void (*destroy)(void *kept);
    dn_status status; /* the first failure, which stays: CUDA's context is gone with it */
    char trouble[256];
} queue;

/* ---- failures ---- */

static void fail(queue *q, dn_status status, const char *what, const char *name, const char *why)
{
    if (q->status != DN_OK)
        return;
    q->status = status;
    snprintf(q->trouble, sizeof q->trouble, "%s: %s (%s)", what, name, why);
}

static void check(queue *q, cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return;
    (void)cudaGetLastError(); /* the next launch would take it for its own */
    fail(q, error == cudaErrorMemoryAllocation ? DN_ERR_MEMORY : DN_ERR_SYSTEM, what, cudaGetErrorName(error),
         cudaGetErrorString(error));
}

bool dn_gpu_went_well(dn_stream *s, cudaError_t error, const char *what)
{
    check(s->queue, error, what);
    return error == cudaSuccess;
}

dn_status dn_gpu_failed(cudaError_t error, const char *what)
{
    return dn_gpu_fail(error == cudaErrorMemoryAllocation ? DN_ERR_MEMORY : DN_ERR_SYSTEM, "%s: %s (%s)",
                       what, cudaGetErrorName(error), cudaGetErrorString(error));
}

static bool lost;

bool dn_gpu_is_lost(void)
{
    return lost;
}

/* CUDA's own clearing up at the end of a process waits for the GPU. */
static void leave_at_once(int status, void *unused)
{
    (void)unused;
    fflush(NULL);
    _exit(status);
}

static void give_up(void)
{
    if (!lost)
        (void)on_exit(leave_at_once, NULL);
    lost = true;
}

/* The names of launches from..to, at most STRIDE of them. */
static void list_names(const queue *q, uint64_t from, uint64_t to, char *text, size_t bytes)
{
    snprintf(text, bytes, "%s", from < to ? "" : "none");
    for (uint64_t i = from; i < to && i < from + STRIDE; i++) {
        size_t length = strlen(text);
        snprintf(text + length, bytes - length, "%s%s", length ? ", " : "", q->names[i % NAMES]);
    }
}

/* An error shows behind the kernel that made it; a kernel that does not end is among those behind the last
 * mark that was reached. What ended the run elsewhere has been said there. */
static dn_status report(const queue *q)
{
    char names[256];
    int device = 0;
    (void)cudaGetDevice(&device);
    if (q->status == DN_ERR_PEER)
        return q->status;
    if (q->status == DN_ERR_TIMEOUT) {
        list_names(q, q->n_reached * STRIDE, q->n_named, names, sizeof names);
        return dn_gpu_fail(q->status,
                           "GPU %d does not end what it was given within timeout_s: of %llu kernels at least "
                           "%llu have ended, then come %s; "
                           "nvidia-smi and dmesg (Xid) may tell why; raise timeout_s if it was only slow",
                           device, (unsigned long long)q->n_named,
                           (unsigned long long)(q->n_reached * STRIDE), names);
    }
    list_names(q, q->n_named > STRIDE ? q->n_named - STRIDE : 0, q->n_named, names, sizeof names);
    return dn_gpu_fail(q->status, "GPU %d: %s; kernels queued last: %s%s", device, q->trouble, names,
                       q->status == DN_ERR_SYSTEM ? "; dmesg may name the cause (Xid)" : "");
}

/* ---- memory of queued calls ---- */

/* Where page-locked memory is at an end, the stream has failed and nothing more is launched: any memory will
 * do, so that callers need not ask. */
static chunk *new_chunk(queue *q, size_t bytes)
{
    void *memory = NULL;
    if (q->status == DN_OK)
        check(q, cudaHostAlloc(&memory, sizeof(chunk) + bytes, cudaHostAllocDefault),
              "page-locked memory for arguments of kernels");
    const bool page_locked = q->status == DN_OK;
    if (!page_locked && posix_memalign(&memory, _Alignof(chunk), sizeof(chunk) + bytes) != 0)
        abort(); /* not even that */
    chunk *c = memory;
    *c = (chunk){.next = q->chunks, .bytes = bytes, .page_locked = page_locked};
    return c;
}

void *dn_gpu_keep(dn_stream *stream, size_t bytes)
{
    queue *q = stream->queue;
    size_t rounded = (bytes + 63) / 64 * 64;
    if (!q->chunks || rounded > q->chunks->bytes - q->chunks->used)
        q->chunks = new_chunk(q, rounded > CHUNK_BYTES ? rounded : CHUNK_BYTES);
    void *kept = q->chunks->memory + q->chunks->used;
    q->chunks->used += rounded;
    return kept;
}

static void free_chunk(chunk *c)
{
    if (c->page_locked)
        (void)cudaFreeHost(c); /* says what failed before */
    else
        free(c);
}

const void *dn_gpu_given(dn_stream *s, const void *host, size_t bytes)
{
    return host ? memcpy(dn_gpu_keep(s, bytes), host, bytes) : NULL;
}

const void *dn_gpu_table(dn_stream *s, void *room, const void *host, size_t bytes)
{
    dn_gpu_copy(s, room, dn_gpu_given(s, host, bytes), bytes);
    return room;
}

/* ---- results ---- */

static void push_delivery(dn_stream *s, void (*deliver)(const void *results, const void *context),
                          const void *results, const void *context)
{
    queue *q = s->queue;
    delivery *d = dn_gpu_keep(s, sizeof *d);
    *d = (delivery){.deliver = deliver, .results = results, .context = context};
    *(q->last ? &q->last->next : &q->first) = d;
    q->last = d;
}

void *dn_gpu_delivered(dn_stream *s, size_t bytes, void (*deliver)(const void *results, const void *context),
                       const void *context, size_t context_bytes)
{
    void *results = dn_gpu_keep(s, bytes);
    push_delivery(s, deliver, results, dn_gpu_given(s, context, context_bytes));
    return results;
}

typedef struct target {
    void *host;
    size_t bytes;
} target;

static void deliver_bytes(const void *results, const void *context)
{
    const target *to = context;
    memcpy(to->host, results, to->bytes);
}

static void deliver_sum(const void *results, const void *context)
{
    const target *to = context;
    *(double *)to->host += *(const double *)results;
}

void *dn_gpu_result(dn_stream *s, void *host, size_t bytes)
{
    target to = {host, bytes};
    return dn_gpu_delivered(s, bytes, deliver_bytes, &to, sizeof to);
}

double *dn_gpu_sum(dn_stream *s, double *host)
{
    target to = {host, sizeof *host};
    return dn_gpu_delivered(s, sizeof *host, deliver_sum, &to, sizeof to);
}

void dn_gpu_refuse(dn_stream *s, const char *kernel, const char *why)
{
    fail(s->queue, DN_ERR_SYSTEM, "a call", kernel, why);
}

void **dn_gpu_kept_with(dn_stream *s, void (*destroy)(void *kept))
{
    queue *q = s->queue;
    q->destroy = destroy;
    return &q->kept;
}

/* ---- waiting ---- */

/* Of a query. That it is not ready counts as an error, which the next launch would take for its own. */
static bool is_pending(cudaError_t answer)
{
    if (answer == cudaErrorNotReady)
        (void)cudaGetLastError();
    return answer == cudaErrorNotReady;
}

/* Whether the GPU has come to another mark. */
static bool move_marks(queue *q)
{
    uint64_t before = q->n_reached;
    cudaError_t answer = cudaSuccess;
    while (q->n_reached < q->n_marked &&
           (answer = cudaEventQuery(q->marks[q->n_reached % MARKS])) == cudaSuccess)
        q->n_reached++;
    (void)is_pending(answer);
    return q->n_reached > before;
}

static dn_awaited look_at_queue(void *context)
{
    queue *q = context;
    if (!is_pending(cudaStreamQuery(q->stream)))
        return DN_AWAITED_DONE;
    return move_marks(q) ? DN_AWAITED_MOVES : DN_AWAITED_NOT_YET;
}

/* The oldest mark that was not reached. */
static dn_awaited look_at_mark(void *context)
{
    queue *q = context;
    return is_pending(cudaEventQuery(q->marks[q->n_reached % MARKS])) ? DN_AWAITED_NOT_YET : DN_AWAITED_DONE;
}

/* Never in CUDA, which would wait for ever for a kernel that hangs. A short wait is worth a look at once, for
 * a tenth of a millisecond; then the library's, with the run's deadline and the word that ends it. False if
 * it was given up. */
static bool wait_for(queue *q, dn_awaited (*look)(void *context))
{
    struct timespec begin, now;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        if (look(q) == DN_AWAITED_DONE)
            return true;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000000000L + now.tv_nsec - begin.tv_nsec < 100000);
    dn_status status = dn_gpu_library.wait(look, q);
    if (status == DN_OK)
        return true;
    give_up();
    if (q->status == DN_OK)
        q->status = status;
    return false;
}

/* For a stream that failed, too: what was queued before that still reads and writes memory, which is given
 * back next. */
static void wait_for_all(queue *q)
{
    if ((lost && q->status != DN_OK) || !wait_for(q, look_at_queue))
        return;
    check(q, cudaStreamQuery(q->stream), "its queue");
    if (q->status == DN_OK) {
        q->n_passed = q->n_events;
        q->n_reached = q->n_marked;
    }
}

/* ---- launches ---- */

cudaStream_t dn_gpu_stream(const dn_stream *s)
{
    return ((queue *)s->queue)->stream;
}

bool dn_gpu_begin(dn_stream *s, const char *kernel)
{
    queue *q = s->queue;
    if (q->status != DN_OK)
        return false;
    if (q->n_named > 0 && q->n_named % STRIDE == 0) {
        if (q->n_marked - q->n_reached == MARKS) {
            if (wait_for(q, look_at_mark))
                check(q, cudaEventQuery(q->marks[q->n_reached % MARKS]), "its queue");
            (void)move_marks(q);
        }
        if (q->status == DN_OK)
            check(q, cudaEventRecord(q->marks[q->n_marked++ % MARKS], q->stream), "a mark");
    }
    q->names[q->n_named++ % NAMES] = kernel;
    return q->status == DN_OK;
}

/* What was just launched. */
static void end(queue *q, cudaError_t error, const char *what)
{
    check(q, error, what);
    if (dn_gpu_library.debug && q->status == DN_OK && wait_for(q, look_at_queue))
        check(q, cudaStreamQuery(q->stream), q->names[(q->n_named - 1) % NAMES]);
}

void dn_gpu_end(dn_stream *s)
{
    end(s->queue, cudaGetLastError(), "a launch");
}

dn_status dn_gpu_sync(dn_stream *stream)
{
    queue *q = stream->queue;
    wait_for_all(q);
    for (delivery *d = q->first; d && q->status == DN_OK; d = d->next)
        d->deliver(d->results, d->context);
    q->first = q->last = NULL;
    while (q->chunks && q->chunks->next &&
           q->status == DN_OK) { /* the last one stays; of a stream that failed, all */
        chunk *c = q->chunks;
        q->chunks = c->next;
        free_chunk(c);
    }
    if (q->chunks && q->status == DN_OK)
        q->chunks->used = 0;
    return q->status == DN_OK ? DN_OK : report(q);
}

void dn_gpu_drain(dn_stream *stream)
{
    wait_for_all(stream->queue);
}

/* Nothing is freed that a kernel may still use: the queue is empty before, whether the results are delivered
 * or not. */
void *dn_gpu_scratch(dn_stream *s, size_t bytes)
{
    queue *q = s->queue;
    if (bytes > q->scratch_bytes && q->status == DN_OK)
        wait_for_all(q);
    if (bytes <= q->scratch_bytes || q->status != DN_OK)
        return q->status == DN_OK ? q->scratch : NULL;
    (void)cudaFree(q->scratch);
    q->scratch = NULL;
    q->scratch_bytes = 0;
    check(q, cudaMalloc(&q->scratch, bytes), "scratch of kernels");
    if (q->status == DN_OK)
        q->scratch_bytes = bytes;
    else
        q->scratch = NULL;
    return q->scratch;
}

/* ---- the row ---- */

dn_status dn_gpu_open(dn_stream *stream)
{
    queue *q = calloc(1, sizeof *q);
    if (!q)
        return dn_gpu_fail(DN_ERR_MEMORY, "no memory for a stream");
    cudaError_t error = dn_gpu_take_hold();
    if (error == cudaSuccess)
        error = cudaStreamCreateWithFlags(&q->stream, cudaStreamNonBlocking);
    for (int i = 0; i < EVENTS + MARKS && error == cudaSuccess; i++)
        error = cudaEventCreateWithFlags(i < EVENTS ? &q->events[i] : &q->marks[i - EVENTS],
                                         cudaEventDisableTiming);
    stream->queue = q;
    if (error == cudaSuccess)
        return DN_OK;
    dn_gpu_close(stream);
    return dn_gpu_failed(error, "a stream on the GPU");
}

void dn_gpu_close(dn_stream *stream)
{
    queue *q = stream->queue;
    if (q->stream)
        wait_for_all(q);
    if (lost)
        return;
    for (int i = 0; i < EVENTS; i++)
        if (q->events[i])
            (void)cudaEventDestroy(q->events[i]);
    for (int i = 0; i < MARKS; i++)
        if (q->marks[i])
            (void)cudaEventDestroy(q->marks[i]);
    if (q->stream)
        (void)cudaStreamDestroy(q->stream);
    for (chunk *c = q->chunks, *next; c; c = next) {
        next = c->next;
        free_chunk(c);
    }
    if (q->kept)
        q->destroy(q->kept);
    (void)cudaFree(q->scratch);
    free(q);
}

typedef struct task {
    dn_stream *stream;
    void (*run)(dn_stream *stream, void *arguments);
    void (*deliver)(void *arguments);
    void *arguments;
} task;

static void run_task(void *context)
{
    const task *t = context;
    t->run(t->stream, t->arguments);
}

static void deliver_task(const void *results, const void *context)
{
    const task *t = results;
    t->deliver(t->arguments);
}

void dn_gpu_call(dn_stream *stream, void (*run)(dn_stream *stream, void *arguments),
                 void (*deliver)(void *arguments), void *arguments)
{
    queue *q = stream->queue;
    task *t = dn_gpu_keep(stream, sizeof *t);
    *t = (task){stream, run, deliver, arguments};
    if (dn_gpu_begin(stream, "of the host"))
        end(q, cudaLaunchHostFunc(q->stream, run_task, t), "a call of the host");
    if (deliver)
        push_delivery(stream, deliver_task, t, NULL);
}

/* ---- memory of the host that is given for the device's: what ranks tell each other ---- */

static enum cudaMemoryType type_of(const void *p)
{
    struct cudaPointerAttributes attributes;
    if (cudaPointerGetAttributes(&attributes, p) != cudaSuccess)
        return cudaMemoryTypeUnregistered;
    return attributes.type;
}

/* In a copy of pageable memory CUDA waits for all that was queued before: so a small one goes through
 * page-locked memory, and before a large one the queue is waited for. */
void dn_gpu_copy(dn_stream *stream, void *to, const void *from, size_t bytes)
{
    queue *q = stream->queue;
    if (bytes == 0 || q->status != DN_OK)
        return;
    bool from_pages = type_of(from) == cudaMemoryTypeUnregistered,
         to_pages = type_of(to) == cudaMemoryTypeUnregistered;
    if ((from_pages || to_pages) && bytes > CHUNK_BYTES / 2) {
        wait_for_all(q);
    } else {
        from = from_pages ? dn_gpu_given(stream, from, bytes) : from;
        to = to_pages ? dn_gpu_result(stream, to, bytes) : to;
    }
    if (dn_gpu_begin(stream, "copying"))
        end(q, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, q->stream), "copying");
}

static void clear_on_host(void *context)
{
    const dn_fold *cleared = context;
    memset(cleared->targets[0], 0, cleared->n);
}

static void fold_on_host(void *context)
{
    dn_gpu_library.fold(context);
}

static void call_host(dn_stream *stream, const char *name, cudaHostFn_t run, const dn_fold *fold)
{
    queue *q = stream->queue;
    dn_fold *kept = dn_gpu_keep(stream, sizeof *kept);
    *kept = *fold;
    if (dn_gpu_begin(stream, name))
        end(q, cudaLaunchHostFunc(q->stream, run, kept), name);
}

void dn_gpu_clear(dn_stream *stream, void *to, size_t bytes)
{
    queue *q = stream->queue;
    const dn_fold cleared = {.targets = {to}, .n = bytes};
    if (bytes == 0)
        return;
    if (type_of(to) == cudaMemoryTypeUnregistered)
        call_host(stream, "clearing", clear_on_host, &cleared);
    else if (dn_gpu_begin(stream, "clearing"))
        end(q, cudaMemsetAsync(to, 0, bytes, q->stream), "clearing");
}

/* On the GPU, if it reads all of the addresses; by the host, if none is the GPU's. */
void dn_gpu_fold(dn_stream *stream, const dn_fold *fold)
{
    bool some_on_device = false, some_hidden = false;
    for (int i = 0; i < fold->n_sources + fold->n_targets; i++) {
        enum cudaMemoryType type =
            type_of(i < fold->n_sources ? fold->sources[i] : fold->targets[i - fold->n_sources]);
        some_on_device = some_on_device || type == cudaMemoryTypeDevice;
        some_hidden = some_hidden || type == cudaMemoryTypeUnregistered;
    }
    if (some_on_device && some_hidden)
        dn_gpu_refuse(stream, "fold",
                      "it is of memory of both sides, and not all of the host's is page-locked");
    else if (some_on_device)
        dn_gpu_fold_kernel(stream, fold);
    else
        call_host(stream, "fold", fold_on_host, fold);
}

dn_event dn_gpu_record(dn_stream *stream)
{
    queue *q = stream->queue;
    uint64_t place = ++q->n_events;
    check(q, cudaEventRecord(q->events[place % EVENTS], q->stream), "an event");
    return (dn_event){.stream = stream, .place = place};
}

void dn_gpu_wait(dn_stream *stream, dn_event event)
{
    queue *q = stream->queue, *other = event.stream->queue;
    if (other->status != DN_OK && q->status == DN_OK) { /* it would compute with what never came */
        q->status = other->status;
        memcpy(q->trouble, other->trouble, sizeof q->trouble);
    }
    if (event.place > other->n_passed)
        check(q, cudaStreamWaitEvent(q->stream, other->events[event.place % EVENTS], 0),
              "waiting for an event");
}

bool dn_gpu_passed(dn_event event)
{
    queue *q = event.stream->queue;
    if (event.place > q->n_passed) {
        cudaError_t answer = cudaEventQuery(q->events[event.place % EVENTS]);
        if (!is_pending(answer) && answer == cudaSuccess)
            q->n_passed = event.place;
    }
    return event.place <= q->n_passed;
}
