#include "comm/wire.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/module.h"
#include "base/size.h"
#include "comm/guard.h"
#include "comm/internal.h"
#include "comm/transport/transport.h"
#include "shm/wait.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BEAT_S      0.1 /* between two rows of the state table that other nodes get */
#define GRACE_S     1.0 /* for the rank that failed first to end the run with its own exit status */
#define PIECE       ((size_t)1 << 30)
#define PUT_BYTES   512

/*
 * A tag has one meaning between two ranks in one direction, and what is sent with it is awaited in the order of sending:
 *
 *     TOLD          short messages, from anyone to anyone: taken whenever they come, never awaited
 *     ANSWERS + k   from the rank that was asked to the one who asked, who has begun to receive before it asks: k numbers
 *                   the questions of the one who asks. Nothing else has these tags: two ranks that ask each other at once
 *                   use the same k for what goes opposite ways
 *     MOVES + w, n  moved one way w by communicator n (dn_way): by a call that both ends are in, or as a message; or by what
 *                   both have begun, one after another in that order
 */
#define TAG_TOLD    0
#define TAG_ANSWERS 1
#define N_QUESTIONS 1024
#define TAG_MOVES   (TAG_ANSWERS + N_QUESTIONS)

/* What is being sent. What a rank begins by itself awaits room among the first N_OWN; the rest is for what it may not wait
 * with: answers, its state, a failure. Answers are awaited already, so their places become free whatever else is stuck. */
#define N_OWN     64
#define N_SENDING 96

_Static_assert(TAG_MOVES + DN_N_WAYS * DN_WIRE_NUMBERS <= DN_TRANSPORT_TAGS, "every MPI has these tags");
/* Communicators over nodes that exchange at a time: those of the axes dp, dp and fs, dp and tp, all three, and of all ranks. Each has
 * exchanges that were begun and what is sent ahead; besides there are a call, messages, and answers. */
#define N_EXCHANGING 5
_Static_assert(N_SENDING + (N_EXCHANGING * (DN_MOVING_MAX + 1) + 2) * DN_MOVES_MAX + 8 <= DN_TRANSPORT_REQUESTS, "requests suffice");

typedef enum { LINE, STATE, FAILURE, FETCH, PUT } what;

/* A short message. Of the union only what is meant is sent. */
typedef struct told {
    int32_t what, rank;
    uint64_t at, bytes;
    int32_t tag; /* of the answer; -1: none is awaited */
    union {
        dn_line line;
        dn_rank_state state;
        dn_failure failure;
        char put[PUT_BYTES];
    };
} told;

#define TOLD_BYTES(member) (offsetof(told, member) + sizeof((told *)0)->member)

struct dn_wire {
    const dn_transport *transport;
    dn_world *world; /* borrowed; NULL before dn_wire_attach */
    double deadline_s;
    int rank, n_ranks, n_nodes;
    int n_on_machine; /* ranks of this node, and of those that are pretended beside it */
    int node[DN_MAX_RANKS];
    int twins[DN_MAX_RANKS]; /* a rank of each node that gets this rank's state; -1 for the own */
    pthread_mutex_t lock;    /* of all below, and of the transport */
    struct {
        bool used;
        int request;
        void *copy;   /* freed when it is sent; may be NULL */
        told message; /* a copy, for as long as it is sent; answers are sent from where they lie */
    } sending[N_SENDING];
    int n_sending;
    uint32_t n_questions;
    int next_number;
    double beat_s;
    int next_beat; /* the node whose turn it is to be told of this rank's state */
    int n_warned;  /* nodes [0, n_warned) know of the failure */
    bool broken;   /* the transport failed */
};

/* ---- opening ---- */

