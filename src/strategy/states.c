/* States of a strategy and its messages in flight, as tensors of checkpoints. */
#include "base/fail.h"
#include "base/size.h"
#include "strategy/run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Blocks that a mesh cuts a parameter into, and which of them a rank has. */
typedef struct tiling {
    int rows, cols, row, col;
} tiling;

static tiling tiling_of(const dn_param *p, const int size[DN_N_AXES], const int at[DN_N_AXES])
{
    const dn_dim_sharding r = p->tensor.row_sharding, c = p->tensor.col_sharding;
    return (tiling){.rows = r.unit ? size[r.axis] : 1,
                    .cols = c.unit ? size[c.axis] : 1,
                    .row = r.unit ? at[r.axis] : 0,
                    .col = c.unit ? at[c.axis] : 0};
}

/* A tensor of the parameter's shape (numbers per block: 0) or, of what has another, one tile a block; another mesh would
 * cut other blocks, so that the name says how many there are. */
static void describe(dn_tensor *t, const char *name, const dn_param *p, const int size[DN_N_AXES], dn_block_shape tile,
                     bool per_replica)
{
    const int first[DN_N_AXES] = {0};
    tiling blocks = tiling_of(p, size, first);
    *t = p->tensor;
    t->per_replica = per_replica;
    if (tile.rows == 0) {
        snprintf(t->name, sizeof t->name, "%.50s.%.*s", name, DN_PARAM_NAME_MAX - 1, p->tensor.name);
        return;
    }
    t->rows = (size_t)blocks.rows * tile.rows;
    t->cols = (size_t)blocks.cols * tile.cols;
    t->row_sharding.unit = t->row_sharding.unit ? tile.rows : 0;
    t->col_sharding.unit = t->col_sharding.unit ? tile.cols : 0;
    snprintf(t->name, sizeof t->name, "%.31s.%dx%d.%.*s", name, blocks.rows, blocks.cols, DN_PARAM_NAME_MAX - 1,
             p->tensor.name);
}

static dn_block block_of(const dn_param *p, const int size[DN_N_AXES], const int at[DN_N_AXES], dn_block_shape tile)
{
    tiling blocks = tiling_of(p, size, at);
    if (tile.rows == 0)
        return dn_param_block(p, size, at);
    return (dn_block){(size_t)blocks.row * tile.rows, tile.rows, (size_t)blocks.col * tile.cols, tile.cols};
}

/* Of the largest block; nothing where the shape is the block's. */
static dn_block_shape tile_of(const dn_strategy_run *r, const dn_state_of_strategy *state, const dn_param *p)
{
    const int first[DN_N_AXES] = {0};
    dn_block most = dn_param_block(p, r->parts.mesh->size, first);
    return state->shape ? state->shape(&r->config, most.rows, most.cols) : (dn_block_shape){0};
}

static dn_block_shape tile_of_message(const dn_strategy_run *r, const dn_exchange_run *e, const dn_param *p)
{
    const int first[DN_N_AXES] = {0};
    dn_block most = dn_param_block(p, r->parts.mesh->size, first);
    return e->row->length ? (dn_block_shape){1, e->row->length(&r->config, p->kind, most.rows, most.cols)} : (dn_block_shape){0};
}

void dn_strategy_name_states(dn_strategy_run *r)
{
    r->numbers_state = (dn_tensor){.rows = 1, .cols = 4 * r->strategy->n_numbers, .type = DN_REAL};
    snprintf(r->numbers_state.name, sizeof r->numbers_state.name, "%s.numbers", r->strategy->name);
    for (size_t i = 0; i < r->n_params; i++)
        for (int k = 0; k < r->n_kinds; k++) {
            const dn_state_of_strategy *state = &r->strategy->states[k];
            const dn_param *p = &r->parts.params[i];
            describe(&r->tensors[i * (size_t)r->n_kinds + (size_t)k], state->name, p, r->parts.mesh->size,
                     tile_of(r, state, p), state->residence == DN_PER_REPLICA);
        }
}

/* ---- messages in flight ---- */

/* A message in flight. */
typedef struct in_flight {
    const dn_exchange_run *e;
    size_t param, window;
} in_flight;

