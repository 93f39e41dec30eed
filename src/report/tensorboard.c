#include "report/tensorboard.h"

#include "base/fail.h"
#include "report/series.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { EVENT_MAX = 16384, HEAD = 12, TAIL = 4, NAME_MAX_BYTES = 100 };

/* Fields of protocol buffers: number << 3 | kind (0: varint, 1: 8 bytes, 2: length and bytes, 5: 4 bytes). */
enum {
    EVENT_WALL_TIME = 1 << 3 | 1,
    EVENT_STEP = 2 << 3 | 0,
    EVENT_FILE_VERSION = 3 << 3 | 2,
    EVENT_SUMMARY = 5 << 3 | 2,
    SUMMARY_VALUE = 1 << 3 | 2,
    VALUE_TAG = 1 << 3 | 2,
    VALUE_SIMPLE = 2 << 3 | 5
};

struct dn_tensorboard {
    int fd;
    char path[PATH_MAX];
    unsigned char record[HEAD + EVENT_MAX + TAIL];
    size_t n; /* bytes of the event, behind the head */
};

/* CRC-32C, turned and moved so that the checksum of what holds checksums is no simple number. */
static uint32_t checksum(const unsigned char *bytes, size_t n)
{
    uint32_t crc = ~UINT32_C(0);
    for (size_t i = 0; i < n; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82f63b78) : 0);
    }
    crc = ~crc;
    return (crc >> 15 | crc << 17) + UINT32_C(0xa282ead8);
}

static void put(dn_tensorboard *t, const void *bytes, size_t n)
{
    memcpy(t->record + HEAD + t->n, bytes, n);
    t->n += n;
}

static void put_varint(dn_tensorboard *t, uint64_t value)
{
    do {
        unsigned char byte = (unsigned char)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
        put(t, &byte, 1);
        value >>= 7;
    } while (value > 0);
}

static void put_bytes(dn_tensorboard *t, int field, const void *bytes, size_t n)
{
    put_varint(t, (uint64_t)field);
    put_varint(t, n);
    put(t, bytes, n);
}

static void begin_event(dn_tensorboard *t)
{
    struct timespec now;
    uint64_t bits;
    clock_gettime(CLOCK_REALTIME, &now);
    double seconds = (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
    memcpy(&bits, &seconds, sizeof bits);
    bits = htole64(bits);
    t->n = 0;
    put_varint(t, EVENT_WALL_TIME);
    put(t, &bits, sizeof bits);
}

static dn_status end_event(dn_tensorboard *t)
{
    uint64_t length = htole64(t->n);
    memcpy(t->record, &length, sizeof length);
    uint32_t of_length = htole32(checksum(t->record, sizeof length)),
             of_event = htole32(checksum(t->record + HEAD, t->n));
    memcpy(t->record + sizeof length, &of_length, sizeof of_length);
    memcpy(t->record + HEAD + t->n, &of_event, sizeof of_event);
    size_t bytes = HEAD + t->n + TAIL;
    for (size_t at = 0; at < bytes;) {
        ssize_t written = write(t->fd, t->record + at, bytes - at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return dn_fail_errno(DN_ERR_IO, written < 0 ? errno : ENOSPC, "cannot write %s", t->path);
        at += (size_t)written;
    }
    return DN_OK;
}

/* Bytes of Value { tag, simple_value } and of the field that holds it: tags are shorter than 128 bytes. */
static size_t value_bytes(const char *key)
{
    return 2 + strlen(key) + 5;
}

static bool is_shown(const dn_metric *value)
{
    return isfinite(value->value) && strlen(value->key) < NAME_MAX_BYTES;
}

dn_status dn_tensorboard_write(dn_tensorboard *t, uint64_t step, const dn_metric *values, size_t n)
{
    size_t summary = 0;
    for (size_t i = 0; i < n; i++)
        if (is_shown(&values[i]))
            summary += 2 + value_bytes(values[i].key);
    if (summary == 0)
        return DN_OK;
    if (summary > EVENT_MAX - 64)
        return dn_fail(DN_ERR_ARG, "%s: %zu values are too many for an event", t->path, n);
    begin_event(t);
    put_varint(t, EVENT_STEP);
    put_varint(t, step);
    put_varint(t, EVENT_SUMMARY);
    put_varint(t, summary);
    for (size_t i = 0; i < n; i++) {
        if (!is_shown(&values[i]))
            continue;
        float number = (float)values[i].value;
        uint32_t bits;
        memcpy(&bits, &number, sizeof bits);
        bits = htole32(bits);
        put_varint(t, SUMMARY_VALUE);
        put_varint(t, value_bytes(values[i].key));
        put_bytes(t, VALUE_TAG, values[i].key, strlen(values[i].key));
        put_varint(t, VALUE_SIMPLE);
        put(t, &bits, sizeof bits);
    }
    return end_event(t);
}

/* The steps that metrics.jsonl has. */
static dn_status write_earlier(dn_tensorboard *t, const char *dir)
{
    char path[PATH_MAX];
    dn_series s;
    snprintf(path, sizeof path, "%s/metrics.jsonl", dir);
    DN_TRY(dn_series_read(path, &s));
    dn_metric *values = calloc(s.n_columns + 1, sizeof *values);
    dn_status status = values ? DN_OK : dn_fail(DN_ERR_MEMORY, "%s: no memory for %zu values", path, s.n_columns);
    for (size_t i = 0; status == DN_OK && i < s.n; i++) {
        for (size_t k = 1; k < s.n_columns; k++) /* behind the step */
            values[k - 1] = (dn_metric){s.names[k], s.columns[k][i]};
        status = dn_tensorboard_write(t, (uint64_t)s.columns[0][i], values, s.n_columns - 1);
    }
    free(values);
    dn_series_free(&s);
    return status;
}

dn_status dn_tensorboard_open(const char *dir, dn_tensorboard **out)
{
    static const char version[] = "brain.Event:2";
    dn_tensorboard *t = calloc(1, sizeof *t);
    if (!t)
        return dn_fail(DN_ERR_MEMORY, "no memory for TensorBoard's file");
    snprintf(t->path, sizeof t->path, "%s/%s", dir, DN_TENSORBOARD_FILE);
    t->fd = open(t->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0666);
    dn_status status = t->fd < 0 ? dn_fail_errno(DN_ERR_IO, errno, "cannot write %s", t->path) : DN_OK;
    if (status == DN_OK) {
        begin_event(t);
        put_bytes(t, EVENT_FILE_VERSION, version, strlen(version));
        status = end_event(t);
    }
    if (status == DN_OK)
        status = write_earlier(t, dir);
    if (status == DN_OK) {
        *out = t;
        return DN_OK;
    }
    if (t->fd >= 0)
        close(t->fd);
    free(t);
    return status;
}

dn_status dn_tensorboard_close(dn_tensorboard **t)
{
    dn_status status = DN_OK;
    if (*t && close((*t)->fd) != 0)
        status = dn_fail_errno(DN_ERR_IO, errno, "cannot write %s", (*t)->path);
    free(*t);
    *t = NULL;
    return status;
}
