#include "pipe/pipeline.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"
#include "nn/channel.h"

#include <math.h>

/* The emulated link to or from a neighbour; NULL: there is none. */
static const dn_link *link_of(const dn_pipeline *p, int neighbour)
{
    int stage = dn_comm_rank(p->stages);
    const dn_link *link = p->links ? &p->links->of[neighbour < stage ? neighbour : stage] : NULL;
    return link && link->bytes_per_s > 0 ? link : NULL;
}

/* What goes before a stream where there is a gate or a link: when it is there, and whether the pass ends instead. */
typedef struct note {
    double arrives_s, status;
} note;

static dn_status send_note(const dn_pipeline *p, note n, int to)
{
    return dn_comm_send(p->stages, &n, sizeof n / sizeof(double), DN_F64, to, DN_TRAFFIC_CONTROL);
}

/* *gate: DN_OK, or why no stream follows. */
static dn_status receive_note(dn_pipeline *p, int from, dn_status *gate)
{
    double started_s = dn_clock_s();
    note n = {0, DN_OK};
    if (p->gate || link_of(p, from))
        DN_TRY(dn_comm_receive(p->stages, &n, sizeof n / sizeof(double), DN_F64, from, DN_TRAFFIC_CONTROL));
    *gate = (dn_status)n.status;
    dn_comm_sleep_until(p->stages, n.arrives_s);
    p->wait_s += dn_clock_s() - started_s;
    return DN_OK;
}

/* ---- channels ---- */

/* Windows of a slot. */
static dn_bytes *message_of(const dn_pipeline *p, const dn_pipe_channel *c, size_t slot)
{
    return dn_bytes_at(c->messages, slot * dn_channel_bytes(c->kept, p->C, p->room * p->T));
}

static dn_bytes *gradient_of(const dn_pipeline *p, const dn_pipe_channel *c, size_t slot)
{
    return dn_bytes_at(c->gradients, slot * dn_channel_gradient_bytes(c->kept, p->room * p->T));
}

size_t dn_pipeline_heap_bytes(const size_t kept[2], size_t room, size_t T, size_t C, size_t n_slots)
{
    size_t bytes = 0;
    for (int side = 0; side < 2; side++)
        if (kept[side] > 0)
            bytes = dn_size_add(bytes, dn_size_mul(n_slots, dn_channel_bytes(kept[side], C, room * T) +
                                                                dn_channel_gradient_bytes(kept[side], room * T)));
    return bytes;
}

void dn_pipeline_open_channels(dn_pipeline *p, const size_t kept[2], size_t n_slots, void *heap)
{
    dn_bytes *at = heap;
    for (int side = 0; side < 2; side++) {
        if (kept[side] == 0)
            continue;
        dn_pipe_channel *c = &p->channels[side];
        *c = (dn_pipe_channel){.kept = kept[side], .messages = at};
        c->gradients = message_of(p, c, n_slots);
        at = gradient_of(p, c, n_slots);
    }
}

/* What goes over a boundary in one direction: a run of bytes in symmetric memory. */
typedef struct load {
    void *at;
    size_t bytes;
    dn_type type;
} load;

static load load_of(const dn_pipeline *p, size_t slot, size_t B, int neighbour, bool backward)
{
    const dn_pipe_channel *c = &p->channels[neighbour > dn_comm_rank(p->stages)];
    size_t N = B * p->T;
    if (c->kept == 0)
        return (load){dn_model_stream(p->model, slot), N * p->C * sizeof(dn_real), DN_REAL};
    return backward ? (load){gradient_of(p, c, slot), dn_channel_gradient_bytes(c->kept, N), DN_I64}
                    : (load){message_of(p, c, slot), dn_channel_bytes(c->kept, p->C, N), DN_I64};
}

static dn_status receive(dn_pipeline *p, size_t slot, size_t B, int from, bool backward)
{
    const dn_pipe_channel *c = &p->channels[from > dn_comm_rank(p->stages)];
    const load l = load_of(p, slot, B, from, backward);
    double started_s = dn_clock_s();
    DN_TRY(dn_comm_receive(p->stages, l.at, l.bytes / dn_type_bytes(l.type), l.type, from, DN_TRAFFIC_ACTIVATIONS));
    p->wait_s += dn_clock_s() - started_s;
    if (c->kept > 0 && backward)
        dn_channel_decode_gradient(p->stream, c->kept, p->C, B * p->T, dn_model_stream(p->model, slot), l.at, message_of(p, c, slot));
    else if (c->kept > 0)
        dn_channel_decode(p->stream, c->kept, p->C, B * p->T, dn_model_stream(p->model, slot), l.at);
    return DN_OK;
}

