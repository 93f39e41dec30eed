/* Streams with kernels, and their scratch. */
#include "base/fail.h"
#include "compute/cpu/cpu.h"
#include "device/device.h"

#include <stdlib.h>
#include <string.h>

static const dn_kernels *find_kernels(const char *name)
{
    const dn_kernels *const *list = dn_kernels_available();
    if (strcmp(name, "cpu") == 0)
        return list[0];
    for (; *list; list++)
        if (strcmp(name, (*list)->name) == 0)
            return *list;
    for (list = dn_kernels_mixed(); *list; list++)
        if (strcmp(name, (*list)->name) == 0)
            return *list;
    return NULL;
}

dn_status dn_stream_create(const char *kernels, int n_threads, dn_stream **out)
{
    const dn_kernels *backend = find_kernels(kernels);
    if (!backend)
        return dn_fail(DN_ERR_ARG, "no kernels named \"%s\" on this processor: take \"cpu\" or \"ref\"",
                       kernels);
    if (n_threads < 1)
        return dn_fail(DN_ERR_ARG, "a stream needs at least one thread, not %d", n_threads);
    if (dn_device_selected()->kernels && dn_device_selected()->kernels_bytes != sizeof(dn_kernels))
        return dn_fail(DN_ERR_SYSTEM, "the module of the device %s is of another version of Dionode: rebuild it", dn_device_selected()->name);
    DN_TRY(dn_stream_open(out));
    dn_stream *host = *out;
    bool own = dn_kernels_are_the_devices(backend);
    if (host->device->heap_distance != 0) {
        host->kernels = own ? backend : &dn_kernels_fallback;
        host->n_threads = n_threads;
        dn_status status = dn_stream_open_on(&dn_device_cpu, &host->host);
        if (status != DN_OK) {
            dn_stream_destroy(out);
            return status;
        }
        host = host->host;
    }
    host->kernels = own ? dn_kernels_available()[1] : backend;
    host->n_threads = host->n_cuts = n_threads;
    dn_cpu_set_threads(n_threads);
    return DN_OK;
}

void dn_stream_round_alike(dn_stream *stream)
{
    enum { CUTS = 8 };
    dn_stream *host = stream->host ? stream->host : stream;
    host->n_cuts = CUTS;
    dn_cpu_set_threads(1);
}

void *dn_scratch(dn_stream *s, size_t bytes)
{
    if (bytes <= s->scratch_bytes)
        return s->scratch;
    free(s->scratch);
    s->scratch = dn_memory_take(bytes);
    s->scratch_bytes = s->scratch ? bytes : 0;
    if (!s->scratch)
        s->status = DN_ERR_MEMORY;
    return s->scratch;
}