static dn_status number_nodes(dn_wire *w)
{
    const char *text = getenv("DIONODE_NODE");
    char why[256] = "", *end;
    int64_t keys[DN_MAX_RANKS], own = -1;
    int found;
    dn_guard guard;
    dn_guard_begin(&guard, w->deadline_s, "finding the ranks of this node");
    int failed = w->transport->find_node(&found, why, sizeof why);
    dn_guard_end(&guard);
    if (failed)
        return dn_fail(DN_ERR_SYSTEM, "cannot find the ranks of this node: %s", why);
    if (text && *text) {
        long k = strtol(text, &end, 10);
        own = end != text && !*end && k >= 0 && k < DN_MAX_RANKS ? k : -2;
    }
    DN_TRY(dn_wire_gather(w, own, keys));
    for (int rank = 0; rank < w->n_ranks; rank++) /* the same error on all ranks */
        if (keys[rank] == -2 || (keys[rank] >= 0) != (keys[0] >= 0))
            return dn_fail(DN_ERR_CONFIG,
                           "DIONODE_NODE of rank %d: give every rank the number of its node, from 0 to %d, or none of them", rank,
                           DN_MAX_RANKS - 1);
    int64_t real[DN_MAX_RANKS];
    DN_TRY(dn_wire_gather(w, found, real));
    for (int rank = 0; rank < w->n_ranks; rank++) {
        int first = 0; /* rank of the same node */
        w->n_on_machine += real[rank] == real[w->rank];
        while (keys[first] != keys[rank] || real[first] != real[rank])
            first++;
        w->node[rank] = first == rank ? w->n_nodes++ : w->node[first];
    }
    for (int node = 0; node < w->n_nodes; node++) {
        int n = 0, members[DN_MAX_RANKS];
        for (int rank = 0; rank < w->n_ranks; rank++)
            if (w->node[rank] == node)
                members[n++] = rank;
        w->twins[node] = node == w->node[w->rank] ? -1 : members[dn_wire_local_rank(w, w->rank) % n];
    }
    return DN_OK;
}

dn_status dn_wire_open(const char *name, double deadline_s, dn_wire **out)
{
    char why[256] = "";
    dn_guard guard;
    dn_wire *w = aligned_alloc(_Alignof(dn_wire), sizeof *w);
    *out = NULL;
    if (!w)
        return dn_fail(DN_ERR_MEMORY, "no memory for a transport between nodes");
    memset(w, 0, sizeof *w);
    w->deadline_s = deadline_s;
    pthread_mutex_init(&w->lock, NULL);
    const void *table = NULL;
    dn_status status = dn_module_open(name, DN_TRANSPORT_SYMBOL, DN_TRANSPORT_VERSION,
                                      "build Dionode where MPI is installed (Debian: libopenmpi-dev), or run on one node", &table);
    w->transport = table;
    if (status == DN_OK) {
        dn_guard_begin(&guard, deadline_s, "the start of the transport between nodes");
        if (w->transport->start(&w->rank, &w->n_ranks, why, sizeof why))
            status = dn_fail(DN_ERR_SYSTEM, "the transport '%s' does not start: %s", name, why);
        dn_guard_end(&guard);
    }
    if (status == DN_OK && w->n_ranks > DN_MAX_RANKS)
        status = dn_fail(DN_ERR_CONFIG, "%d ranks, at most %d can train together", w->n_ranks, DN_MAX_RANKS);
    if (status == DN_OK)
        status = number_nodes(w);
    if (status == DN_OK)
        *out = w;
    else
        free(w);
    return status;
}

int dn_wire_rank(const dn_wire *wire)
{
    return wire->rank;
}

int dn_wire_size(const dn_wire *wire)
{
    return wire->n_ranks;
}

int dn_wire_node(const dn_wire *wire, int rank)
{
    return wire->node[rank];
}

int dn_wire_local_rank(const dn_wire *wire, int rank)
{
    int n = 0;
    for (int r = 0; r < rank; r++)
        n += wire->node[r] == wire->node[rank];
    return n;
}

int dn_wire_machine_size(const dn_wire *wire)
{
    return wire->n_on_machine;
}

int dn_wire_local_size(const dn_wire *wire)
{
    int n = 0;
    for (int r = 0; r < wire->n_ranks; r++)
        n += wire->node[r] == wire->node[wire->rank];
    return n;
}

dn_status dn_wire_gather(dn_wire *wire, int64_t number, int64_t *numbers)
{
    char why[256] = "";
    dn_guard guard;
    dn_guard_begin(&guard, wire->deadline_s, "a gather over all nodes");
    int failed = wire->transport->gather(&number, sizeof number, numbers, why, sizeof why);
    dn_guard_end(&guard);
    if (failed)
        return dn_fail(DN_ERR_SYSTEM, "ranks cannot reach each other: %s", why);
    return DN_OK;
}

