/*
 * A transport that delivers what another one carries (LATE_MODULE: its file) as late, and in as strange an
 * order, as the contract of comm/transport/transport.h allows: only messages between two ranks with one tag
 * stay in order. So races between ranks that a quiet machine hides for days are met in seconds, the same ones
 * in every run.
 *
 * Short messages (tag 0) are held back for LATE_MS, as many again at random, and others for less: whoever is
 * asked has mostly begun something else before it hears the question.
 *
 * LATE_NEVER=start or finish: that call does not return on rank 1.
 */
#include "comm/transport/transport.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const dn_transport *real;
static double late_s;
static unsigned seed;
static int own_rank;

/* What was asked for: sends are held until `at`; `number` is the real request of what was handed on, or -1.
 */
static struct held {
    bool used, sends;
    const void *data;
    size_t bytes;
    int to, tag, number;
    double at;
    uint64_t order; /* of asking */
} held[DN_TRANSPORT_REQUESTS];
static uint64_t n_held;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double drawn(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (double)(seed >> 8) / (1 << 24);
}

static void never_return_from(const char *call)
{
    const char *never = getenv("LATE_NEVER");
    while (never && strcmp(never, call) == 0 && own_rank == 1)
        pause();
}

static int start(int *rank, int *n_ranks, char *why, size_t bytes)
{
    const char *path = getenv("LATE_MODULE"), *ms = getenv("LATE_MS");
    void *module = path ? dlopen(path, RTLD_NOW | RTLD_GLOBAL) : NULL;
    real = module ? dlsym(module, DN_TRANSPORT_SYMBOL) : NULL;
    if (!real) {
        snprintf(why, bytes, "LATE_MODULE is no transport");
        return -1;
    }
    late_s = ms ? atof(ms) / 1e3 : 0.005;
    if (real->start(rank, n_ranks, why, bytes))
        return -1;
    own_rank = *rank;
    seed = (unsigned)own_rank + 1;
    never_return_from("start");
    return 0;
}

static int gather(const void *own, size_t n, void *all, char *why, size_t bytes)
{
    return real->gather(own, n, all, why, bytes);
}

static int find_node(int *node, char *why, size_t bytes)
{
    return real->find_node(node, why, bytes);
}

/* Whether another send with its destination and tag was asked for before and is still held. */
static bool is_behind(const struct held *h)
{
    for (int i = 0; i < DN_TRANSPORT_REQUESTS; i++)
        if (held[i].used && held[i].sends && held[i].number < 0 && held[i].to == h->to &&
            held[i].tag == h->tag && held[i].order < h->order)
            return true;
    return false;
}

/* Hands on what has been held for long enough. */
static int hand_on(void)
{
    double now = now_s();
    for (int i = 0; i < DN_TRANSPORT_REQUESTS; i++) {
        struct held *h = &held[i];
        if (h->used && h->sends && h->number < 0 && h->at <= now && !is_behind(h) &&
            (h->number = real->send(h->data, h->bytes, h->to, h->tag)) < 0)
            return -1;
    }
    return 0;
}

static int ask(struct held asked)
{
    int i = 0;
    while (i < DN_TRANSPORT_REQUESTS && held[i].used)
        i++;
    if (i == DN_TRANSPORT_REQUESTS)
        return -1;
    held[i] = asked;
    held[i].used = true;
    held[i].order = n_held++;
    return i;
}

static int send_late(const void *data, size_t bytes, int to, int tag)
{
    double delay = tag == 0 ? late_s * (1 + drawn()) : late_s * drawn() * drawn();
    return ask((struct held){.sends = true,
                             .data = data,
                             .bytes = bytes,
                             .to = to,
                             .tag = tag,
                             .number = -1,
                             .at = now_s() + delay});
}

static int receive(void *data, size_t bytes, int from, int tag)
{
    int number = real->receive(data, bytes, from, tag);
    return number < 0 ? -1 : ask((struct held){.number = number});
}

static int done(int i)
{
    if (hand_on())
        return -1;
    int is_done = held[i].number < 0 ? 0 : real->done(held[i].number);
    if (is_done > 0)
        held[i].used = false;
    return is_done;
}

static int take(int tag, void *data, size_t room, int *from, size_t *bytes)
{
    return hand_on() ? -1 : real->take(tag, data, room, from, bytes);
}

static void finish(void)
{
    never_return_from("finish");
    real->finish();
}

static void abort_all(int exit_status)
{
    real->abort(exit_status);
}

__attribute__((visibility("default"))) extern const dn_transport dn_transport_module;
const dn_transport dn_transport_module = {
    .version = DN_TRANSPORT_VERSION,
    .name = "late",
    .start = start,
    .gather = gather,
    .find_node = find_node,
    .send = send_late,
    .receive = receive,
    .done = done,
    .take = take,
    .finish = finish,
    .abort = abort_all,
};
