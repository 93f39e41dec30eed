/*
 * The order in which clients were done: a text file of a line for each version, its number, the seconds at which it was made, and the
 * clients that made it, those that were done first first. With it the same run can be had again, whatever the clock says then.
 */
#ifndef TRAIN_TICKETS_LOG_H
#define TRAIN_TICKETS_LOG_H

#include "dionode/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dn_tickets_log {
    char *path;
    int quorum;
    size_t n, room; /* versions */
    double *seconds; /* [n] */
    int *clients;    /* [n, quorum] */
} dn_tickets_log;

/** What the file holds, at most `most` versions; *log is to be closed also after an error. must_be false: without a file there is none.
 * Errors: DN_ERR_IO; DN_ERR_DATA naming file and line; DN_ERR_MEMORY. */
dn_status dn_tickets_log_open(const char *path, int quorum, uint64_t most, bool must_be, dn_tickets_log *log) DN_MUST_USE;
void dn_tickets_log_close(dn_tickets_log *log);

/** The file becomes what was read of it. Errors: DN_ERR_IO. */
dn_status dn_tickets_log_write(const dn_tickets_log *log) DN_MUST_USE;

/** Another version by clients [quorum], here; to_disk: and in the file, durably. Errors: DN_ERR_IO, DN_ERR_MEMORY. */
dn_status dn_tickets_log_add(dn_tickets_log *log, double seconds, const int *clients, bool to_disk) DN_MUST_USE;

#endif
