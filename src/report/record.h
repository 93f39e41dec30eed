/* Reading metrics.jsonl: the measurements of a run, by step. */
#ifndef REPORT_RECORD_H
#define REPORT_RECORD_H

#include "dionode/status.h"
#include "dionode/tensor.h"
#include "report/gaps.h"

#include <stddef.h>
#include <stdint.h>

enum { DN_RECORD_AXES = DN_N_AXES }; /* by dn_axis */

/* Columns of metrics.jsonl, and names on pages, "dp: replicas". */
extern const char *const dn_record_bytes[DN_RECORD_AXES], *const dn_record_axes[DN_RECORD_AXES];

/* One line; missing values are NaN. */
typedef struct dn_record_step {
    uint64_t step;
    double loss, val_loss; /* nats a token */
    double step_s, optimizer_s, tokens_per_s;
    double bytes[DN_RECORD_AXES]; /* payload of one worker over each axis */
    double state_bytes;           /* the optimizer's, all workers together */
    double memory_bytes;          /* that they reserve, with it */
    double cluster_bytes, hops;   /* over dp, as dn_comm_stats counts them */
    double link_s;                /* slept on an emulated link, */
    double wait_s;                /* and awaited what moves over dp, beside that */
    double delay;                 /* steps during which the exchange over dp may go on */
    double client_bytes_down, client_bytes_up; /* of weights to clients, and of what they sent, all together */
    double virtual_s;             /* of clients' time since the first step, at the end of this one */
    double overlap_s, overlap_bytes; /* before the step: how long it had been under way, and cluster_bytes that began by then */
} dn_record_step;

typedef struct dn_record {
    size_t n;
    dn_record_step *steps; /* owned */
    dn_gaps gaps;          /* up to the last */
} dn_record;

/** Reads the steps of path, from 1 on, ignoring a torn last line; a missing file has no steps. On failure
 * *out is empty. Errors: DN_ERR_IO; DN_ERR_DATA naming the line that is not an object with a step. */
dn_status dn_record_read(const char *path, dn_record *out) DN_MUST_USE;
void dn_record_free(dn_record *record);

/** The validation loss of a step; NaN if the record has none. Steps are sought by their number: where lines are
 * missing, those of two runs lie at different places. */
double dn_record_val_loss(const dn_record *record, uint64_t step);

#endif
