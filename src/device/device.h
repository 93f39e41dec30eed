/*
 * A device: where tensors lie and who works on them. One a process, chosen before anything is allocated; its
 * row says how memory is taken, how a queue of work is run, and what ranks exchange is copied and folded.
 *
 * Two spaces of memory: the host's, and the device's, which only work on a stream can read or write. On the
 * CPU both are the same.
 *
 * The symmetric heap of a rank has one layout for both spaces: what is taken at offset o of it lies at arena
 * + o in the host's space, and at arena + o + heap_distance in the device's. So a peer's copy is as far away
 * in either.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "device/fold.h"
#include "device/stream.h"

typedef struct dn_device {
    const char *name, *help;
    ptrdiff_t heap_distance; /* bytes; 0: the host's memory is the device's */

    /* Uninitialized memory of the device, 128-byte aligned (2 MiB from 4 MiB on), or NULL. */
    void *(*take)(size_t bytes);
    void (*give_back)(void *memory);

    /* What is private to the device in a stream, made and freed. */
    dn_status (*open)(dn_stream *stream);
    void (*close)(dn_stream *stream);

    /* Work of the host in the queue, for kernels that the device has not: memory for its arguments, until the
     * next sync; run, in its turn; deliver (NULL: nothing to do), at the sync. lend: where the host finds
     * device memory while run is called; NULL for what is not the device's. All NULL where the device is the
     * host. */
    void *(*keep)(dn_stream *stream, size_t bytes);
    void (*call)(dn_stream *stream, void (*run)(dn_stream *stream, void *arguments),
                 void (*deliver)(void *arguments), void *arguments);
    void *(*lend)(const void *handle);

    /* Queued in order. Addresses are of either space. */
    void (*copy)(dn_stream *stream, void *to, const void *from, size_t bytes);
    void (*clear)(dn_stream *stream, void *to, size_t bytes); /* zero bytes */
    void (*fold)(dn_stream *stream, const dn_fold *fold);

    /* Waits for all that is queued. */
    dn_status (*sync)(dn_stream *stream);

    /* As dn_event_record and so on. */
    dn_event (*record)(dn_stream *stream);
    void (*wait)(dn_stream *stream, dn_event event);
    bool (*passed)(dn_event event);
} dn_device;

/** All devices, the default first, ended by NULL. */
const dn_device *const *dn_device_all(void);

/** Chooses the device of this process by name, before there are streams, communicators and memory. Errors:
 * DN_ERR_ARG, naming the devices there are. */
dn_status dn_device_select(const char *name) DN_MUST_USE;

/** The device of this process: the CPU unless another was chosen. */
const dn_device *dn_device_selected(void);

/** Where the host's heap has the offset that an address of the device's heap has: memory of the same allocation, for what
 * the host and its peers read. NULL stays NULL. */
static inline void *dn_heap_on_host(const void *device)
{
    return device ? (char *)(uintptr_t)device - dn_device_selected()->heap_distance : NULL;
}

/** Whether the device has memory of its own, which the host does not read. */
static inline bool dn_device_is_apart(void)
{
    return dn_device_selected()->heap_distance != 0;
}

/** A stream on a device that need not be the process's. */
dn_status dn_stream_open_on(const dn_device *device, dn_stream **out) DN_MUST_USE;

extern const dn_device dn_device_cpu, dn_device_fake; /* all: dn_device_all */

/** Host memory, aligned as a device's: for scratch, and for devices whose memory is the host's. NULL if there
 * is none. Freed with free(). */
void *dn_memory_take(size_t bytes);

#endif
