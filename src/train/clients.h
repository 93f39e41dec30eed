/*
 * Virtual clients on the workers there are (strategies of clients, strategy/strategy.h).
 *
 * A step of the run makes the next version of the weights. Its tickets (tickets.h) are dealt to the workers, one to each at a time.
 * A worker reads the version that the ticket trains, makes the client's steps with a rule that begins anew, and turns the result into
 * what the server gets of it. Then all workers add what has come, each its part of the numbers, in the order of the tickets: so the
 * bits do not depend on how many workers there are.
 *
 *     versions that tickets train, states of the server            in symmetric memory, each worker a part of the numbers
 *     the version that is trained from, and the client's weights   each worker its own
 *     states of the rule                                           last as long as a ticket
 *
 * Between steps every worker's weights are the newest version: validation, checkpoints and hashes are those of replicas that are
 * equal. A ticket is trained in the step that uses it, not when it is given: what is out is no state but the list and the version.
 * So a checkpoint holds, beside the weights, older versions that tickets still train, and the states, and any number of workers goes
 * on from it, bit for bit.
 */
#ifndef TRAIN_CLIENTS_H
#define TRAIN_CLIENTS_H

#include "train/client_store.h"

typedef struct dn_clients dn_clients;

/* Not an error: a pass was abandoned because the workers agreed to stop, or that one of them cannot continue. State and steps are
 * those of the last complete step. */
#define DN_RUN_DROPPED ((dn_status)1)

/* What clients learn from. */
typedef struct dn_client_work {
    size_t (*rows)(void *context, int client); /* that it has: at least 1 */
    dn_step_params (*rates)(void *context, uint64_t version); /* of who trains it */
    /* Gradients of the mean loss over the client's rows number first .. first + n - 1, of all that it ever reads, on this worker alone;
     * *loss: sum over the *counted targets. DN_RUN_DROPPED: a stop, on this worker alone. */
    dn_status (*gradient)(void *context, int client, uint64_t first, size_t n, double *loss, size_t *counted);
    dn_status (*wait)(void *context);  /* now and then while others train. DN_RUN_DROPPED: a stop, on this worker alone */
    dn_status (*agree)(void *context); /* Collective: DN_RUN_DROPPED: one of them could not read its rows */
    void *context;
} dn_client_work;

/* Of one step; the same on all workers. */
typedef struct dn_client_result {
    int n, n_failed;             /* tickets; of these such whose loss or gradient was not finite: they do not count */
    double tokens, counted;      /* that they trained; targets of those that did not fail */
    double bytes_down, bytes_up; /* of weights to them, and of what they sent */
    double virtual_s, delay;     /* when the version was made; mean of versions made meanwhile */
} dn_client_result;

/** Errors: DN_ERR_CONFIG: a strategy of clients without their number, or another one with it. */
dn_status dn_clients_check_strategy(const dn_config *config, const dn_strategy *strategy) DN_MUST_USE;

/** What the configuration says of clients, checked: *plan->clients and batches. Errors: DN_ERR_CONFIG naming keys. */
dn_status dn_clients_plan(dn_plan *plan) DN_MUST_USE;

/** Errors: DN_ERR_CONFIG: a plan to train clients on a mesh with fs or tp. */
dn_status dn_clients_check_mesh(const dn_plan *plan) DN_MUST_USE;

/** Symmetric heap that dn_clients_open takes; exact. Of trained [plan->n_trained] shapes are read. 0: no clients. */
size_t dn_clients_heap_bytes(const dn_plan *plan, const dn_param *trained);

/** Collective: allocates symmetric memory. Weights of the instance are version 0, on all workers. All is borrowed. Errors:
 * DN_ERR_MEMORY; those of the communicator. The caller owns *out. */
dn_status dn_clients_open(dn_instance *instance, const dn_client_work *work, dn_clients **out) DN_MUST_USE;
void dn_clients_close(dn_clients **clients);

/** What there is to save: older versions, states of server and clients. */
dn_client_store *dn_clients_store(dn_clients *clients);

/** Version 0 is what the weights are, states are 0. Collective, with a barrier. */
dn_status dn_clients_begin(dn_clients *clients) DN_MUST_USE;

/** Collective: the run's next step. *loss: mean over these targets; NAN: there is none. DN_RUN_DROPPED: a stop, or rows that
 * could not be read; nothing was changed. Errors: DN_ERR_NUMERIC: no client's training stayed finite; those of the communicator. */
dn_status dn_clients_step(dn_clients *clients, double *loss, dn_client_result *result) DN_MUST_USE;

/** Of a run that is restored after `step`: what is saved is that of this step, to be filled in (dn_client_store_shard); weights are
 * that version. Then dn_clients_restored. Not collective; collective, with a barrier. Errors: those of dn_comm_tick; DN_ERR_IO,
 * DN_ERR_DATA: of a log of the order in which clients were done. */
dn_status dn_clients_expect(dn_clients *clients, uint64_t step) DN_MUST_USE;
dn_status dn_clients_restored(dn_clients *clients) DN_MUST_USE;

#endif
