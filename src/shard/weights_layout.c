#include "shard/weights_layout.h"

#include "base/fail.h"
#include "base/size.h"
#include "comm/world.h"
#include "shard/param_address.h"

#include <assert.h>
#include <stdlib.h>

enum { LINE = 64 / sizeof(dn_real) }; /* elements; members of a team copy whole cache lines */

static size_t unit_end(const size_t *unit_of, size_t n_params, size_t first)
{
    size_t end = first;
    while (end < n_params && unit_of[end] == unit_of[first])
        end++;
    assert(end == n_params || unit_of[end] > unit_of[first]);
    return end;
}

dn_area dn_weights_area(const dn_param *params, size_t n_params, const size_t *unit_of, const int size[DN_N_AXES])
{
    const int unsharded[DN_N_AXES] = {size[DN_DP], 1, size[DN_TP]};
    dn_area most = {0};
    for (size_t first = 0, end; first < n_params; first = end) {
        dn_area room = {0};
        end = unit_end(unit_of, n_params, first);
        for (size_t i = first; i < end; i++) {
            size_t n = dn_param_max_size(&params[i], unsharded);
            room.weights = dn_size_add(room.weights, n);
            room.grads = dn_size_add(room.grads, params[i].frozen ? 0 : n);
        }
        most.weights = dn_max(most.weights, room.weights);
        most.grads = dn_max(most.grads, room.grads);
    }
    return most;
}

/* ---- teams ---- */

static bool is_in_copy_group(const dn_copy_group *copy_group, int member)
{
    int me = dn_comm_rank(copy_group->fs);
    if (copy_group->policy == DN_WEIGHTS_PER_DOMAIN)
        return dn_comm_domain(copy_group->fs, member) == dn_comm_domain(copy_group->fs, me);
    return copy_group->policy == DN_WEIGHTS_IN_PLACE || member == me;
}

dn_copy_group dn_copy_group_of(dn_comm *fs, dn_weights_policy policy)
{
    dn_copy_group copy_group = {.fs = fs, .policy = policy};
    for (int member = 0; member < dn_comm_size(fs); member++) {
        if (!is_in_copy_group(&copy_group, member))
            continue;
        copy_group.n++;
        if (member < dn_comm_rank(fs))
            copy_group.index++;
    }
    copy_group.everybody = copy_group.n == dn_comm_size(fs);
    return copy_group;
}

/* ---- the layout ---- */

/* What making a layout goes by. */
typedef struct maker {
    const dn_param *params;
    size_t n_params;
    const dn_mesh *mesh;
    const dn_copy_group *copy_group;
    const dn_weight_buffers *buffers;
    dn_area *at; /* [n_params, n_fs]: where the block of each owner starts in an area */
    dn_weights_layout *layout;
} maker;

static dn_block block_of(const maker *m, size_t i, int member)
{
    const int at[DN_N_AXES] = {m->mesh->at[DN_DP], member, m->mesh->at[DN_TP]};
    return dn_param_block(&m->params[i], m->mesh->size, at);
}

/* The blocks of all of fs together. */
static dn_block share_of(const maker *m, size_t i)
{
    const int size[DN_N_AXES] = {m->mesh->size[DN_DP], 1, m->mesh->size[DN_TP]};
    const int at[DN_N_AXES] = {m->mesh->at[DN_DP], 0, m->mesh->at[DN_TP]};
    return dn_param_block(&m->params[i], size, at);
}

static size_t index_of(const maker *m, size_t i, int member)
{
    return i * (size_t)m->layout->n_fs + (size_t)member;
}

/* Where each owner's part of a unit lies in an area. */
static void arrange(const maker *m, size_t unit)
{
    dn_unit *u = &m->layout->units[unit];
    u->all_frozen = true;
    for (int member = 0; member < m->layout->n_fs; member++) {
        const dn_area start = u->whole;
        for (size_t i = u->first; i < u->end; i++) {
            size_t n = dn_block_size(block_of(m, i, member));
            m->at[index_of(m, i, member)] = u->whole;
            u->whole.weights += n;
            u->whole.grads += m->params[i].frozen ? 0 : n;
            u->all_frozen = u->all_frozen && m->params[i].frozen;
        }
        m->layout->owned[index_of(m, unit, member)] =
            (dn_owned){dn_at(m->buffers->staging, start.grads), u->whole.grads - start.grads, member};
        if (member == m->mesh->at[DN_FS])
            u->own = u->whole.weights - start.weights;
    }
}

/* What `member` owns of params first .. end-1, whose blocks of it lie below each other. row0: where the share
 * of the first of them starts in its stack. */