/* The index-th; e NULL: there is none. */
static in_flight find_in_flight(const dn_strategy_run *r, size_t index)
{
    for (int k = 0; k < r->n_exchanges; k++) {
        const dn_exchange_run *e = &r->exchanges[k];
        for (size_t w = 0; w < r->n_params * e->depth; w++)
            if (e->messages[w].begun && index-- == 0)
                return (in_flight){e, w / e->depth, w};
    }
    return (in_flight){0};
}

static void describe_message(const dn_strategy_run *r, const dn_exchange_run *e, uint64_t step, size_t param, dn_tensor *t)
{
    char name[64];
    const dn_param *p = &r->parts.params[param];
    snprintf(name, sizeof name, "%s.%llu", e->row->window, (unsigned long long)step);
    describe(t, name, p, r->parts.mesh->size, tile_of_message(r, e, p), true);
}

/* "<window>.<step>.<parameter>", however long ago that step was: where later ones were skipped a message is in flight for
 * longer than its delay, and the delay may be another now. */
void dn_strategy_expect(dn_strategy_run *r, const char *name)
{
    for (int k = 0; k < r->n_exchanges; k++) {
        dn_exchange_run *e = &r->exchanges[k];
        size_t length = e->row->window ? strlen(e->row->window) : 0;
        if (length == 0 || strncmp(name, e->row->window, length) != 0 || name[length] != '.' ||
            (e->row->used && !e->row->used(&r->config)))
            continue;
        uint64_t begun = strtoull(name + length + 1, NULL, 10);
        for (size_t i = 0; i < r->n_params; i++) {
            dn_window_message *m = dn_strategy_window(e, i, UINT64_MAX);
            dn_tensor t;
            describe_message(r, e, begun, i, &t);
            if (!m || strcmp(t.name, name) != 0)
                continue;
            m->message = dn_strategy_message(r, e, m, i);
            m->begun = begun + 1;
        }
    }
}

/* ---- all ---- */

/* Behind them, the row's numbers. */
static size_t n_of_row(const dn_strategy_run *r)
{
    return r->n_params * (size_t)r->n_kinds + (r->strategy->n_numbers > 0);
}

size_t dn_strategy_n_states(const dn_strategy_run *r)
{
    size_t n = n_of_row(r);
    for (int k = 0; k < r->n_exchanges; k++)
        for (size_t w = 0; w < r->n_params * r->exchanges[k].depth; w++)
            n += r->exchanges[k].messages[w].begun > 0;
    return n;
}

const dn_tensor *dn_strategy_state(const dn_strategy_run *r, size_t index)
{
    if (index < r->n_params * (size_t)r->n_kinds)
        return &r->tensors[index];
    if (index < n_of_row(r))
        return &r->numbers_state;
    const in_flight f = find_in_flight(r, index - n_of_row(r));
    dn_tensor *t = &f.e->tensors[f.window];
    describe_message(r, f.e, f.e->messages[f.window].begun - 1, f.param, t);
    return t;
}

bool dn_strategy_state_is_cut(const dn_strategy_run *r, size_t index)
{
    if (index < r->n_params * (size_t)r->n_kinds)
        return r->strategy->states[index % (size_t)r->n_kinds].shape != NULL;
    return index >= n_of_row(r) && find_in_flight(r, index - n_of_row(r)).e->row->length != NULL;
}

/* Along axes that cut nothing each rank has a copy; those of one replica come after those of another, as states of
 * optimizers do. */
static int copy_of(const dn_strategy_run *r, const dn_param *p, const int at[DN_N_AXES], dn_residence residence)
{
    const int *size = r->parts.mesh->size;
    unsigned cut = dn_tensor_axes(&p->tensor) | DN_AXIS(DN_DP);
    int copy = dn_axes_rank(size, dn_axes_without(size, cut), at);
    return residence == DN_SHARDED ? copy : at[DN_DP] + size[DN_DP] * copy;
}

