/*
 * Streams: ordered queues of copies and kernels on a device, and the handles of device memory.
 *
 * Device memory is addressed by handles: dn_buf and dn_ids are incomplete types, so that the compiler refuses
 * to dereference or index them; dn_at() advances a handle. A dn_buf says of what type its numbers are, too: of
 * dn_real, or if it is narrow of bfloat16. Work on a stream runs in order, and may be pending when the call returns; dn_stream_sync() waits for it. Results in host memory (of copies and kernels) are
 * valid after sync. On the CPU work is complete when the call returns, and sync is free.
 *
 * Streams run concurrently. Events, which mark a position in a stream's queue, order work between them.
 */
#ifndef DEVICE_STREAM_H
#define DEVICE_STREAM_H

#include "dionode/real.h"
#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dn_buf dn_buf;   /* elements of dn_real in a device's memory; of bfloat16 if the handle is narrow */
typedef struct dn_ids dn_ids;   /* elements of int32_t (tokens) in a device's memory */
typedef struct dn_bf16 dn_bf16; /* elements of bfloat16 (stored states) in a device's memory, 2 bytes each */
typedef struct dn_wide dn_wide; /* elements of double in a device's memory */
typedef struct dn_bytes dn_bytes; /* bytes of an encoded message in a device's memory */

struct dn_device;
struct dn_kernels;

/** An ordered queue of work. Used by the thread that created it (OpenMP's and OpenBLAS's thread counts are
 * that thread's). Streams used at the same time have the same n_threads: OpenBLAS resizes tables shared by
 * all threads when the count changes. */
typedef struct dn_stream {
    const struct dn_device *device;
    const struct dn_kernels
        *kernels;           /* the backend that this stream runs; NULL: copies and folds only */
    void *queue;            /* private to the device */
    struct dn_stream *host; /* runs the kernels that the device lacks; NULL if the device is the host */
    int n_threads;          /* CPU: OpenMP and BLAS threads of each kernel */
    int n_cuts;             /* CPU: blocks that a product is cut into for them, which rounds: dn_stream_round_alike */
    void *scratch;          /* grows on first use of a kernel at a size, then stays: see kernels.h */
    size_t scratch_bytes;
    const char *misused; /* the first kernel that was given an address of the host for one of the device; sticky */
    dn_status status; /* first failure of a queued kernel (out of memory for scratch); sticky */
    bool (*progress)(void *context); /* NULL or borrowed: dn_stream_on_progress */
    void *progress_context;
} dn_stream;

/** A stream of this process's device for copies and folds; one with kernels comes from dn_stream_create
 * (compute/kernels.h). Owned by the caller. Errors: DN_ERR_MEMORY. */
dn_status dn_stream_open(dn_stream **out) DN_MUST_USE;

/** Waits for the queue, frees the stream and sets *stream to NULL; results that were not synced are lost. NULL: a no-op. */
void dn_stream_destroy(dn_stream **stream);

/** progress (NULL: none) is called after each chunk in long loops of this header and of compute/draw.h (zeroing
 * memory, drawing random numbers), which would look like a hang on a large model. It returns whether the rest is
 * still wanted: if not, the loop ends with DN_OK, and what it has not reached is undefined. context is borrowed. */
void dn_stream_on_progress(dn_stream *stream, bool (*progress)(void *context), void *context);
/** A chunk of a long loop is done: what the progress function returns, or true without one. */
bool dn_stream_progress(const dn_stream *stream);
/** Bytes of such a chunk. */
#define DN_STREAM_CHUNK ((size_t)64 << 20)

/** Waits for everything queued; returns the first failure of a kernel since creation. */
dn_status dn_stream_sync(dn_stream *stream) DN_MUST_USE;

/* ---- order between streams ---- */

/* A position in a stream's queue. {0}: its start, always passed. */
typedef struct dn_event {
    dn_stream *stream;
    uint64_t place;
} dn_event;

/** The event of all work queued on the stream so far. */
dn_event dn_event_record(dn_stream *stream) DN_MUST_USE;
/** Work queued on the stream from now on starts after the event. Does not block. */
void dn_stream_wait(dn_stream *stream, dn_event event);
/** Whether the event has passed. */
bool dn_event_done(dn_event event);

/* ---- memory ---- */

/** `bytes` zeroed bytes of device memory, 128-byte aligned (2 MiB, huge pages advised, from 4 MiB on). Owned
 * by the caller: dn_device_free. Returns after sync. Errors: DN_ERR_MEMORY naming the size and what is
 * available; no page is touched then. */
dn_status dn_device_alloc(dn_stream *stream, size_t bytes, void **out) DN_MUST_USE;
/** Waits for the stream first, without delivering its results; no other stream may still use the memory. */
void dn_device_free(dn_stream *stream, void *memory, size_t bytes);

/** Host to device and back, queued in order; host memory must stay until sync. n counts elements. */
void dn_upload(dn_stream *stream, dn_buf *to, const dn_real *from, size_t n);
void dn_download(dn_stream *stream, dn_real *to, const dn_buf *from, size_t n);
void dn_upload_ids(dn_stream *stream, dn_ids *to, const int32_t *from, size_t n);

/** Copies within or between host and device memory; the ranges do not overlap. */
void dn_copy_bytes(dn_stream *stream, void *to, const void *from, size_t bytes);

/* ---- handles ---- */

/* What makes a handle narrow: a bit that no address has, so that whoever takes it for one of dn_real faults at once. */
#define DN_NARROW_BIT ((uintptr_t)1 << 62)

/** Whether its numbers are of bfloat16. Kernels take such a handle where ops.h says so, of backends that are narrow
 * (compute/kernels.h). */
static inline bool dn_is_narrow(const dn_buf *x)
{
    return ((uintptr_t)x & DN_NARROW_BIT) != 0;
}

/** Numbers of bfloat16 as a dn_buf, and back; NULL stays NULL. */
static inline dn_buf *dn_narrow(const dn_bf16 *x)
{
    return x ? (dn_buf *)((uintptr_t)x | DN_NARROW_BIT) : NULL;
}

static inline dn_bf16 *dn_narrow_numbers(const dn_buf *x)
{
    return (dn_bf16 *)((uintptr_t)x & ~DN_NARROW_BIT);
}

/** Memory as a handle of numbers of the type that those of `like` have. */
static inline dn_buf *dn_alike(const dn_buf *memory, const dn_buf *like)
{
    return (dn_buf *)((uintptr_t)memory | ((uintptr_t)like & DN_NARROW_BIT));
}

#ifndef DN_REAL_EITHER
/** The handle advanced by `elements` elements. */
static inline dn_buf *dn_at(const dn_buf *x, size_t elements)
{
    return (dn_buf *)((uintptr_t)x + elements * (dn_is_narrow(x) ? sizeof(uint16_t) : sizeof(dn_real)));
}
#endif

static inline dn_ids *dn_ids_at(const dn_ids *x, size_t elements)
{
    return (dn_ids *)((char *)x + elements * sizeof(int32_t));
}

static inline dn_bf16 *dn_bf16_at(const dn_bf16 *x, size_t elements)
{
    return (dn_bf16 *)((char *)x + elements * sizeof(uint16_t));
}

static inline dn_bytes *dn_bytes_at(const dn_bytes *x, size_t bytes)
{
    return (dn_bytes *)((char *)x + bytes);
}

#endif