/* ---- sending: all with the lock held ---- */

/* The transport failed: nobody can be told, but all of this node. */
static void fail_transport(dn_wire *w, int rank)
{
    dn_failure failure = {.status = DN_ERR_SYSTEM, .rank = rank};
    w->broken = true;
    snprintf(failure.message, sizeof failure.message, "worker %d: transport '%s' to worker %d failed, or it sent what was not awaited",
             w->rank, w->transport->name, rank);
    dn_world_abort(w->world, &failure);
}

static void reap(dn_wire *w)
{
    for (int i = 0; i < N_SENDING && w->n_sending > 0; i++) {
        int done = w->sending[i].used ? w->transport->done(w->sending[i].request) : 0;
        if (done == 0)
            continue;
        w->sending[i].used = false;
        free(w->sending[i].copy);
        w->sending[i].copy = NULL;
        w->n_sending--;
        if (done < 0)
            fail_transport(w, w->rank);
    }
}

static int free_place(const dn_wire *w)
{
    int i = 0;
    while (i < N_SENDING && w->sending[i].used)
        i++;
    return i;
}

/* data NULL: the message itself, of which a copy is sent. */
static int begin_send(dn_wire *w, int rank, int tag, const void *data, size_t bytes, const told *message)
{
    int i = free_place(w);
    if (w->broken)
        return -1;
    if (message)
        w->sending[i].message = *message;
    w->sending[i].request = w->transport->send(data ? data : &w->sending[i].message, bytes, rank, tag);
    w->sending[i].used = w->sending[i].request >= 0;
    w->n_sending += w->sending[i].used;
    if (!w->sending[i].used)
        fail_transport(w, rank);
    return w->sending[i].used ? i : -1;
}

/* ---- what is done while this process waits ---- */

static void tell_state(dn_wire *w)
{
    told message = {.what = STATE,
                    .rank = w->rank,
                    .at = (uint64_t)dn_world_stop_requested(w->world),
                    .state = dn_world_state(w->world, w->rank)};
    /* Clocks of nodes differ: how long ago, not when. */
    message.state.waiting_since_ns = (uint64_t)(1e9 * dn_clock_s()) - message.state.waiting_since_ns;
    for (int i = 0; i < w->n_nodes && w->n_sending < N_SENDING; i++, w->next_beat = (w->next_beat + 1) % w->n_nodes)
        if (w->twins[w->next_beat] >= 0)
            begin_send(w, w->twins[w->next_beat], TAG_TOLD, NULL, TOLD_BYTES(state), &message);
    w->beat_s = dn_clock_s();
}

static void tell_failure(dn_wire *w)
{
    const told message = {.what = FAILURE, .rank = w->rank, .failure = dn_world_failure(w->world)};
    for (; w->n_warned < w->n_nodes && w->n_sending < N_SENDING; w->n_warned++)
        if (w->twins[w->n_warned] >= 0)
            begin_send(w, w->twins[w->n_warned], TAG_TOLD, NULL, TOLD_BYTES(failure), &message);
}

/* A question is answered from memory that stays as it is until whoever asks has the answer (dionode/comm.h: views). */
static void hear(dn_wire *w, const told *message, int from)
{
    bool mine = dn_world_has(w->world, message->at, message->bytes) &&
                dn_world_owns(w->world, w->rank, dn_world_at(w->world, message->at), message->bytes);
    switch ((what)message->what) {
    case LINE: {
        dn_line *line = dn_world_at(w->world, message->at);
        line->call = message->line.call;
        memcpy(line->payload, message->line.payload, sizeof line->payload);
        dn_wait_post(w->world, message->rank, &line->sequence,
                     atomic_load_explicit(&message->line.sequence, memory_order_relaxed));
        return;
    }
    case STATE: {
        dn_rank_state state = message->state;
        state.waiting_since_ns = (uint64_t)(1e9 * dn_clock_s()) - state.waiting_since_ns;
        dn_world_set_state(w->world, message->rank, &state);
        if (message->at && !dn_world_stop_requested(w->world)) /* a stop that was asked for on another node */
            dn_world_request_stop(w->world, (int)message->at);
        return;
    }
    case FAILURE:
        w->n_warned = w->n_nodes; /* by whoever failed */
        dn_world_abort(w->world, &message->failure);
        return;
    case FETCH:
        if (!mine)
            return fail_transport(w, from);
        begin_send(w, from, message->tag, dn_world_at(w->world, message->at), message->bytes, NULL);
        return;
    case PUT:
        if (!mine || message->bytes > sizeof message->put)
            return fail_transport(w, from);
        memcpy(dn_world_at(w->world, message->at), message->put, message->bytes);
        if (message->tag >= 0)
            begin_send(w, from, message->tag, NULL, sizeof message->what, message);
        return;
    }
}

