#include "shard/weights.h"

#include "base/arena.h"
#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "comm/world.h"
#include "compute/kernels.h"
#include "shard/weights_layout.h"

#include <assert.h>
#include <stdlib.h>

struct dn_weights {
    const dn_param *params; /* borrowed */
    dn_stream *stream;      /* borrowed */
    dn_comm *fs;            /* borrowed */
    dn_copy_group copy_group;
    dn_weights_layout layout;
    dn_weight_buffers buffers;
    void *private_copies; /* both areas of copies, where they are this rank's alone; owned */
    size_t private_bytes;
    void *narrow; /* dn_weights_narrow: of all units; dn_weights_narrow_units: of the open one; owned */
    size_t narrow_bytes;
    bool narrows_units, tied; /* dn_weights_narrow_units */
    dn_prefetch *prefetch; /* NULL: nothing is copied */
    ptrdiff_t behind;      /* dn_weights_read_behind */
    size_t last;           /* the unit opened last; SIZE_MAX: none yet */
    bool last_backward;
    bool is_open;
};

/* ---- how much ---- */

dn_weights_memory dn_weights_memory_of(const dn_param *params, size_t n_params, const size_t *unit_of,
                                       const int size[DN_N_AXES], dn_weights_policy policy)
{
    dn_weights_memory memory = {0};
    for (size_t i = 0; i < n_params; i++) {
        size_t bytes = dn_size_mul(dn_param_max_size(&params[i], size), sizeof(dn_real));
        memory.weights = dn_size_add(memory.weights, bytes);
        memory.grads = dn_size_add(memory.grads, params[i].frozen ? 0 : bytes);
    }
    if (size[DN_FS] == 1)
        return memory;
    const dn_area area = dn_weights_area(params, n_params, unit_of, size);
    memory.staging = dn_size_mul(area.grads, sizeof(dn_real));
    memory.copies = policy == DN_WEIGHTS_IN_PLACE ? 0 : dn_size_mul(2 * sizeof(dn_real), area.weights);
    return memory;
}

size_t dn_weights_heap_bytes(const dn_param *params, size_t n_params, const size_t *unit_of,
                             const int size[DN_N_AXES], dn_weights_policy policy)
{
    dn_weights_memory memory = dn_weights_memory_of(params, n_params, unit_of, size, policy);
    dn_arena heap = {0};
    dn_arena_take(&heap, memory.staging);
    if (policy == DN_WEIGHTS_PER_DOMAIN)
        dn_arena_take(&heap, memory.copies);
    return heap.used;
}

/* Blocks begin at whole 16 bytes, as products want them. */
enum { NARROW_UNIT = 8 };

static size_t narrow_size(size_t elements)
{
    return (elements + NARROW_UNIT - 1) / NARROW_UNIT * NARROW_UNIT;
}

size_t dn_weights_narrow_bytes(const dn_param *params, size_t n_params, const size_t *unit_of, const int size[DN_N_AXES])
{
    size_t n_blocks = dn_size_mul(n_params, (size_t)size[DN_FS]), area = dn_weights_area(params, n_params, unit_of, size).weights;
    return dn_size_mul(dn_size_add(area, dn_size_mul(n_blocks, NARROW_UNIT)), sizeof(uint16_t));
}

/* ---- making ---- */

