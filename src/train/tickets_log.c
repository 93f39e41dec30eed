#include "train/tickets_log.h"

#include "base/fail.h"
#include "base/size.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static dn_status keep(dn_tickets_log *log, double seconds, const int *clients)
{
    size_t quorum = (size_t)log->quorum;
    if (log->n == log->room) {
        size_t room = 2 * log->room + 64;
        double *times = realloc(log->seconds, dn_size_mul(room, sizeof *times));
        log->seconds = times ? times : log->seconds;
        int *who = times ? realloc(log->clients, dn_size_mul(dn_size_mul(room, quorum), sizeof *who)) : NULL;
        if (!who)
            return dn_fail(DN_ERR_MEMORY, "no memory for the order of %zu versions", room);
        log->clients = who;
        log->room = room;
    }
    log->seconds[log->n] = seconds;
    memcpy(log->clients + log->n++ * quorum, clients, quorum * sizeof *clients);
    return DN_OK;
}

/* A line's numbers; clients [quorum]. */
static bool read_line(char *line, int quorum, uint64_t number, double *seconds, int *clients)
{
    char *end;
    if (strtoull(line, &end, 10) != number || *end != ' ')
        return false;
    *seconds = strtod(end, &end);
    for (int i = 0; i < quorum; i++) {
        if (*end != ' ')
            return false;
        clients[i] = (int)strtol(end, &end, 10);
    }
    return *end == '\n';
}

static dn_status read_lines(dn_tickets_log *log, FILE *file, uint64_t most, int *clients)
{
    char *line = NULL;
    size_t size = 0;
    double seconds;
    dn_status status = DN_OK;
    while (status == DN_OK && log->n < most && getline(&line, &size, file) > 0) {
        if (read_line(line, log->quorum, log->n + 1, &seconds, clients))
            status = keep(log, seconds, clients);
        else
            status = dn_fail(DN_ERR_DATA, "%s:%zu: not version %zu, its seconds and %d clients: this is no log of a run with as many", log->path,
                             log->n + 1, log->n + 1, log->quorum);
    }
    free(line);
    return status;
}

dn_status dn_tickets_log_open(const char *path, int quorum, uint64_t most, bool must_be, dn_tickets_log *log)
{
    *log = (dn_tickets_log){.path = strdup(path), .quorum = quorum};
    int *clients = calloc((size_t)quorum, sizeof *clients);
    FILE *file = log->path && clients ? fopen(path, "re") : NULL;
    dn_status status = DN_OK;
    if (!log->path || !clients)
        status = dn_fail(DN_ERR_MEMORY, "no memory for the order of clients");
    else if (file)
        status = read_lines(log, file, most, clients);
    else if (must_be || errno != ENOENT)
        status = dn_fail(DN_ERR_IO, "%s: %s", path, strerror(errno));
    if (file)
        fclose(file);
    free(clients);
    return status;
}

void dn_tickets_log_close(dn_tickets_log *log)
{
    free(log->path);
    free(log->seconds);
    free(log->clients);
    *log = (dn_tickets_log){0};
}

static dn_status failed(const dn_tickets_log *log)
{
    return dn_fail(DN_ERR_IO, "%s: %s", log->path, strerror(errno));
}

static void print(const dn_tickets_log *log, size_t version, FILE *file)
{
    fprintf(file, "%zu %.17g", version + 1, log->seconds[version]);
    for (int i = 0; i < log->quorum; i++)
        fprintf(file, " %d", log->clients[version * (size_t)log->quorum + (size_t)i]);
    putc('\n', file);
}

static dn_status finish(const dn_tickets_log *log, FILE *file)
{
    bool written = fflush(file) == 0 && fdatasync(fileno(file)) == 0;
    dn_status status = written ? DN_OK : failed(log);
    if (fclose(file) != 0 && written)
        status = failed(log);
    return status;
}

dn_status dn_tickets_log_write(const dn_tickets_log *log)
{
    FILE *file = fopen(log->path, "we");
    if (!file)
        return failed(log);
    for (size_t v = 0; v < log->n; v++)
        print(log, v, file);
    return finish(log, file);
}

dn_status dn_tickets_log_add(dn_tickets_log *log, double seconds, const int *clients, bool to_disk)
{
    DN_TRY(keep(log, seconds, clients));
    FILE *file = to_disk ? fopen(log->path, "ae") : NULL;
    if (!to_disk)
        return DN_OK;
    if (!file)
        return failed(log);
    print(log, log->n - 1, file);
    return finish(log, file);
}
