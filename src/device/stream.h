/*
 * Streams: queues of work on a device, the copies and kernels that go through them, and the handles of what
 * they work on.
 *
 * Memory is by handle: dn_buf and dn_ids are incomplete types, so the compiler refuses to dereference or
 * index them; dn_at() moves along. Work is queued on a stream, done in order, and may still be under way
 * when the call returns; dn_stream_sync() waits. Results in host memory (of copies, of kernels) are valid
 * after it. On the CPU work is done when its call returns and sync is free; on a device the same callers work
 * unchanged.
 *
 * Streams run beside each other. What one does after another says an event: a place in a stream's queue.
 */
#ifndef DEVICE_STREAM_H
#define DEVICE_STREAM_H

#include "dionode/real.h"
#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dn_buf dn_buf;   /* elements of dn_real in a device's memory */
typedef struct dn_ids dn_ids;   /* elements of int32_t (tokens) in a device's memory */
typedef struct dn_bf16 dn_bf16; /* elements of bfloat16 (stored states) in a device's memory, 2 bytes each */
typedef struct dn_wide dn_wide; /* elements of double in a device's memory */

struct dn_device;
struct dn_kernels;

/** An ordered queue of work. Used by the thread that created it (OpenMP's and OpenBLAS's thread counts are
 * that thread's). Streams used at the same time have the same n_threads: OpenBLAS resizes tables shared by
 * all threads when the count changes. */
typedef struct dn_stream {
    const struct dn_device *device;
    const struct dn_kernels
        *kernels;           /* the column of the table this stream runs; NULL: copies and folds only */
    void *queue;            /* the device's own */
    struct dn_stream *host; /* runs the kernels that the device has not; NULL where the device is the host */
    int n_threads;          /* CPU: OpenMP and BLAS threads of each kernel */
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

/** Waits for the queue, frees the stream and sets *stream to NULL. NULL is a no-op. */
void dn_stream_destroy(dn_stream **stream);

/** progress (NULL = none) is called after each piece of the long loops of this header and of compute/draw.h
 * (zeroing memory, drawing numbers), which would look like a hang on a large model. It returns whether the rest is
 * still wanted: where it is not, the loop ends, with DN_OK, and what it has not come to is undefined. context is
 * borrowed. */
void dn_stream_on_progress(dn_stream *stream, bool (*progress)(void *context), void *context);
/** A piece of a long loop is done: what the progress function returns; true without one. */
bool dn_stream_progress(const dn_stream *stream);
/** Bytes of a piece. */
#define DN_STREAM_CHUNK ((size_t)64 << 20)

/** Waits for everything queued; returns the first failure of a kernel since creation. */
dn_status dn_stream_sync(dn_stream *stream) DN_MUST_USE;

/* ---- order between streams ---- */

/* What was queued on a stream up to a moment. {0}: nothing. */
typedef struct dn_event {
    dn_stream *stream;
    uint64_t place;
} dn_event;

/** All that is queued on the stream by now. */
dn_event dn_event_record(dn_stream *stream) DN_MUST_USE;
/** What is queued on the stream from now on begins after the event. Waits for nothing itself. */
void dn_stream_wait(dn_stream *stream, dn_event event);
/** Whether the event has passed. */
bool dn_event_done(dn_event event);

/* ---- memory ---- */

/** `bytes` zeroed bytes of device memory, 128-byte aligned (2 MiB, huge pages advised, from 4 MiB on). Owned
 * by the caller: dn_device_free. Returns after sync. Errors: DN_ERR_MEMORY naming the size and what is
 * available; no page is touched then. */
dn_status dn_device_alloc(dn_stream *stream, size_t bytes, void **out) DN_MUST_USE;
/** Waits for the stream first; no other may still use it. */
void dn_device_free(dn_stream *stream, void *memory, size_t bytes);

/** Host to device and back, queued in order; host memory must stay until sync. n counts elements. */
void dn_upload(dn_stream *stream, dn_buf *to, const dn_real *from, size_t n);
void dn_download(dn_stream *stream, dn_real *to, const dn_buf *from, size_t n);
void dn_upload_ids(dn_stream *stream, dn_ids *to, const int32_t *from, size_t n);

/** Between any two places, of the host or of the device, that do not overlap. */
void dn_copy_bytes(dn_stream *stream, void *to, const void *from, size_t bytes);

/** The handle `elements` further on. */
static inline dn_buf *dn_at(const dn_buf *x, size_t elements)
{
    return (dn_buf *)((char *)x + elements * sizeof(dn_real));
}

static inline dn_ids *dn_ids_at(const dn_ids *x, size_t elements)
{
    return (dn_ids *)((char *)x + elements * sizeof(int32_t));
}

static inline dn_bf16 *dn_bf16_at(const dn_bf16 *x, size_t elements)
{
    return (dn_bf16 *)((char *)x + elements * sizeof(uint16_t));
}

#endif
