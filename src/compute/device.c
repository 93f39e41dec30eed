/* Streams and memory of the host CPU. */
#include "compute/device.h"

#include "base/fail.h"
#include "base/size.h"
#include "compute/cpu/cpu.h"
#include "shm/room.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL_ALIGN 128
#define HUGE_PAGE   ((size_t)2 << 20)
#define HUGE_FROM   ((size_t)4 << 20)

static size_t round_up(size_t bytes, size_t multiple)
{
    return dn_size_add(bytes, multiple - 1) / multiple * multiple;
}

/* Uninitialized memory, or NULL. Huge pages are advice: where the kernel has none, small ones serve. */
static void *take_memory(size_t bytes)
{
    size_t align = bytes < HUGE_FROM ? SMALL_ALIGN : HUGE_PAGE;
    size_t rounded = round_up(bytes ? bytes : 1, align);
    if (rounded < bytes)
        return NULL;
    void *memory = aligned_alloc(align, rounded);
    if (memory && align == HUGE_PAGE)
        (void)madvise(memory, rounded, MADV_HUGEPAGE);
    return memory;
}

static const dn_kernels *find_kernels(const char *name)
{
    const dn_kernels *const *list = dn_kernels_available();
    if (strcmp(name, "cpu") == 0)
        return list[0];
    for (; *list; list++)
        if (strcmp(name, (*list)->name) == 0)
            return *list;
    return NULL;
}

dn_status dn_stream_create(const char *kernels, int n_threads, dn_stream **out)
{
    const dn_kernels *column = find_kernels(kernels);
    if (!column)
        return dn_fail(DN_ERR_ARG, "no kernels named \"%s\" on this processor: take \"cpu\" or \"ref\"",
                       kernels);
    if (n_threads < 1)
        return dn_fail(DN_ERR_ARG, "a stream needs at least one thread, not %d", n_threads);
    dn_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return dn_fail(DN_ERR_MEMORY, "no memory for a stream");
    stream->kernels = column;
    stream->n_threads = n_threads;
    dn_cpu_set_threads(n_threads);
    *out = stream;
    return DN_OK;
}

void dn_stream_destroy(dn_stream **stream)
{
    if (!*stream)
        return;
    free((*stream)->rotary);
    free((*stream)->scratch);
    free(*stream);
    *stream = NULL;
}

void dn_stream_on_progress(dn_stream *stream, void (*progress)(void *context), void *context)
{
    stream->progress = progress;
    stream->progress_context = context;
}

void dn_stream_progress(const dn_stream *stream)
{
    if (stream->progress)
        stream->progress(stream->progress_context);
}

dn_status dn_stream_sync(dn_stream *stream)
{
    if (stream->status != DN_OK)
        return dn_fail(stream->status,
                       "a kernel found no memory for scratch: make the batch or the model smaller");
    return DN_OK;
}

void *dn_scratch(dn_stream *s, size_t bytes)
{
    if (bytes <= s->scratch_bytes)
        return s->scratch;
    free(s->scratch);
    s->scratch = take_memory(bytes);
    s->scratch_bytes = s->scratch ? bytes : 0;
    if (!s->scratch)
        s->status = DN_ERR_MEMORY;
    return s->scratch;
}

dn_status dn_device_alloc(dn_stream *stream, size_t bytes, void **out)
{
    /* Asked first: memory that is promised and not there would end the process when it is touched. */
    uint64_t room = dn_room_memory("");
    void *memory = bytes <= room ? take_memory(bytes) : NULL;
    if (!memory)
        return dn_fail(DN_ERR_MEMORY,
                       "tensors of %.1f GB, and %.1f GB of memory are available%s: make the batch or the "
                       "model smaller",
                       (double)bytes * 1e-9, (double)room * 1e-9,
                       bytes <= room ? ", of which this process may not have so much (ulimit -v)" : "");
    for (size_t at = 0; at < bytes; at += DN_STREAM_PIECE) {
        memset((char *)memory + at, 0, bytes - at < DN_STREAM_PIECE ? bytes - at : DN_STREAM_PIECE);
        dn_stream_progress(stream);
    }
    *out = memory;
    return DN_OK;
}

dn_status dn_stream_zero(dn_stream *stream, dn_buf *x, size_t n)
{
    const size_t piece = DN_STREAM_PIECE / sizeof(dn_real);
    for (size_t at = 0; at < n; at += piece) {
        stream->kernels->fill(stream, dn_at(x, at), n - at < piece ? n - at : piece, 0);
        DN_TRY(dn_stream_sync(stream)); /* queued is not done */
        dn_stream_progress(stream);
    }
    return DN_OK;
}

void dn_device_free(dn_stream *stream, void *memory, size_t bytes)
{
    free(memory);
}

void dn_upload(dn_stream *stream, dn_buf *to, const dn_real *from, size_t n)
{
    if (n)
        memcpy(dn_host(to), from, n * sizeof(dn_real));
}

void dn_download(dn_stream *stream, dn_real *to, const dn_buf *from, size_t n)
{
    if (n)
        memcpy(to, dn_host(from), n * sizeof(dn_real));
}

void dn_upload_ids(dn_stream *stream, dn_ids *to, const int32_t *from, size_t n)
{
    if (n)
        memcpy(dn_host_ids(to), from, n * sizeof(int32_t));
}