/* With the lock held. */
static void attend(dn_wire *w)
{
    told message;
    int from, got = 1;
    size_t bytes;
    reap(w);
    while (!w->broken && w->n_sending < N_SENDING &&
           (got = w->transport->take(TAG_TOLD, &message, sizeof message, &from, &bytes)) > 0)
        hear(w, &message, from);
    if (got < 0 && !w->broken)
        fail_transport(w, w->rank);
    if (!w->broken && dn_world_failed(w->world))
        tell_failure(w);
    if (dn_clock_s() - w->beat_s > BEAT_S)
        tell_state(w);
}

static void poll(void *context)
{
    dn_wire *w = context;
    pthread_mutex_lock(&w->lock);
    attend(w);
    pthread_mutex_unlock(&w->lock);
}

void dn_wire_attach(dn_wire *wire, dn_world *world)
{
    wire->world = world;
    if (world)
        dn_world_on_wait(world, poll, wire);
}

/* ---- told ---- */

static int has_room(void *context)
{
    dn_wire *w = context;
    pthread_mutex_lock(&w->lock);
    reap(w);
    bool room = w->n_sending < N_OWN || w->broken;
    pthread_mutex_unlock(&w->lock);
    return room;
}

/* Returns with the lock held if DN_OK. */
static dn_status await_room(dn_wire *w, int rank)
{
    DN_TRY(dn_wait_until(w->world, w->rank, rank, has_room, w));
    pthread_mutex_lock(&w->lock);
    return DN_OK;
}

void dn_wire_tell(dn_wire *wire, int rank, const dn_line *line)
{
    told message = {.what = LINE, .rank = wire->rank, .at = dn_world_offset(wire->world, line)};
    memcpy(&message.line, line, sizeof message.line);
    if (await_room(wire, rank) != DN_OK) /* the run has failed, as the caller's wait will say */
        return;
    begin_send(wire, rank, TAG_TOLD, NULL, TOLD_BYTES(line), &message);
    pthread_mutex_unlock(&wire->lock);
}

/* ---- moved ---- */

typedef struct asked {
    dn_wire *wire;
    int request, rank;
} asked;

static int is_done(void *context)
{
    asked *a = context;
    pthread_mutex_lock(&a->wire->lock);
    int done = a->wire->transport->done(a->request);
    if (done < 0)
        fail_transport(a->wire, a->rank);
    pthread_mutex_unlock(&a->wire->lock);
    return done;
}

static dn_status await_request(dn_wire *w, int rank, int request)
{
    asked a = {w, request, rank};
    dn_status status = dn_wait_until(w->world, w->rank, rank, is_done, &a);
    return status == DN_ERR_SYSTEM ? dn_world_check(w->world) : status;
}

/* A request, or -1: the transport failed, and the run with it. */
static int begin_move(dn_wire *w, bool sends, int rank, int tag, void *data, size_t bytes)
{
    pthread_mutex_lock(&w->lock);
    int request = sends ? w->transport->send(data, bytes, rank, tag) : w->transport->receive(data, bytes, rank, tag);
    if (request < 0)
        fail_transport(w, rank);
    pthread_mutex_unlock(&w->lock);
    return request;
}

static int tag_of(dn_way way, int number)
{
    return TAG_MOVES + (int)way * DN_WIRE_NUMBERS + number;
}

