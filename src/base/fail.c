#include "base/fail.h"

#include "base/printable.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

static dn_log_fn log_fn;
static void *log_context;

static const struct {
    dn_status status;
    const char *name;
} names[] = {
    {DN_OK, "success"},
    {DN_ERR_ARG, "bad argument"},
    {DN_ERR_CONFIG, "bad configuration"},
    {DN_ERR_DATA, "bad data"},
    {DN_ERR_CHECKPOINT, "bad checkpoint"},
    {DN_ERR_IO, "input/output error"},
    {DN_ERR_MEMORY, "out of memory"},
    {DN_ERR_PEER, "worker lost"},
    {DN_ERR_TIMEOUT, "worker not answering"},
    {DN_ERR_NUMERIC, "numerical failure"},
    {DN_ERR_SYSTEM, "system error"},
    {DN_ERR_UNCAUGHT, "planted bug not caught"},
};

const char *dn_status_name(dn_status status)
{
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i].status == status)
            return names[i].name;
    return "unknown status";
}

int dn_status_exit(dn_status status)
{
    return -(int)status;
}

const char *dn_error_message(void)
{
    return message;
}

void dn_log_set(dn_log_fn fn, void *context)
{
    log_fn = fn;
    log_context = context;
}

dn_log_fn dn_log_get(void **context)
{
    *context = log_context;
    return log_fn;
}

dn_status dn_fail(dn_status status, const char *format, ...)
{
    /* Written to a local first: an argument may be the previous message. */
    char line[sizeof message];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    dn_printable(line); /* it may quote anything */
    memcpy(message, line, sizeof message);
    return status;
}

dn_status dn_fail_errno(dn_status status, int error, const char *format, ...)
{
    char line[sizeof message - 128];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return dn_fail(status, "%s: %s", line, strerror(error));
}

void dn_log(dn_log_level level, const char *format, ...)
{
    if (!log_fn)
        return;
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    dn_printable(line);
    log_fn(log_context, level, line);
}
