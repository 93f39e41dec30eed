/* Streams: what is the same on every device. */
#include "device/stream.h"

#include "base/fail.h"
#include "base/human.h"
#include "device/device.h"
#include "shm/limits.h"

#include <stdlib.h>

dn_status dn_stream_open(dn_stream **out)
{
    return dn_stream_open_on(dn_device_selected(), out);
}

dn_status dn_stream_open_on(const dn_device *device, dn_stream **out)
{
    dn_stream *stream = calloc(1, sizeof *stream);
    if (!stream)
        return dn_fail(DN_ERR_MEMORY, "no memory for a stream");
    stream->device = device;
    dn_status status = stream->device->open(stream);
    if (status != DN_OK)
        free(stream);
    else
        *out = stream;
    return status;
}

void dn_stream_destroy(dn_stream **stream)
{
    if (!*stream)
        return;
    (*stream)->device->close(*stream);
    dn_stream_destroy(&(*stream)->host);
    free((*stream)->scratch);
    free(*stream);
    *stream = NULL;
}

void dn_stream_on_progress(dn_stream *stream, bool (*progress)(void *context), void *context)
{
    stream->progress = progress;
    stream->progress_context = context;
}

bool dn_stream_progress(const dn_stream *stream)
{
    return !stream->progress || stream->progress(stream->progress_context);
}

dn_status dn_stream_sync(dn_stream *stream)
{
    DN_TRY(stream->device->sync(stream));
    if (stream->misused)
        return dn_fail(DN_ERR_SYSTEM, "the kernel %s was given an address that is not the device's",
                       stream->misused);
    if (stream->status != DN_OK || (stream->host && stream->host->status != DN_OK))
        return dn_fail(DN_ERR_MEMORY,
                       "a kernel found no memory for scratch: make the batch or the model smaller");
    return DN_OK;
}

/* ---- order between streams ---- */

dn_event dn_event_record(dn_stream *stream)
{
    return stream->device->record(stream);
}

void dn_stream_wait(dn_stream *stream, dn_event event)
{
    if (event.stream)
        stream->device->wait(stream, event);
}

bool dn_event_done(dn_event event)
{
    return !event.stream || event.stream->device->passed(event);
}

/* ---- memory ---- */

dn_status dn_device_alloc(dn_stream *stream, size_t bytes, void **out)
{
    /* Asked first: memory that is promised and not there would end the process when it is touched. Asking reads a dozen
     * files, which takes as long as clearing a megabyte: for less it is not done. */
    const size_t worth_asking = (size_t)1 << 20;
    void *memory = NULL;
    uint64_t (*const ask)(void) = stream->device->room;
    if (bytes < worth_asking || ask || bytes <= dn_limits_memory(""))
        memory = stream->device->take(bytes);
    if (!memory) {
        uint64_t room = ask ? ask() : dn_limits_memory("");
        char need[24], have[24];
        return dn_fail(DN_ERR_MEMORY,
                       "tensors of %s, and %s of memory are available%s: make the batch or the model smaller",
                       dn_human_size((double)bytes, need, sizeof need),
                       dn_human_size((double)room, have, sizeof have),
                       bytes > room ? "" : ask ? ", in pieces" : ", of which this process may not have so much (ulimit -v)");
    }
    dn_status status = DN_OK;
    for (size_t at = 0; at < bytes && status == DN_OK; at += DN_STREAM_CHUNK) {
        size_t piece = bytes - at < DN_STREAM_CHUNK ? bytes - at : DN_STREAM_CHUNK;
        stream->device->clear(stream, (char *)memory + at, piece);
        status = stream->device->sync(stream);
        if (!dn_stream_progress(stream))
            break;
    }
    *out = memory;
    return status;
}

void dn_device_free(dn_stream *stream, void *memory, size_t bytes)
{
    stream->device->drain(stream);
    stream->device->give_back(memory);
}

void dn_upload(dn_stream *stream, dn_buf *to, const dn_real *from, size_t n)
{
    dn_copy_bytes(stream, to, from, n * sizeof(dn_real));
}

void dn_download(dn_stream *stream, dn_real *to, const dn_buf *from, size_t n)
{
    dn_copy_bytes(stream, to, from, n * sizeof(dn_real));
}

void dn_upload_ids(dn_stream *stream, dn_ids *to, const int32_t *from, size_t n)
{
    dn_copy_bytes(stream, to, from, n * sizeof(int32_t));
}

void dn_copy_bytes(dn_stream *stream, void *to, const void *from, size_t bytes)
{
    if (bytes > 0)
        stream->device->copy(stream, to, from, bytes);
}
