#include "train/tickets.h"

#include "base/fail.h"
#include "base/random.h"

#include <stdlib.h>

#define TICKET_STREAMS (UINT64_C(0x7469636b) << 32) /* plus the version */

struct dn_tickets {
    dn_ticket_rules rules;
    uint64_t version;
    double now_s;
    dn_ticket *out;   /* [n_out] */
    uint64_t *taken;  /* [n_clients] tickets so far */
    int *idle;        /* [n_clients] the first n_idle: clients without a ticket */
    int n_idle;
};

static int by_end(const void *a, const void *b)
{
    const dn_ticket *x = a, *y = b;
    if (x->end_s != y->end_s)
        return x->end_s < y->end_s ? -1 : 1;
    return x->client < y->client ? -1 : 1; /* a client has one */
}

static int by_number(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

/* Tickets from `first` on are given to clients drawn from the idle ones, of which the order does not matter. */
static void give(dn_tickets *t, int first)
{
    qsort(t->idle, (size_t)t->n_idle, sizeof *t->idle, by_number);
    for (int k = first; k < t->rules.n_out; k++) {
        uint64_t bits = dn_random_bits(t->rules.seed, TICKET_STREAMS + t->version, (uint64_t)k);
        int at = (int)(bits % (uint64_t)t->n_idle), client = t->idle[at];
        t->idle[at] = t->idle[--t->n_idle];
        t->out[k] = (dn_ticket){.client = client,
                                .version = t->version,
                                .before = t->taken[client]++,
                                .end_s = t->now_s + t->rules.seconds(t->rules.context, client, t->version)};
    }
    qsort(t->out, (size_t)t->rules.n_out, sizeof *t->out, by_end);
}

void dn_tickets_rewind(dn_tickets *t)
{
    t->version = 0;
    t->now_s = 0;
    t->n_idle = t->rules.n_clients;
    for (int c = 0; c < t->rules.n_clients; c++) {
        t->taken[c] = 0;
        t->idle[c] = c;
    }
    give(t, 0);
}

dn_status dn_tickets_create(const dn_ticket_rules *rules, dn_tickets **out)
{
    dn_tickets *t = *out = calloc(1, sizeof *t);
    if (t) {
        t->rules = *rules;
        t->out = calloc((size_t)rules->n_out, sizeof *t->out);
        t->taken = calloc((size_t)rules->n_clients, sizeof *t->taken);
        t->idle = calloc((size_t)rules->n_clients, sizeof *t->idle);
    }
    if (!t || !t->out || !t->taken || !t->idle) {
        dn_tickets_destroy(out);
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %d clients", rules->n_clients);
    }
    dn_tickets_rewind(t);
    return DN_OK;
}

void dn_tickets_destroy(dn_tickets **tickets)
{
    dn_tickets *t = *tickets;
    *tickets = NULL;
    if (!t)
        return;
    free(t->out);
    free(t->taken);
    free(t->idle);
    free(t);
}

const dn_ticket *dn_tickets_out(const dn_tickets *t)
{
    return t->out;
}

uint64_t dn_tickets_version(const dn_tickets *t)
{
    return t->version;
}

double dn_tickets_now(const dn_tickets *t)
{
    return t->now_s;
}

dn_status dn_tickets_end(dn_tickets *t, const int *clients, double now_s)
{
    for (int k = 0; k < t->rules.quorum; k++) {
        int at = k;
        while (at < t->rules.n_out && t->out[at].client != clients[k])
            at++;
        if (at == t->rules.n_out)
            return dn_fail(DN_ERR_DATA, "client %d does not train a version before %llu, or is named twice: this is the order of another run",
                           clients[k], (unsigned long long)t->version + 1);
        dn_ticket kept = t->out[k];
        t->out[k] = t->out[at];
        t->out[at] = kept;
        t->out[k].end_s = now_s;
    }
    return DN_OK;
}

void dn_tickets_next(dn_tickets *t)
{
    int stay = t->rules.n_out - t->rules.quorum;
    t->now_s = t->out[t->rules.quorum - 1].end_s;
    t->version++;
    for (int k = 0; k < t->rules.quorum; k++)
        t->idle[t->n_idle++] = t->out[k].client;
    for (int k = 0; k < stay; k++)
        t->out[k] = t->out[t->rules.quorum + k];
    give(t, stay);
}
