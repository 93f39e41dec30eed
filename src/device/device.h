/*
 * A device: the memory of tensors, and what computes on them. One per process, selected before anything is
 * allocated; its row says how to allocate memory, run streams, and copy and fold what ranks exchange.
 *
 * There are two memory spaces: host memory, and device memory, which only work queued on a stream can access.
 * On the CPU they are the same.
 *
 * The symmetric heap of a rank has the same layout in both spaces: offset o is at arena + o in host memory,
 * and at arena + o + heap_distance in device memory. So the distance to a peer's copy is the same in both.
 */
#ifndef DEVICE_DEVICE_H
#define DEVICE_DEVICE_H

#include "device/fold.h"
#include "device/stream.h"

#include <stdio.h>

/* Of the text of an objection, with its end. */
#define DN_OBJECTION_BYTES 96

/* The symmetric heap as a device takes part in it: arenas of `bytes` each, of n ranks, at `first` in host memory. */
typedef struct dn_device_heap {
    char *first;
    size_t bytes;  /* whole 2 MiB */
    void *shared; /* the host's memory that all ranks share, which folds mix with the device's; NULL: none */
    size_t shared_bytes;
    int rank, n;
    const int *pids; /* [n] processes of the ranks */
    /* A barrier of all ranks. objection: what this rank has against going on, or ""; then that of the first rank that has one. */
    dn_status (*agree)(void *context, char objection[DN_OBJECTION_BYTES]);
    void *context;
    size_t needed; /* bytes of device memory that this rank will take in all, as planned; 0: unknown */
} dn_device_heap;

typedef struct dn_device {
    const char *name, *help;
    void (*print)(FILE *out); /* a line for each device that workers could run on; NULL: there is nothing to say */
    /* Not NULL: all but the name and the help is in this module, which is opened when the device is selected
     * (device/module.h). */
    const char *module;
    bool narrows; /* in float, layers of mixed precision keep activations in bfloat16 on it: its mixed_kernels are narrow */
    ptrdiff_t heap_distance; /* bytes; 0: the host's memory is the device's */

    /* Its own kernels, those of mixed precision, and bytes of such a table; NULL: neither. An entry that is NULL is computed by the
     * host. */
    const struct dn_kernels *kernels, *mixed_kernels;
    size_t kernels_bytes;

    /* Makes the device's part of a heap, collectively; NULL: it is there as soon as the host's is. *mapped: whether each rank's device
     * reaches the arenas of all, or its own alone; the same on all ranks. Errors: DN_ERR_MEMORY, DN_ERR_SYSTEM. Unmapping waits for
     * nobody: all have stopped reading it. */
    dn_status (*map_heap)(const dn_device_heap *heap, bool *mapped);
    void (*unmap_heap)(const char *first);

    /* Uninitialized memory of the device, 128-byte aligned (2 MiB from 4 MiB on), or NULL. */
    void *(*take)(size_t bytes);
    /* Bytes that take may give. NULL: it takes the host's. */
    uint64_t (*room)(void);
    void (*give_back)(void *memory);

    /* Create and destroy the device's private part of a stream. */
    dn_status (*open)(dn_stream *stream);
    void (*close)(dn_stream *stream);

    /* Host work in the queue, for kernels that the device lacks. keep: memory for its arguments, valid until
     * the next sync. call: queues run; deliver (may be NULL) is called at the sync. lend: the host address of
     * device memory, valid while run executes; NULL for other memory. All NULL if the device is the host. */
    void *(*keep)(dn_stream *stream, size_t bytes);
    void (*call)(dn_stream *stream, void (*run)(dn_stream *stream, void *arguments),
                 void (*deliver)(void *arguments), void *arguments);
    void *(*lend)(const void *handle);

    /* Queued in order. Addresses may be in either space. */
    void (*copy)(dn_stream *stream, void *to, const void *from, size_t bytes);
    void (*clear)(dn_stream *stream, void *to, size_t bytes); /* zero bytes */
    void (*fold)(dn_stream *stream, const dn_fold *fold);

    /* Waits for all queued work, also of a stream that failed, and delivers results to the host. */
    dn_status (*sync)(dn_stream *stream);
    /* The same without delivering: where an error ends it all, what the results are for may be gone. */
    void (*drain)(dn_stream *stream);

    /* As dn_event_record and so on. */
    dn_event (*record)(dn_stream *stream);
    void (*wait)(dn_stream *stream, dn_event event);
    bool (*passed)(dn_event event);
} dn_device;

/** All devices, the default first; NULL-terminated. */
const dn_device *const *dn_device_all(void);

/** Selects the device of this process by name, before streams, communicators or device memory exist. debug: a device that runs
 * behind the host waits for each kernel, so that an error names the one that made it. Errors: DN_ERR_ARG, naming the available
 * devices; DN_ERR_SYSTEM: its module is missing, or has nothing to run on. */
dn_status dn_device_select(const char *name, bool debug) DN_MUST_USE;

/** A line for each device in a module that workers could run on; nothing of modules that are missing or have nothing to run on.
 * Takes hold of a device of each, without selecting it. */
void dn_device_print_all(FILE *out);

/** The device of this process; by default the CPU. */
const dn_device *dn_device_selected(void);

/** What this rank will take of the device's memory in all, as planned: the next heap is not made, and the error says so, where the
 * device has less. 0 (at first): unknown. */
void dn_device_expect(size_t bytes);
size_t dn_device_expected(void);

/* ---- waiting for what is queued ---- */

struct dn_world;

/** From now on this thread waits for its device as this rank of the world does: no longer than its deadline, and only until it has
 * failed. NULL (at first): alone. */
void dn_device_attach(struct dn_world *world, int rank);

typedef enum dn_awaited {
    DN_AWAITED_NOT_YET,
    DN_AWAITED_MOVES, /* not yet, but some of it is done since the last look */
    DN_AWAITED_DONE,  /* or failed, which the caller knows */
} dn_awaited;

/** Looks until it is done, napping in between. Errors: DN_ERR_PEER once the world has failed, with its message; DN_ERR_TIMEOUT,
 * without a message, if nothing moves for most of the world's deadline, or ten minutes alone. Time in which this process did not
 * run does not count. */
dn_status dn_device_wait(dn_awaited (*look)(void *context), void *context) DN_MUST_USE;

/** The host address at the same heap offset as an address in the device's heap: the same allocation, in host
 * memory, for what the host and its peers read. NULL stays NULL. */
static inline void *dn_heap_on_host(const void *device)
{
    return device ? (char *)(uintptr_t)device - dn_device_selected()->heap_distance : NULL;
}

/** Whether the device has its own memory, which the host cannot access. */
static inline bool dn_device_is_apart(void)
{
    return dn_device_selected()->heap_distance != 0;
}

/** A stream on a device that need not be the process's. */
dn_status dn_stream_open_on(const dn_device *device, dn_stream **out) DN_MUST_USE;

extern const dn_device dn_device_cpu, dn_device_fake, dn_device_cuda; /* all: dn_device_all */

/** Host memory, aligned as device memory: for scratch, and for devices that use host memory. NULL if out of
 * memory. Freed with free(). */
void *dn_memory_take(size_t bytes);

#endif
