/* What clients of a run learn from: rows of its token stream, each its own (data/partition.h). */
#ifndef TRAIN_CLIENT_ROWS_H
#define TRAIN_CLIENT_ROWS_H

#include "train/clients.h"

struct dn_run; /* run.h, which includes this file */

typedef struct dn_client_rows {
    struct dn_run *run;
    dn_partition *partition;
} dn_client_rows;

/** Deals the rows of run->train_tokens, and opens run->instance.clients. Collective. Errors: DN_ERR_DATA: a client without rows; of
 * dn_clients_open. */
dn_status dn_client_rows_open(struct dn_run *run) DN_MUST_USE;
/** Both. */
void dn_client_rows_close(struct dn_run *run);

#endif
