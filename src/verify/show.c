/* What an operation shows. */
#include "verify/inside.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE_BYTES = 16 << 10 }; /* of a broadcast that bits are compared with */

void *dn_verify_grow(void *array, size_t n, size_t *capacity, size_t element)
{
    if (n < *capacity)
        return array;
    size_t more = *capacity ? 2 * *capacity : 16;
    void *larger = realloc(array, more * element);
    if (!larger)
        return NULL;
    *capacity = more;
    return larger;
}

dn_status dn_verify_no_memory(void)
{
    return dn_fail(DN_ERR_MEMORY, "no memory for the results of a comparison");
}

bool dn_verify_rounding(const dn_verify *v)
{
    return v->rounding;
}

/* ---- records ---- */

static dn_status check_name(const char *what, const char *name, size_t longest)
{
    if (!name || !*name || strlen(name) >= longest)
        return dn_fail(DN_ERR_ARG, "the %s '%s' of something to verify has no length from 1 to %zu", what,
                       name ? name : "", longest - 1);
    return DN_OK;
}

static dn_status fill(dn_observation *record, dn_verify_kind kind, const char *line, const char *name)
{
    DN_TRY(check_name("line", line, sizeof record->line));
    DN_TRY(check_name("name", name, sizeof record->tensor.name));
    *record = (dn_observation){.kind = kind, .original = -1};
    strcpy(record->line, line);
    strcpy(record->tensor.name, name);
    return DN_OK;
}

static dn_status add(dn_verify *v, const dn_observation *record)
{
    dn_observation *records = dn_verify_grow(v->records, v->n_records, &v->capacity, sizeof *records);
    if (!records)
        return dn_verify_no_memory();
    v->records = records;
    records[v->n_records++] = *record;
    return DN_OK;
}

/* ---- compared with the reference ---- */

/* The original of a block that the reference shows; a new one gets its place. */
static dn_status original_of(dn_verify *v, dn_observation *record)
{
    record->original = dn_reference_find(&v->reference, record->line, record->tensor.name);
    if (!v->is_reference || record->original >= 0)
        return DN_OK;
    dn_original original = {.kind = record->kind, .tensor = record->tensor, .weighted = record->weighted};
    memcpy(original.line, record->line, sizeof original.line);
    if (record->kind == DN_VERIFY_BLOCK)
        dn_reference_place(&v->reference, &original);
    DN_TRY(dn_reference_add(&v->reference, &original));
    record->original = (int)v->reference.n - 1;
    return DN_OK;
}

static bool is_first_copy(const dn_mesh *mesh, unsigned replicated)
{
    bool first = true;
    for (int axis = 0; axis < DN_N_AXES; axis++)
        first = first && !(mesh->at[axis] > 0 && replicated & DN_AXIS(axis));
    return first;
}

/* Holds a block against its original, or makes it one. */
static void compare(dn_verify *v, dn_observation *record, const void *data, const double *weights)
{
    const dn_original *original = &v->reference.all[record->original];
    record->home = original->home;
    record->at = original->at;
    const dn_tensor *a = &original->tensor, *b = &record->tensor;
    if (original->kind != DN_VERIFY_BLOCK || a->rows != b->rows || a->cols != b->cols || a->type != b->type)
        record->wrong = DN_WRONG_SHAPE;
    else if (!v->is_reference)
        record->value = dn_reference_difference(&v->reference, original, &record->block, data);
    else if (dn_reference_fits(&v->reference) && is_first_copy(v->mesh, record->replicated))
        record->value = dn_reference_write(&v->reference, original, &record->block, data, weights);
}

