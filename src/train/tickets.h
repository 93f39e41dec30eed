/*
 * Which client trains which version of the weights, and when: a list of discrete events in virtual time, a pure function of its
 * settings. Nothing is measured, so that every worker, and every run that goes on, draws up the same list.
 *
 *     at time 0         n_out clients, drawn at random, take version 0
 *     a ticket ends     seconds(client, version) after it was taken: the way there, the training, the way back
 *     version v + 1     is made when `quorum` of the tickets that are out have ended: those that end first, in the order of their
 *                       ends, of the same end by client. As many clients, drawn from all that have no ticket, take it at once
 *
 * With quorum = n_out these are the rounds of federated averaging.
 */
#ifndef TRAIN_TICKETS_H
#define TRAIN_TICKETS_H

#include "strategy/strategy.h"

typedef struct dn_ticket_rules {
    int n_clients, n_out, quorum; /* 1 <= quorum <= n_out <= n_clients */
    uint64_t seed;
    double (*seconds)(void *context, int client, uint64_t version); /* of a ticket; > 0 */
    void *context;
} dn_ticket_rules;

typedef struct dn_tickets dn_tickets;

/** At version 0. Errors: DN_ERR_MEMORY. Owned by the caller. */
dn_status dn_tickets_create(const dn_ticket_rules *rules, dn_tickets **out) DN_MUST_USE;
void dn_tickets_destroy(dn_tickets **tickets);

/** Back to version 0. */
void dn_tickets_rewind(dn_tickets *tickets);

/** All tickets that are out [n_out], in the order of their ends: the first `quorum` make the next version. Borrowed, until the next
 * change. */
const dn_ticket *dn_tickets_out(const dn_tickets *tickets);

/** The newest version, and when it was made. */
uint64_t dn_tickets_version(const dn_tickets *tickets);
double dn_tickets_now(const dn_tickets *tickets);

/** The tickets of these clients [quorum], which are out, are those that end first, in this order, the last at that time, and all others
 * later. Errors: DN_ERR_DATA: one of them has none, or has two. */
dn_status dn_tickets_end(dn_tickets *tickets, const int *clients, double now_s) DN_MUST_USE;

/** To the next version. */
void dn_tickets_next(dn_tickets *tickets);

#endif