/* Messages in one direction follow one another on its link; their latencies overlap. */
static dn_status post(dn_pipeline *p, size_t slot, size_t B, int to, bool backward)
{
    const dn_pipe_channel *c = &p->channels[to > dn_comm_rank(p->stages)];
    const load l = load_of(p, slot, B, to, backward);
    const dn_link *link = link_of(p, to);
    note n = {0, DN_OK};
    if (c->kept > 0 && backward)
        dn_channel_encode_gradient(p->stream, c->kept, p->C, B * p->T, l.at, dn_model_stream(p->model, slot), message_of(p, c, slot));
    else if (c->kept > 0)
        dn_channel_encode(p->stream, c->kept, p->C, B * p->T, l.at, dn_model_stream(p->model, slot));
    DN_TRY(dn_stream_sync(p->stream));
    if (link) {
        double *free_s = &p->free_s[to > dn_comm_rank(p->stages)];
        *free_s = fmax(*free_s, dn_clock_s()) + dn_link_s(link, 0, (double)l.bytes);
        n.arrives_s = *free_s + link->latency_s;
    }
    if (p->gate || link)
        DN_TRY(send_note(p, n, to));
    return dn_comm_post(p->stages, l.at, l.bytes / dn_type_bytes(l.type), l.type, to, DN_TRAFFIC_ACTIVATIONS);
}

dn_status dn_pipeline_pass(dn_pipeline *p, dn_micro_batch_fn *micro_batch, void *context, size_t M, double scale,
                           double *loss_sum)
{
    int n = dn_comm_size(p->stages), stage = dn_comm_rank(p->stages);
    bool first = stage == 0, last = stage == n - 1, train = scale != 0;
    size_t n_slots = train ? dn_pipe_in_flight((size_t)n, (size_t)stage, M) : 1, B[DN_MAX_RANKS];
    for (size_t i = 0; i < (train ? 2 * M : M); i++) {
        const dn_pipe_op op = train ? dn_pipe_schedule((size_t)n, (size_t)stage, M, i) : (dn_pipe_op){false, i};
        size_t slot = op.micro_batch % n_slots;
        dn_status gate = DN_OK;
        if (op.backward) {
            if (!last) {
                DN_TRY(receive_note(p, stage + 1, &gate));
                DN_TRY(receive(p, slot, B[slot], stage + 1, true));
            }
            DN_TRY(dn_model_backward(p->model, slot));
            if (!first)
                DN_TRY(post(p, slot, B[slot], stage - 1, true));
            continue;
        }
        const int32_t *tokens, *targets;
        DN_TRY(micro_batch(context, op.micro_batch, &tokens, &targets, &B[slot]));
        if (first && p->gate)
            gate = p->gate(p->gate_context);
        if (!first)
            DN_TRY(receive_note(p, stage - 1, &gate));
        if (gate != DN_OK) {
            if (!last)
                DN_TRY(send_note(p, (note){0, gate}, stage + 1));
            return gate;
        }
        if (train && !first) /* it takes the gradient that was here */
            DN_TRY(dn_comm_posted(p->stages, stage - 1));
        if (!train && !last)
            DN_TRY(dn_comm_posted(p->stages, stage + 1));
        if (!first)
            DN_TRY(receive(p, slot, B[slot], stage - 1, false));
        DN_TRY(train ? dn_model_forward(p->model, slot, tokens, targets, B[slot], scale, loss_sum)
                     : dn_model_loss(p->model, tokens, targets, B[slot], loss_sum));
        if (!last)
            DN_TRY(post(p, slot, B[slot], stage + 1, false));
    }
    if (!first && train) /* the streams are free */
        DN_TRY(dn_comm_posted(p->stages, stage - 1));
    return last || train ? DN_OK : dn_comm_posted(p->stages, stage + 1);
}

/* ---- without an end ---- */

/* What micro-batch i of the step begins with comes to its slot; the stage before has taken the gradient that was there. */
static dn_status take(dn_pipeline *p, dn_micro_batch_fn *micro_batch, void *context, size_t slot, size_t i)
{
    int before = dn_comm_rank(p->stages) - 1;
    dn_status gate;
    if (before < 0)
        return DN_OK;
    DN_TRY(micro_batch(context, i, NULL, NULL, &p->B[slot]));
    DN_TRY(receive_note(p, before, &gate));
    DN_TRY(dn_comm_posted(p->stages, before));
    return receive(p, slot, p->B[slot], before, false);
}

/* The weights that were the newest after so many updates. */
static void read_weights(const dn_pipeline *p, uint64_t made)
{
    const char *weights = (const char *)dn_stash_at(p->stash, p->stash->made - made);
    dn_weights_read_behind(p->weights, weights - (const char *)p->stash->newest);
}