void dn_moves_init(dn_moves *moves, dn_wire *wire, dn_way way, int number)
{
    moves->wire = wire;
    moves->tag = tag_of(way, number);
    moves->waits = way != DN_WAY_BEGUN && way != DN_WAY_BACK;
    moves->first = moves->n = 0;
}

dn_status dn_wire_send_copy(dn_wire *w, int rank, int number, const void *data, size_t bytes)
{
    if (bytes == 0)
        return DN_OK;
    void *copy = malloc(bytes);
    if (!copy)
        return dn_fail(DN_ERR_MEMORY, "no memory for a message of %zu bytes", bytes);
    memcpy(copy, data, bytes);
    dn_status status = await_room(w, rank);
    if (status != DN_OK) {
        free(copy);
        return status;
    }
    int i = begin_send(w, rank, tag_of(DN_WAY_MESSAGES, number), copy, bytes, NULL);
    if (i >= 0)
        w->sending[i].copy = copy;
    pthread_mutex_unlock(&w->lock);
    if (i < 0)
        free(copy);
    return i < 0 ? dn_world_check(w->world) : DN_OK;
}

int dn_wire_next_number(const dn_wire *wire)
{
    return wire->next_number;
}

dn_status dn_wire_use_number(dn_wire *wire, int number)
{
    if (number >= DN_WIRE_NUMBERS)
        return dn_fail(DN_ERR_MEMORY, "more than %d communicators in a run on several nodes: make them once, and use them again",
                       DN_WIRE_NUMBERS);
    wire->next_number = number + 1;
    return DN_OK;
}

dn_status dn_moves_finish_one(dn_moves *m)
{
    uint64_t i = m->first++ % DN_MOVES_MAX;
    return await_request(m->wire, m->pending[i].rank, m->pending[i].request);
}

bool dn_moves_have_room(const dn_moves *m, int n, size_t bytes)
{
    const uint64_t pending = m->n - m->first, more = (uint64_t)n * ((bytes + PIECE - 1) / PIECE);
    return m->waits || pending == 0 || pending + more <= DN_MOVES_MAX;
}

static dn_status move(dn_moves *m, bool sends, int rank, char *data, size_t bytes, bool counts)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        if (m->n - m->first == DN_MOVES_MAX)
            DN_TRY(dn_moves_finish_one(m));
        int request = begin_move(m->wire, sends, rank, m->tag, data + at, dn_min(PIECE, bytes - at));
        if (request < 0)
            return dn_world_check(m->wire->world);
        uint64_t i = m->n++ % DN_MOVES_MAX;
        m->pending[i].request = request;
        m->pending[i].rank = rank;
        m->pending[i].received = counts ? dn_min(PIECE, bytes - at) : 0;
    }
    return DN_OK;
}

dn_status dn_moves_send(dn_moves *moves, int rank, const void *data, size_t bytes)
{
    return move(moves, true, rank, (char *)(uintptr_t)data, bytes, false);
}

dn_status dn_moves_receive(dn_moves *moves, int rank, void *data, size_t bytes, bool counts)
{
    return move(moves, false, rank, data, bytes, counts);
}

dn_status dn_moves_finish(dn_moves *m)
{
    while (m->first < m->n)
        DN_TRY(dn_moves_finish_one(m));
    m->first = m->n = 0;
    return DN_OK;
}

/* Of the moves before number n, those that have ended, in their order. */
static dn_status take_ended(dn_moves *m, uint64_t n, uint64_t *early)
{
    for (; m->first < n; m->first++) {
        asked a = {m->wire, m->pending[m->first % DN_MOVES_MAX].request, m->pending[m->first % DN_MOVES_MAX].rank};
        int done = is_done(&a);
        if (done <= 0)
            return done < 0 ? dn_world_check(m->wire->world) : DN_OK;
        *early += m->pending[m->first % DN_MOVES_MAX].received;
    }
    return DN_OK;
}

dn_status dn_moves_poll(dn_moves *m, bool *ended, uint64_t *early)
{
    DN_TRY(take_ended(m, m->n, early));
    *ended = m->first == m->n;
    if (*ended)
        m->first = m->n = 0;
    return DN_OK;
}

