#include "shard/bucket.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

static dn_status grow(dn_bucket *bucket, unsigned axes, size_t more)
{
    size_t needed = bucket->n[axes] + more;
    if (needed <= bucket->capacity[axes])
        return DN_OK;
    size_t capacity = 2 * needed;
    dn_owned *items = realloc(bucket->items[axes], capacity * sizeof *items);
    if (!items)
        return dn_fail(DN_ERR_MEMORY, "no memory for a list of %zu shares", capacity);
    bucket->items[axes] = items;
    bucket->capacity[axes] = capacity;
    return DN_OK;
}

dn_status dn_bucket_add(dn_bucket *bucket, unsigned axes, void *x, size_t rows, size_t cols)
{
    int members = dn_axes_size(bucket->mesh->size, axes);
    if (members == 1)
        return DN_OK;
    DN_TRY(grow(bucket, axes, (size_t)members));
    for (int k = 0; k < members; k++) {
        dn_range part = dn_shard_range(rows, 1, members, k);
        size_t count = dn_range_size(part) * cols;
        if (count)
            bucket->items[axes][bucket->n[axes]++] =
                (dn_owned){(char *)x + part.first * cols * dn_type_bytes(bucket->type), count, k};
    }
    return DN_OK;
}

void dn_bucket_reset(dn_bucket *bucket)
{
    memset(bucket->n, 0, sizeof bucket->n);
}

void dn_bucket_clear(dn_bucket *bucket)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        free(bucket->items[axes]);
    *bucket = (dn_bucket){0};
}

dn_status dn_bucket_reduce(const dn_bucket *bucket, dn_op op, dn_traffic kind)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (bucket->n[axes])
            DN_TRY(dn_comm_reduce_to_owners(dn_mesh_comm(bucket->mesh, axes), bucket->items[axes],
                                            bucket->n[axes], bucket->type, op, kind));
    return DN_OK;
}

dn_status dn_bucket_gather(const dn_bucket *bucket, dn_traffic kind)
{
    for (unsigned axes = 0; axes <= DN_ALL_AXES; axes++)
        if (bucket->n[axes])
            DN_TRY(dn_comm_gather_from_owners(dn_mesh_comm(bucket->mesh, axes), bucket->items[axes],
                                              bucket->n[axes], bucket->type, kind));
    return DN_OK;
}