static void add_block(const maker *m, dn_weight *weight, size_t first, size_t end, size_t row0, size_t unit,
                      int member)
{
    const int at[DN_N_AXES] = {m->mesh->at[DN_DP], member, m->mesh->at[DN_TP]};
    const dn_block own = block_of(m, first, member), share = share_of(m, first);
    dn_block block = {row0 + own.row0 - share.row0, 0, own.col0 - share.col0, own.cols};
    for (size_t i = first; i < end; i++)
        block.rows += block_of(m, i, member).rows;
    size_t n = dn_block_size(block);
    if (n == 0)
        return;
    const dn_buf *address = dn_param_address(m->mesh->size, m->params, first, false, at);
    const dn_area place = m->at[index_of(m, first, member)];
    const dn_home home = {.chunk = dn_comm_chunk_of(address, n * sizeof(dn_real)),
                          .member = member,
                          .copied = !is_in_copy_group(m->copy_group, member),
                          .frozen = m->params[first].frozen};
    const dn_weight_block wb = {.block = block,
                                .weight = home.copied ? dn_at(m->buffers->copies[unit % 2], place.weights) : address,
                                .grad = m->layout->n_fs == 1 || m->params[first].frozen
                                            ? m->params[first].grad
                                            : dn_at(m->buffers->staging, place.grads)};
    if (home.copied) { /* this rank's share of bringing it from its owner to the team's copy */
        dn_range mine = dn_shard_range(n, LINE, m->copy_group->n, m->copy_group->index);
        size_t bytes = (mine.end - mine.first) * sizeof(dn_real);
        if (bytes > 0)
            m->layout->copies[m->layout->n_copies++] = (dn_copy){
                dn_at(wb.weight, mine.first), dn_comm_chunk_of(dn_at(address, mine.first), bytes), member, home.frozen};
    }
    m->layout->homes[m->layout->n_blocks] = home;
    m->layout->blocks[m->layout->n_blocks++] = wb;
    weight->n_blocks++;
}

/* A stack whose parameters are cut in rows, or lie apart, has blocks of each; otherwise a member's blocks of all of
 * them are one block of columns. */
static void add_stack(const maker *m, size_t first, size_t end, size_t unit)
{
    dn_weights_layout *layout = m->layout;
    dn_weight *weight = &layout->weights[first];
    bool by_rows = layout->n_fs > 1 && dn_sharding_axes(m->params[first].tensor.row_sharding) == DN_AXIS(DN_FS);
    size_t step = by_rows || m->params[first].apart ? 1 : end - first;
    weight->blocks = &layout->blocks[layout->n_blocks];
    weight->cols = share_of(m, first).cols;
    for (size_t i = first; i < end; i++)
        weight->rows += share_of(m, i).rows;
    for (int member = 0; member < layout->n_fs; member++)
        for (size_t i = first, row0 = 0; i < end; i += step) {
            add_block(m, weight, i, i + step, row0, unit, member);
            row0 += share_of(m, i).rows;
        }
}

static dn_status take_arrays(maker *m, size_t n_units)
{
    dn_weights_layout *layout = m->layout;
    size_t n_fs = (size_t)layout->n_fs, n_blocks = m->n_params * n_fs;
    layout->n_units = n_units;
    layout->units = calloc(n_units, sizeof *layout->units);
    layout->owned = calloc(n_units * n_fs, sizeof *layout->owned);
    layout->weights = calloc(m->n_params, sizeof *layout->weights);
    layout->blocks = calloc(n_blocks, sizeof *layout->blocks);
    layout->homes = calloc(n_blocks, sizeof *layout->homes);
    layout->copies = calloc(n_blocks, sizeof *layout->copies);
    m->at = calloc(n_blocks, sizeof *m->at);
    if (layout->units && layout->owned && layout->weights && layout->blocks && layout->homes &&
        layout->copies && m->at)
        return DN_OK;
    return dn_fail(DN_ERR_MEMORY, "no memory to describe %zu sharded weights", m->n_params);
}

static void fill(const maker *m, const size_t *unit_of)
{
    dn_weights_layout *layout = m->layout;
    for (size_t first = 0, end; first < m->n_params; first = end) {
        end = unit_end(unit_of, m->n_params, first);
        dn_unit *unit = &layout->units[unit_of[first]];
        *unit = (dn_unit){
            .first = first, .end = end, .first_piece = layout->n_blocks, .first_copy = layout->n_copies};
        arrange(m, unit_of[first]);
        for (size_t i = first, next; i < end; i = next) {
            assert(m->params[i].stack == 0);
            next = i + 1;
            while (next < end && m->params[next].stack == next - i)
                next++;
            add_stack(m, i, next, unit_of[first]);
        }
        unit->n_blocks = layout->n_blocks - unit->first_piece;
        unit->n_copies = layout->n_copies - unit->first_copy;
    }
}

dn_status dn_weights_layout_make(const dn_param *params, size_t n_params, const size_t *unit_of,
                                 const dn_mesh *mesh, const dn_copy_group *copy_group,
                                 const dn_weight_buffers *buffers, dn_weights_layout *layout)
{
    maker m = {params, n_params, mesh, copy_group, buffers, NULL, layout};
    *layout = (dn_weights_layout){.n_fs = mesh->size[DN_FS]};
    dn_status status = take_arrays(&m, unit_of[n_params - 1] + 1);
    if (status == DN_OK)
        fill(&m, unit_of);
    free(m.at);
    return status;
}

void dn_weights_layout_free(dn_weights_layout *layout)
{
    free(layout->units);
    free(layout->owned);
    free(layout->weights);
    free(layout->blocks);
    free(layout->homes);
    free(layout->copies);
}
