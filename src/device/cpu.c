/* The host as its own device: work is done when its call returns. */
#include "device/device.h"

#include "base/size.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SMALL_ALIGN 128
#define HUGE_PAGE   ((size_t)2 << 20)
#define HUGE_FROM   ((size_t)4 << 20)

/* Huge pages are advice: where the kernel has none, small ones serve. */
void *dn_memory_take(size_t bytes)
{
    size_t align = bytes < HUGE_FROM ? SMALL_ALIGN : HUGE_PAGE;
    size_t rounded = dn_size_add(bytes ? bytes : 1, align - 1) / align * align;
    if (rounded < bytes)
        return NULL;
    void *memory = aligned_alloc(align, rounded);
    if (memory && align == HUGE_PAGE)
        (void)madvise(memory, rounded, MADV_HUGEPAGE);
    return memory;
}

static dn_status open_stream(dn_stream *stream)
{
    return DN_OK;
}

static void close_stream(dn_stream *stream)
{
}

static void copy(dn_stream *stream, void *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static void clear(dn_stream *stream, void *to, size_t bytes)
{
    memset(to, 0, bytes);
}

static void fold(dn_stream *stream, const dn_fold *fold)
{
    dn_fold_on_host(fold);
}

static dn_status sync_stream(dn_stream *stream)
{
    return DN_OK;
}

static void drain(dn_stream *stream)
{
}

static dn_event record(dn_stream *stream)
{
    return (dn_event){0};
}

static void wait_for(dn_stream *stream, dn_event event)
{
}

static bool passed(dn_event event)
{
    return true;
}

const dn_device dn_device_cpu = {
    .name = "cpu",
    .help = "the host's cores",
    .take = dn_memory_take,
    .give_back = free,
    .open = open_stream,
    .close = close_stream,
    .copy = copy,
    .clear = clear,
    .fold = fold,
    .sync = sync_stream,
    .drain = drain,
    .record = record,
    .wait = wait_for,
    .passed = passed,
};