dn_status dn_verify_block(dn_verify *v, const dn_verify_tensor *tensor, dn_block block, const void *data)
{
    dn_observation record;
    DN_TRY(fill(&record, DN_VERIFY_BLOCK, tensor->line, tensor->tensor.name));
    record.tensor = tensor->tensor;
    record.replicated = tensor->replicated;
    record.weighted = tensor->column_weights != NULL;
    record.block = block = dn_plant_block(&v->plant, block);
    if (!dn_block_is_within(block, tensor->tensor.rows, tensor->tensor.cols))
        record.wrong = DN_WRONG_PLACE;
    DN_TRY(original_of(v, &record));
    if (record.original < 0)
        record.wrong = DN_WRONG_UNKNOWN;
    else if (record.wrong == DN_WRONG_NOTHING)
        compare(v, &record, data, tensor->column_weights);
    return add(v, &record);
}

static size_t count_shown(const dn_verify *v, dn_verify_kind kind, const char *line)
{
    size_t n = 0;
    for (size_t i = 0; i < v->n_records; i++)
        n += v->records[i].kind == kind && strcmp(v->records[i].line, line) == 0;
    return n;
}

dn_status dn_verify_scalar(dn_verify *v, const char *line, double value)
{
    dn_observation record;
    char name[32];
    snprintf(name, sizeof name, "value %zu", line ? count_shown(v, DN_VERIFY_SCALAR, line) + 1 : 0);
    DN_TRY(fill(&record, DN_VERIFY_SCALAR, line, name));
    record.value = value;
    DN_TRY(original_of(v, &record));
    if (record.original < 0)
        record.wrong = DN_WRONG_UNKNOWN;
    return add(v, &record);
}

/* ---- held among ranks ---- */

static size_t first_difference(const char *a, const char *b, size_t bytes)
{
    size_t i = 0;
    while (i < bytes && a[i] == b[i])
        i++;
    return i;
}

/* The first byte that differs from the first member's; `bytes` if none does. */
static dn_status compare_bits(dn_comm *group, const char *data, size_t bytes, size_t *differs)
{
    char piece[PIECE_BYTES];
    *differs = bytes;
    for (size_t at = 0; at < bytes; at += PIECE_BYTES) {
        size_t some = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        memcpy(piece, data + at, some);
        DN_TRY(dn_comm_broadcast(group, piece, some, 0, DN_TRAFFIC_CONTROL));
        if (*differs == bytes && memcmp(piece, data + at, some) != 0)
            *differs = at + first_difference(piece, data + at, some);
    }
    return DN_OK;
}

dn_status dn_verify_same(dn_verify *v, const char *line, const char *name, dn_comm *group, const void *data,
                         size_t bytes)
{
    dn_observation record;
    double sizes[2] = {(double)bytes, -(double)bytes};
    size_t differs = 0;
    DN_TRY(fill(&record, DN_VERIFY_SAME, line, name));
    DN_TRY(dn_comm_all_reduce_scalars(group, sizes, 2, DN_MAX));
    if (sizes[0] != -sizes[1]) {
        record.wrong = DN_WRONG_BYTES;
    } else {
        DN_TRY(compare_bits(group, data, bytes, &differs));
        record.wrong = differs < bytes ? DN_WRONG_BITS : DN_WRONG_NOTHING;
    }
    record.counted = differs;
    record.expected = bytes;
    return add(v, &record);
}

/* ---- numbers of a rank ---- */

dn_status dn_verify_bytes(dn_verify *v, const char *line, uint64_t counted, uint64_t expected, double cluster)
{
    dn_observation record;
    DN_TRY(fill(&record, DN_VERIFY_BYTES, line, "bytes"));
    record.counted = counted;
    record.expected = expected;
    record.cluster = cluster;
    return add(v, &record);
}

dn_status dn_verify_hops(dn_verify *v, const char *line, uint64_t counted, uint64_t expected)
{
    dn_observation record;
    DN_TRY(fill(&record, DN_VERIFY_HOPS, line, "hops"));
    record.counted = counted;
    record.expected = expected;
    return add(v, &record);
}

dn_status dn_verify_amount(dn_verify *v, const char *line, uint64_t bytes)
{
    dn_observation record;
    DN_TRY(fill(&record, DN_VERIFY_AMOUNT, line, "bytes"));
    record.counted = bytes;
    return add(v, &record);
}