static dn_status make(dn_weights *w, size_t n_params, const size_t *unit_of, const dn_mesh *mesh)
{
    void *staging, *copies = NULL;
    dn_weights_memory memory =
        dn_weights_memory_of(w->params, n_params, unit_of, mesh->size, w->copy_group.policy);
    for (size_t i = 0; i < n_params && mesh->size[DN_FS] > 1; i++) /* each element has one owner */
        if (!((dn_sharding_axes(w->params[i].tensor.row_sharding) ^
               dn_sharding_axes(w->params[i].tensor.col_sharding)) &
              DN_AXIS(DN_FS)))
            return dn_fail(DN_ERR_ARG, "%s: cut its rows or its columns along fs to share it over fs",
                           w->params[i].tensor.name);
    if (mesh->size[DN_FS] > 1) {
        DN_TRY(dn_comm_alloc_device(mesh->root, memory.staging, &staging));
        w->buffers.staging = staging;
        /* Copies of two units. A domain's lie in the heap of its first member; the others have the same room,
         * because heaps are symmetric, and leave it alone. */
        if (w->copy_group.policy == DN_WEIGHTS_PER_DOMAIN) {
            DN_TRY(dn_comm_alloc_device(mesh->root, memory.copies, &copies));
            copies = dn_comm_domain_copy(w->fs, copies);
        } else if (w->copy_group.policy == DN_WEIGHTS_PER_RANK) {
            DN_TRY(dn_device_alloc(w->stream, memory.copies, &w->private_copies));
            w->private_bytes = memory.copies;
            copies = w->private_copies;
        }
        w->buffers.copies[0] = copies;
        w->buffers.copies[1] = copies ? dn_at(copies, memory.copies / sizeof(dn_real) / 2) : NULL;
    }
    DN_TRY(
        dn_weights_layout_make(w->params, n_params, unit_of, mesh, &w->copy_group, &w->buffers, &w->layout));
    return w->copy_group.everybody ? DN_OK : dn_prefetch_create(w->fs, &w->prefetch);
}

dn_status dn_weights_create(const dn_param *params, size_t n_params, const size_t *unit_of,
                            const dn_mesh *mesh, dn_weights_policy policy, dn_stream *stream,
                            dn_weights **out)
{
    dn_weights *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w)
        return dn_fail(DN_ERR_MEMORY, "no memory for sharded weights");
    w->params = params;
    w->stream = stream;
    w->fs = dn_mesh_comm(mesh, DN_AXIS(DN_FS));
    w->copy_group = dn_copy_group_of(w->fs, dn_comm_reaches_peers(w->fs) ? policy : DN_WEIGHTS_PER_RANK);
    w->last = SIZE_MAX;
    dn_status status = make(w, n_params, unit_of, mesh);
    if (status == DN_OK)
        *out = w;
    else
        dn_weights_destroy(&w);
    return status;
}

void dn_weights_destroy(dn_weights **weights)
{
    dn_weights *w = *weights;
    if (!w)
        return;
    dn_prefetch_destroy(&w->prefetch);
    if (w->private_copies)
        dn_device_free(w->stream, w->private_copies, w->private_bytes);
    if (w->narrow)
        dn_device_free(w->stream, w->narrow, w->narrow_bytes);
    dn_weights_layout_free(&w->layout);
    free(w);
    *weights = NULL;
}

/* ---- in bfloat16 ---- */

static bool is_factor(const dn_weights *w, size_t i, bool tied)
{
    dn_param_kind kind = w->params[i].kind;
    return kind == DN_PARAM_MATRIX || kind == DN_PARAM_HEAD || (kind == DN_PARAM_EMBEDDING && i == 0 && tied);
}

dn_status dn_weights_narrow(dn_weights *w, bool tied, bool *rounded)
{
    const dn_kernels *kernels = w->stream->kernels;
    size_t n_params = w->layout.units[w->layout.n_units - 1].end, elements = 0;
    assert(w->layout.n_fs == 1 && !w->narrow);
    for (size_t i = 0; i < n_params; i++)
        elements += is_factor(w, i, tied) ? dn_param_size(&w->params[i]) : 0;
    w->narrow_bytes = dn_size_mul(elements, sizeof(uint16_t));
    dn_status status = dn_device_alloc(w->stream, w->narrow_bytes, &w->narrow);
    if (status != DN_OK)
        return dn_fail(status, "weights in bfloat16, beside those in float: %s", dn_error_message());
    dn_bf16 *narrow = w->narrow;
    *rounded = false;
    for (size_t i = 0; i < n_params; i++)
        for (size_t b = 0; is_factor(w, i, tied) && b < w->layout.weights[i].n_blocks; b++) {
            dn_weight_block *block = &w->layout.blocks[w->layout.weights[i].blocks + b - w->layout.blocks];
            size_t n = dn_block_size(block->block);
            dn_buf *weight = dn_at(block->weight, 0);
            double lost = 0;
            kernels->to_bf16(w->stream, narrow, weight, n);
            kernels->add_bf16(w->stream, weight, -1, narrow, n);
            kernels->sum_squares(w->stream, &lost, weight, n);
            kernels->from_bf16(w->stream, weight, narrow, n);
            DN_TRY(dn_stream_sync(w->stream));
            *rounded = *rounded || lost != 0;
            block->narrow = narrow;
            narrow = dn_bf16_at(narrow, n);
        }
    return DN_OK;
}