dn_shard dn_strategy_state_shard(const dn_strategy_run *r, size_t index, int rank)
{
    const int *size = r->parts.mesh->size;
    int at[DN_N_AXES];
    dn_mesh_at(size, rank, at);
    if (index == r->n_params * (size_t)r->n_kinds && r->strategy->n_numbers > 0)
        return (dn_shard){.block = {0, 1, 0, r->numbers_state.cols}, .data = r->shown, .rank = rank, .replica = rank};
    if (index >= n_of_row(r)) {
        const in_flight f = find_in_flight(r, index - n_of_row(r));
        const dn_window_message *m = &f.e->messages[f.window];
        const dn_param *p = &r->parts.params[f.param];
        return (dn_shard){.block = block_of(p, size, at, tile_of_message(r, f.e, p)),
                          .data = m->shown ? m->shown : m->message.numbers,
                          .rank = rank,
                          .replica = copy_of(r, p, at, DN_PER_REPLICA)};
    }
    size_t i = index / (size_t)r->n_kinds, k = index % (size_t)r->n_kinds;
    const dn_state_of_strategy *state = &r->strategy->states[k];
    const dn_param *p = &r->parts.params[i];
    bool sharded = state->residence == DN_SHARDED;
    return (dn_shard){.block = sharded ? dn_strategy_share(p, size, at) : block_of(p, size, at, tile_of(r, state, p)),
                      .data = r->blocks[i].states[k],
                      .rank = rank,
                      .replica = copy_of(r, p, at, state->residence)};
}

/* ---- what is not numbers of the device ---- */

/* A piece at a time, through the host's memory. */
static dn_status convert_bytes(dn_strategy_run *r, const dn_window_message *m, bool to_numbers)
{
    dn_real numbers[1024];
    unsigned char bytes[1024];
    dn_stream *s = r->parts.stream;
    for (size_t at = 0, n; at < m->message.n; at += n) {
        dn_bytes *place = dn_bytes_at(m->message.bytes, at);
        n = dn_min(m->message.n - at, sizeof bytes);
        if (to_numbers)
            dn_copy_bytes(s, bytes, place, n);
        else
            dn_download(s, numbers, dn_at(m->shown, at), n);
        DN_TRY(dn_stream_sync(s));
        for (size_t i = 0; i < n && to_numbers; i++)
            numbers[i] = bytes[i];
        for (size_t i = 0; i < n && !to_numbers; i++)
            bytes[i] = (unsigned char)numbers[i];
        if (to_numbers)
            dn_upload(s, dn_at(m->shown, at), numbers, n);
        else
            dn_copy_bytes(s, place, bytes, n);
        DN_TRY(dn_stream_sync(s));
    }
    return DN_OK;
}

/* A double in four numbers of sixteen bits, each of which a float holds. */
static dn_status convert_number(dn_strategy_run *r, size_t index, bool to_numbers)
{
    dn_real sixteens[4];
    uint64_t bits = 0;
    if (to_numbers) {
        memcpy(&bits, &r->numbers[index], sizeof bits);
        for (int i = 0; i < 4; i++)
            sixteens[i] = (dn_real)(bits >> 16 * i & 0xffff);
        dn_upload(r->parts.stream, dn_at(r->shown, 4 * index), sixteens, 4);
        return dn_stream_sync(r->parts.stream);
    }
    dn_download(r->parts.stream, sixteens, dn_at(r->shown, 4 * index), 4);
    DN_TRY(dn_stream_sync(r->parts.stream));
    for (int i = 0; i < 4; i++)
        bits |= (uint64_t)sixteens[i] << 16 * i;
    memcpy(&r->numbers[index], &bits, sizeof bits);
    return DN_OK;
}

static dn_status convert(dn_strategy_run *r, bool to_numbers)
{
    in_flight f;
    for (size_t i = 0; i < r->strategy->n_numbers; i++)
        DN_TRY(convert_number(r, i, to_numbers));
    for (size_t index = 0; (f = find_in_flight(r, index)).e; index++)
        if (f.e->messages[f.window].shown)
            DN_TRY(convert_bytes(r, &f.e->messages[f.window], to_numbers));
    return DN_OK;
}

dn_status dn_strategy_show(dn_strategy_run *r)
{
    return convert(r, true);
}

dn_status dn_strategy_restored(dn_strategy_run *r)
{
    return convert(r, false);
}
