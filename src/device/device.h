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

/** Host memory, aligned as a device's: for scratch, and for devices whose memory is the host's. NULL if there
 * is none. Freed with free(). */
void *dn_memory_take(size_t bytes);

#endif