/* Where the copies of a unit's blocks end, which begin with w->narrow, if that is there. */
static size_t place_narrow(dn_weights *w, const dn_unit *u)
{
    size_t end = 0;
    for (size_t i = u->first; i < u->end; i++)
        for (size_t b = 0; is_factor(w, i, w->tied) && b < w->layout.weights[i].n_blocks; b++) {
            dn_weight_block *block = &w->layout.blocks[w->layout.weights[i].blocks + b - w->layout.blocks];
            if (w->narrow)
                block->narrow = dn_bf16_at(w->narrow, end);
            end += narrow_size(dn_block_size(block->block));
        }
    return end;
}

dn_status dn_weights_narrow_units(dn_weights *w, bool tied)
{
    assert(!w->narrow && !w->is_open);
    size_t most = 0;
    w->tied = tied;
    for (size_t unit = 0; unit < w->layout.n_units; unit++)
        most = dn_max(most, place_narrow(w, &w->layout.units[unit]));
    w->narrow_bytes = dn_size_mul(most, sizeof(uint16_t));
    dn_status status = dn_device_alloc(w->stream, w->narrow_bytes, &w->narrow);
    if (status != DN_OK)
        return dn_fail(status, "weights of a unit in bfloat16, beside those in float: %s", dn_error_message());
    for (size_t unit = 0; unit < w->layout.n_units; unit++)
        place_narrow(w, &w->layout.units[unit]);
    w->narrows_units = true;
    return DN_OK;
}

/* In the place of the unit before. */
static void narrow_unit(dn_weights *w, const dn_unit *u)
{
    for (size_t i = u->first_piece; i < u->first_piece + u->n_blocks; i++) {
        const dn_weight_block *block = &w->layout.blocks[i];
        if (block->narrow)
            w->stream->kernels->to_bf16(w->stream, (dn_bf16 *)block->narrow, block->weight, dn_block_size(block->block));
    }
}

/* ---- opening ---- */

static dn_status barrier(dn_weights *w)
{
    DN_TRY(dn_stream_sync(w->stream));
    return dn_comm_barrier(w->fs);
}

static void begin_copying(dn_weights *w, size_t unit)
{
    const dn_unit *u = &w->layout.units[unit];
    if (w->prefetch)
        dn_prefetch_begin(w->prefetch, w->layout.copies + u->first_copy, u->n_copies,
                          dn_event_record(w->stream));
}

static void finish_copying(dn_weights *w)
{
    if (w->prefetch)
        dn_prefetch_wait(w->prefetch, w->stream);
}