dn_status dn_pipeline_flow(dn_pipeline *p, dn_micro_batch_fn *micro_batch, void *context, size_t M, double scale, double *loss_sum)
{
    int n = dn_comm_size(p->stages), stage = dn_comm_rank(p->stages);
    bool is_first = stage == 0, is_last = stage == n - 1;
    size_t ahead = (size_t)(n - 1 - stage), n_slots = ahead + 1;
    const uint64_t made = p->stash->made;
    dn_status gate;
    if (!p->flows)
        DN_TRY(take(p, micro_batch, context, p->first % n_slots, 0));
    p->staleness = 0;
    for (size_t i = p->flows ? ahead : 0; i < ahead + M; i++) {
        size_t slot = (p->first + i) % n_slots, back = (slot + 1) % n_slots; /* i - ahead */
        const int32_t *tokens, *targets;
        DN_TRY(micro_batch(context, i, &tokens, &targets, &p->B[slot]));
        p->forward_at[slot] = made - dn_min(made, dn_pipe_staleness((size_t)n, (size_t)stage, M, i));
        read_weights(p, p->forward_at[slot]);
        DN_TRY(dn_model_forward(p->model, slot, tokens, targets, p->B[slot], scale, loss_sum));
        if (!is_last)
            DN_TRY(post(p, slot, p->B[slot], stage + 1, false));
        if (i >= ahead) {
            if (!is_last) {
                DN_TRY(receive_note(p, stage + 1, &gate));
                DN_TRY(receive(p, back, p->B[back], stage + 1, true));
            }
            p->staleness += made - p->forward_at[back];
            read_weights(p, p->forward_at[back]);
            DN_TRY(dn_model_backward(p->model, back));
            if (!is_first)
                DN_TRY(post(p, back, p->B[back], stage - 1, true));
        }
        DN_TRY(take(p, micro_batch, context, (slot + 1) % n_slots, i + 1));
    }
    read_weights(p, made);
    p->first += M;
    p->flows = true;
    return DN_OK;
}

/* ---- how long messages take ---- */

enum { TRIPS = 5 };

static dn_status time_trip(dn_pipeline *p, size_t B, int other, double *seconds)
{
    bool sends = other > dn_comm_rank(p->stages);
    double began_s = dn_clock_s();
    dn_status gate;
    if (sends)
        DN_TRY(post(p, 0, B, other, false));
    DN_TRY(receive_note(p, other, &gate));
    DN_TRY(receive(p, 0, B, other, sends));
    if (!sends)
        DN_TRY(post(p, 0, B, other, true));
    DN_TRY(dn_comm_posted(p->stages, other));
    *seconds = (dn_clock_s() - began_s) / 2;
    return DN_OK;
}

dn_status dn_pipeline_time_links(dn_pipeline *p, size_t B, double *seconds)
{
    int stage = dn_comm_rank(p->stages);
    for (int s = 0; s + 1 < dn_comm_size(p->stages); s++) { /* one at a time */
        double least = INFINITY, one;
        DN_TRY(dn_comm_barrier(p->stages));
        for (int trip = 0; trip < TRIPS && (stage == s || stage == s + 1); trip++) {
            DN_TRY(time_trip(p, B, stage == s ? s + 1 : s, &one));
            least = fmin(least, one);
        }
        seconds[s] = stage == s ? least : 0;
    }
    return dn_comm_barrier(p->stages);
}

/* ---- a head that is the embedding ---- */

/* By as much as a slot's stream holds, where the first stage adds it from. */
dn_status dn_pipeline_return_gradients(const dn_pipeline *p, const dn_param *params, size_t n, dn_stream *stream)
{
    if (n == 0)
        return DN_OK;
    int last = dn_comm_size(p->stages) - 1, stage = dn_comm_rank(p->stages);
    size_t most = p->room * p->T * p->C;
    dn_buf *here = dn_model_stream(p->model, 0);
    if (stage == 0) /* what is in flight from there has been taken */
        DN_TRY(dn_comm_posted(p->stages, 1));
    for (size_t i = 0; i < n && (stage == 0 || stage == last); i++) {
        for (size_t at = 0, some; at < dn_param_size(&params[i]) && params[i].grad; at += some) {
            dn_buf *grad = dn_at(params[i].grad, at);
            some = dn_min(most, dn_param_size(&params[i]) - at);
            if (stage == last) {
                DN_TRY(dn_comm_send(p->stages, grad, some, DN_REAL, 0, DN_TRAFFIC_GRADIENT));
                continue;
            }
            DN_TRY(dn_comm_receive(p->stages, here, some, DN_REAL, last, DN_TRAFFIC_GRADIENT));
            stream->kernels->axpby(stream, grad, 1, here, 1, some);
            DN_TRY(dn_stream_sync(stream));
        }
    }
    return DN_OK;
}

dn_status dn_pipeline_lend_weights(const dn_pipeline *p, const dn_param *params, size_t n)
{
    if (n == 0)
        return DN_OK;
    int last = dn_comm_size(p->stages) - 1, stage = dn_comm_rank(p->stages);
    for (size_t i = 0; i < n; i++) {
        size_t size = params[i].grad ? dn_param_size(&params[i]) : 0; /* frozen ones do not change */
        if (size > 0 && stage == 0)
            DN_TRY(dn_comm_send(p->stages, params[i].weight, size, DN_REAL, last, DN_TRAFFIC_WEIGHTS));
        if (size > 0 && stage == last)
            DN_TRY(dn_comm_receive(p->stages, params[i].weight, size, DN_REAL, 0, DN_TRAFFIC_WEIGHTS));
    }
    return DN_OK;
}
