/* What the driver of clients consists of: clients.c, the server; client_ticket.c, a ticket's training; client_clock.c, which tickets
 * are done first. */
#ifndef TRAIN_CLIENTS_INTERNAL_H
#define TRAIN_CLIENTS_INTERNAL_H

#include "train/clients.h"
#include "train/tickets_log.h"

/* A ticket that this worker trains, with the weights' memory. */
typedef struct dn_client_training {
    dn_ticket ticket;
    uint64_t n_done; /* steps */
    bool finite;     /* so far */
    double loss, counted; /* sum over the targets that count; of them */
} dn_client_training;

/* What workers tell one another of the tickets that they have trained: one number each, which sums bring together. */
typedef struct dn_clients_told {
    double *loss, *counted; /* [n_workers]; NAN: something was not finite */
    double *place;          /* [n_workers], of a real clock: 1 who was done first, and so on; 0: not done */
    double *dropped, *now_s; /* workers that saw a stop; of a real clock: the time, by worker 0 */
} dn_clients_told;

/* A real clock, of which each ticket that is out has a worker. */
typedef struct dn_client_clock {
    int *holder;        /* [n_workers]: whose ticket the worker trains; -1: none */
    uint64_t *n_ended;  /* worker 0's: tickets that are done and that no version is made of yet; all count there */
    double place;       /* of this worker's ticket among them; 0: it is not done */
    double loss, counted;
    dn_buf *paused;     /* [n]: this worker's weights meanwhile */
    double began_s, before_s; /* of this process's clock; virtual time of that moment */
    bool logged;        /* in the file there is what is in the log */
} dn_client_clock;

struct dn_clients {
    const dn_plan *plan;
    dn_instance *instance;
    const dn_client_rules *rules;
    dn_client_work work;
    int rank, n_workers;
    dn_tickets *tickets;
    dn_client_store store;
    size_t n;        /* numbers of all trained parameters, as they lie in memory */
    dn_buf *start;   /* [n] the version that this worker's ticket trains */
    dn_buf *scratch; /* of hooks */
    dn_client_training training;
    double *numbers; /* that told consists of */
    dn_clients_told told;
    dn_tickets_log log; /* of a real clock, or to be repeated */
    dn_client_clock clock;
};

dn_client_context dn_clients_context(const dn_clients *clients, uint64_t step);
/* On the client. */
dn_client_context dn_clients_context_of(const dn_clients *clients, const dn_ticket *ticket);

/* ---- client_ticket.c: this worker alone ---- */

/* Begins with a ticket: loads its version. */
dn_status dn_client_training_begin(dn_clients *clients, const dn_ticket *ticket) DN_MUST_USE;
/* A step of it. *over: that was the last one, or something was not finite; weights are what the server gets then, and *loss the sum
 * over the targets that count; NAN: something was not finite. DN_RUN_DROPPED: a stop, on this worker alone. */
dn_status dn_client_training_step(dn_clients *clients, bool *over, double *loss) DN_MUST_USE;

/* ---- client_clock.c ---- */

dn_status dn_client_clock_open(dn_clients *clients, void *n_ended) DN_MUST_USE;
void dn_client_clock_close(dn_clients *clients);
/* After step `step`, which may be the first again. */
dn_status dn_client_clock_expect(dn_clients *clients, uint64_t step) DN_MUST_USE;
/* The next version is made by those that the log has. */
dn_status dn_client_clock_repeat(dn_clients *clients) DN_MUST_USE;

/* Of a real clock: this worker trains until as many tickets are done as make a version, or a stop. Fills its part of told. */
dn_status dn_client_clock_train(dn_clients *clients) DN_MUST_USE;
/* Told is of all now: those that were done first make the version. workers [quorum]: who holds them. */
dn_status dn_client_clock_decide(dn_clients *clients, int *workers) DN_MUST_USE;
/* Behind a barrier, when the version is made: before weights become the newest version. */
dn_status dn_client_clock_pause(dn_clients *clients) DN_MUST_USE;

#endif