dn_status dn_moves_reach(dn_moves *m, uint64_t n, uint64_t *early)
{
    n = dn_min(n, m->n);
    DN_TRY(take_ended(m, n, early));
    while (m->first < n)
        DN_TRY(dn_moves_finish_one(m));
    return DN_OK;
}

/* ---- asked ---- */

/* Sends a question whose answer [bytes] comes to `to`, and waits for it. */
static dn_status ask(dn_wire *w, int rank, told *question, size_t question_bytes, void *to, size_t bytes)
{
    DN_TRY(await_room(w, rank));
    question->tag = TAG_ANSWERS + (int)(w->n_questions++ % N_QUESTIONS);
    int request = w->transport->receive(to, bytes, rank, question->tag);
    if (request < 0)
        fail_transport(w, rank);
    begin_send(w, rank, TAG_TOLD, NULL, question_bytes, question);
    pthread_mutex_unlock(&w->lock);
    return request < 0 ? dn_world_check(w->world) : await_request(w, rank, request);
}

dn_status dn_wire_fetch(dn_wire *w, int rank, uint64_t from, void *to, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += PIECE) {
        told question = {.what = FETCH, .rank = w->rank, .at = from + at, .bytes = dn_min(PIECE, bytes - at)};
        DN_TRY(ask(w, rank, &question, offsetof(told, line), (char *)to + at, question.bytes));
    }
    return DN_OK;
}

dn_status dn_wire_put(dn_wire *w, int rank, uint64_t to, const void *data, size_t bytes)
{
    int32_t answer;
    for (size_t at = 0; at < bytes; at += PUT_BYTES) {
        told part = {.what = PUT, .rank = w->rank, .at = to + at, .bytes = dn_min((size_t)PUT_BYTES, bytes - at), .tag = -1};
        const size_t part_bytes = offsetof(told, put) + part.bytes;
        memcpy(part.put, (const char *)data + at, part.bytes);
        if (at + part.bytes == bytes)
            return ask(w, rank, &part, part_bytes, &answer, sizeof answer);
        DN_TRY(await_room(w, rank));
        begin_send(w, rank, TAG_TOLD, NULL, part_bytes, &part);
        pthread_mutex_unlock(&w->lock);
    }
    return DN_OK;
}

/* ---- closing ---- */

static int all_have_left(void *context)
{
    const dn_wire *w = context;
    for (int rank = 0; rank < w->n_ranks; rank++)
        if (w->node[rank] != w->node[w->rank] && !dn_world_has_left(w->world, rank))
            return 0;
    return 1;
}

static void attend_for(dn_wire *w, double seconds)
{
    double end_s = dn_clock_s() + seconds;
    do {
        poll(w);
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    } while (dn_clock_s() < end_s);
}

dn_status dn_wire_close(dn_wire **wire, dn_status status)
{
    dn_wire *w = *wire;
    if (!w)
        return status;
    if (!w->world && status != DN_OK) /* before the ranks had met: nobody listens yet */
        w->transport->abort(dn_status_exit(status));
    if (status == DN_OK && w->world) {
        int waits_for = 0;
        while (w->node[waits_for] == w->node[w->rank] && waits_for < w->n_ranks - 1)
            waits_for++;
        pthread_mutex_lock(&w->lock);
        tell_state(w);
        pthread_mutex_unlock(&w->lock);
        status = dn_wait_until(w->world, w->rank, waits_for, all_have_left, w);
        for (int i = 0; status == DN_OK && i < 1000 && w->n_sending > 0; i++) /* what is on its way has a second */
            attend_for(w, 0.001);
    }
    if (status == DN_OK) {
        dn_guard guard;
        dn_guard_begin(&guard, w->deadline_s, "the end of the transport between nodes");
        w->transport->finish();
        dn_guard_end(&guard);
    } else if (w->world) {
        attend_for(w, status == DN_ERR_PEER ? GRACE_S : GRACE_S / 4);
        dn_status first = dn_world_failure(w->world).status; /* whoever is first to end the job gives its reason */
        w->transport->abort(dn_status_exit(first != DN_OK ? first : status));
    }
    if (w->world)
        dn_world_on_wait(w->world, NULL, NULL);
    pthread_mutex_destroy(&w->lock);
    free(w);
    *wire = NULL;
    return status;
}
