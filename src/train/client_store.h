/*
 * What a server of clients keeps, in symmetric memory, each worker a part of the numbers of all trained parameters: versions of the
 * weights that tickets train, and the strategy's states. Beside that stands what is summed up while a version is made.
 *
 * A version stays while a ticket trains it (tickets.h), and the newest always.
 */
#ifndef TRAIN_CLIENT_STORE_H
#define TRAIN_CLIENT_STORE_H

#include "base/arena.h"
#include "train/instance.h"
#include "train/tickets.h"

typedef struct dn_client_version {
    uint64_t number; /* DN_NO_VERSION: the place is free */
    dn_buf *part;
} dn_client_version;
#define DN_NO_VERSION UINT64_MAX

typedef struct dn_client_store {
    const dn_instance *instance; /* borrowed, as is the list of events */
    const dn_tickets *tickets;
    int rank;
    dn_range own;                /* numbers of this worker's part */
    dn_buf *sum;                 /* of what clients sent; this and all that follow: [part] */
    dn_buf *more[DN_CLIENT_SUMS_MAX];
    dn_client_version *versions; /* [n_versions] */
    size_t n_versions, n_states; /* states of the server, then of clients */
    dn_buf **states;             /* [n_states] */
    dn_tensor *tensors;          /* [n_versions + n_states]: what there is to save */
} dn_client_store;

/** Takes memory for all of it from an arena; store NULL: only measures. */
void dn_client_store_lay(dn_client_store *store, const dn_plan *plan, dn_arena *heap);

/** Tables, before memory is laid out. To be closed also after an error. Errors: DN_ERR_MEMORY. */
dn_status dn_client_store_open(dn_client_store *store, const dn_instance *instance, const dn_tickets *tickets) DN_MUST_USE;
void dn_client_store_close(dn_client_store *store);

/** This worker's part of a version; NULL: it is not kept. */
dn_buf *dn_client_version_part(const dn_client_store *store, uint64_t number);

/** This worker's part of a client's state; NULL: clients have none. */
dn_buf *dn_client_state_of(const dn_client_store *store, int client);

/** to [n] becomes that version, of which each worker has a part. Queued. */
void dn_client_version_load(const dn_client_store *store, uint64_t number, dn_buf *to);

/** part: this worker's of the newest version, which is kept from now on. Collective, with a barrier behind which all may load it. */
dn_status dn_client_version_keep(dn_client_store *store, const dn_buf *part) DN_MUST_USE;

/** The weights become the newest version. Collective, with a barrier. */
dn_status dn_client_version_take(const dn_client_store *store) DN_MUST_USE;

/** No version is kept. */
void dn_client_versions_forget(dn_client_store *store);
/** Places for all versions that tickets train, the newest left out: to be filled in. */
void dn_client_versions_expect(dn_client_store *store);

/* What is to be saved, as dn_optimizer_state and so on: older versions, then states. A version that is missing in a checkpoint is an
 * error (must_be). */
size_t dn_client_store_n_saved(const dn_client_store *store);
const dn_tensor *dn_client_store_saved(const dn_client_store *store, size_t index);
dn_shard dn_client_store_shard(const dn_client_store *store, size_t index, int rank);
bool dn_client_store_must_be(const dn_client_store *store, size_t index);

#endif