dn_status dn_weights_unshard(dn_weights *w, size_t unit, bool backward)
{
    const dn_unit *u = &w->layout.units[unit];
    assert(unit < w->layout.n_units && !w->is_open);
    if (dn_comm_size(w->fs) > 1) {
        /* The unit after the one opened last has been fetched in advance. If a pass was left early, what was
         * may be older than what owners have written since. */
        size_t next = backward ? w->last - 1 : w->last + 1;
        bool follows = w->last != SIZE_MAX && w->last_backward == backward && unit == next;
        bool copies_are_shared = w->prefetch && w->copy_group.policy == DN_WEIGHTS_PER_DOMAIN;
        if (!follows) {
            finish_copying(w);
            DN_TRY(barrier(w));
            begin_copying(w, unit);
        }
        finish_copying(w);
        if (copies_are_shared || (backward && follows))
            DN_TRY(barrier(w));
        /* Everybody has closed the unit before, whose copy and whose staging area may be overwritten, and the
         * copies of this one are complete. */
        if (backward && unit > 0)
            begin_copying(w, unit - 1);
        if (!backward && unit + 1 < w->layout.n_units)
            begin_copying(w, unit + 1);
        if (backward)
            w->stream->kernels->fill(w->stream, w->buffers.staging, u->whole.grads, 0.0);

        /* What other members own is readable. It counts here, copied or not. */
        dn_comm_count_in_place(w->fs, DN_ALL_GATHER, u->own * sizeof(dn_real), u->whole.weights * sizeof(dn_real),
                               DN_TRAFFIC_WEIGHTS);
        for (size_t i = u->first_piece; i < u->first_piece + u->n_blocks; i++) {
            const dn_home *home = &w->layout.homes[i];
            if (home->copied)
                dn_comm_count_fetched(w->fs, home->chunk.bytes, home->member, DN_TRAFFIC_WEIGHTS);
            else
                w->layout.blocks[i].weight =
                    dn_comm_view(w->fs, home->chunk, home->member, DN_TRAFFIC_WEIGHTS);
        }
    }
    if (w->narrows_units)
        narrow_unit(w, u);
    w->last = unit;
    w->last_backward = backward;
    w->is_open = true;
    return DN_OK;
}

/* Where weights are read from a copy, the copy stays, and is made of other weights. */
void dn_weights_read_behind(dn_weights *w, ptrdiff_t bytes)
{
    ptrdiff_t by = bytes - w->behind;
    assert(!w->is_open && (!w->narrow || w->narrows_units));
    if (by == 0)
        return;
    w->behind = bytes;
    finish_copying(w); /* of a pass that was left early */
    w->last = SIZE_MAX;
    for (size_t i = 0; i < w->layout.n_blocks; i++) {
        dn_home *home = &w->layout.homes[i];
        const char *weight = (const char *)home->chunk.p + by;
        if (home->frozen)
            continue;
        home->chunk.p = weight;
        if (!home->copied)
            w->layout.blocks[i].weight = (const dn_buf *)weight;
    }
    for (size_t i = 0; i < w->layout.n_copies; i++)
        if (!w->layout.copies[i].frozen)
            w->layout.copies[i].from.p = (const char *)w->layout.copies[i].from.p + by;
}

const dn_weight *dn_weights_of(const dn_weights *w, size_t first_param)
{
    const dn_unit *u = &w->layout.units[w->last];
    assert(w->is_open && first_param >= u->first && first_param < u->end);
    assert(w->params[first_param].stack == 0);
    (void)u;
    return &w->layout.weights[first_param];
}

/* ---- closing ---- */

dn_status dn_weights_reshard(dn_weights *w, size_t unit, bool backward)
{
    size_t n_fs = (size_t)w->layout.n_fs;
    const dn_unit *u = &w->layout.units[unit];
    const dn_owned *owned = w->layout.owned + unit * n_fs;
    assert(w->is_open && unit == w->last && backward == w->last_backward);
    w->is_open = false;
    if (n_fs == 1 || !backward || u->all_frozen)
        return DN_OK;
    DN_TRY(dn_stream_sync(w->stream));
    DN_TRY(dn_comm_reduce_to_owners(w->fs, owned, n_fs, DN_REAL, DN_AVG, DN_TRAFFIC_GRADIENT));
    const dn_buf *mean = owned[dn_comm_rank(w->fs)].buffer; /* the unit's blocks, one after another */
    for (size_t i = u->first; i < u->end; i++) {
        size_t n = w->params[i].frozen ? 0 : dn_param_size(&w->params[i]);
        if (n > 0)
            w->stream->kernels->axpby(w->stream, w->params[i].grad, 1.0, mean, 1.0, n);
        mean = dn_at(mean, n);
    }
    return DN_OK;
}
