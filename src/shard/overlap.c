#include "shard/overlap.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/size.h"

#include <assert.h>
#include <string.h>

dn_overlap dn_overlap_of(const dn_bucket *bucket)
{
    return (dn_overlap){.bucket = bucket};
}

void dn_overlap_end_part(dn_overlap *o, size_t lowest)
{
    assert(o->n_parts < DN_OVERLAP_PARTS_MAX);
    o->lowest[o->n_parts] = lowest;
    memcpy(o->ends[o->n_parts++], o->bucket->n, sizeof o->bucket->n);
}

static size_t numbers_of(const dn_param_state *ps)
{
    return ps->param->tensor.rows * ps->param->tensor.cols; /* of the whole: all ranks form the same parts */
}

dn_status dn_overlap_open(dn_overlap *o, dn_bucket *bucket, const dn_param_state *param_states, size_t n)
{
    size_t n_units = 0, all = 0, numbers = 0;
    *o = dn_overlap_of(bucket);
    for (size_t i = 0; i < n; i++) {
        n_units = dn_max(n_units, param_states[i].param->unit + 1);
        all += numbers_of(&param_states[i]);
    }
    for (size_t unit = n_units; unit-- > 0;) {
        for (size_t i = 0; i < n; i++) {
            const dn_param *p = param_states[i].param;
            if (p->unit != unit)
                continue;
            DN_TRY(dn_bucket_add(bucket, param_states[i].layout.slices, p->grad, p->block.rows, p->block.cols));
            numbers += numbers_of(&param_states[i]);
        }
        if (unit > 0 && numbers < all / DN_OVERLAP_PARTS_MAX + 1)
            continue;
        dn_overlap_end_part(o, unit);
        numbers = 0;
    }
    return DN_OK;
}

static dn_status begin_part(dn_overlap *o, dn_op op, dn_traffic kind)
{
    const dn_bucket *b = o->bucket;
    const size_t part = o->n_begun++;
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++) {
        const size_t first = part > 0 ? o->ends[part - 1][axes] : 0, end = o->ends[part][axes];
        const double ranks = dn_axes_size(b->mesh->size, axes);
        if (end == first)
            continue;
        DN_TRY(dn_comm_begin_reduce_to_owners(dn_mesh_comm(b->mesh, axes), b->items[axes] + first, end - first, b->type, op, kind,
                                              o->flags | (end < b->n[axes] ? DN_BEGIN_PART : 0), &o->exchanges[axes]));
        for (size_t i = first; i < end && o->n_begun < o->n_parts; i++)
            o->cluster_bytes += (ranks - 1) / ranks * (double)(b->items[axes][i].count * dn_type_bytes(b->type));
    }
    return DN_OK;
}

dn_status dn_overlap_begin(dn_overlap *o, size_t unit, dn_op op, dn_traffic kind)
{
    if (o->n_begun == 0) {
        o->begun_s = dn_clock_s();
        o->cluster_bytes = 0;
    }
    while (o->n_begun < o->n_parts && o->lowest[o->n_begun] >= unit)
        DN_TRY(begin_part(o, op, kind));
    return dn_overlap_advance(o);
}

dn_status dn_overlap_advance(const dn_overlap *o)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (o->n_begun > 0 && o->ends[o->n_begun - 1][axes] > 0)
            DN_TRY(dn_comm_advance(dn_mesh_comm(o->bucket->mesh, axes)));
    return DN_OK;
}

dn_status dn_overlap_finish(dn_overlap *o)
{
    const size_t n_begun = o->n_begun;
    o->n_begun = 0;
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (n_begun > 0 && o->ends[n_begun - 1][axes] > 0)
            DN_TRY(dn_comm_finish(dn_mesh_comm(o->bucket->mesh, axes), o->exchanges[axes]));
    return DN_OK;
}
