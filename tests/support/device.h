/* Memory that tests look at, whichever device they run on (DIONODE_DEVICE). */
#ifndef SUPPORT_DEVICE_H
#define SUPPORT_DEVICE_H

#include "device/device.h"

#include <stdlib.h>

/* Memory for handle_of, on every device; NULL if there is none. */
static inline void *take_reachable(size_t bytes)
{
    const dn_device *device = dn_device_selected();
    return device->kernels ? device->take(bytes) : malloc(bytes);
}

static inline void give_reachable_back(void *memory)
{
    const dn_device *device = dn_device_selected();
    device->kernels ? device->give_back(memory) : free(memory);
}

/* The handle of host memory that kernels are to work on: on the CPU its address, on the fake device its other
 * name; on CUDA's stand-in, whose memory the host sees, its address. What kernels leave there is to be looked at after a sync. */
static inline void *handle_of(const void *host)
{
    if (dn_device_selected()->kernels)
        return (void *)(uintptr_t)host;
    return (char *)(uintptr_t)host + dn_device_selected()->heap_distance;
}

/* The way back. */
static inline void *behind(const void *handle)
{
    if (dn_device_selected()->kernels)
        return (void *)(uintptr_t)handle;
    return (char *)(uintptr_t)handle - dn_device_selected()->heap_distance;
}

/* The host's address of what is either a handle or memory of the host. */
static inline void *seen(const void *p)
{
    const dn_device *device = dn_device_selected();
    void *lent = device->lend ? device->lend(p) : NULL;
    return lent ? lent : (void *)(uintptr_t)p;
}

/* Whether the tests run on a device with memory of its own. */
static inline bool apart(void)
{
    return dn_device_selected()->heap_distance != 0;
}

#endif
