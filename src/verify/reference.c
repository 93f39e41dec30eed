/* The reference's tensors: written by the ranks that make them into the heaps of all, read in place. */
#include "verify/inside.h"

#include "base/fail.h"

#include <stdlib.h>
#include <string.h>

enum { CHUNK = 256 }; /* numbers that are converted at once */

dn_status dn_reference_init(dn_reference *reference, dn_comm *world, size_t store_bytes)
{
    void *store;
    *reference = (dn_reference){.world = world, .store_bytes = store_bytes};
    DN_TRY(dn_comm_alloc(world, store_bytes, &store));
    reference->store = store;
    reference->used = calloc((size_t)dn_comm_size(world), sizeof *reference->used);
    return reference->used ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory for the table of a reference");
}

void dn_reference_free(dn_reference *reference)
{
    free(reference->used);
    free(reference->all);
    *reference = (dn_reference){0};
}

void dn_reference_clear(dn_reference *reference)
{
    reference->n = reference->last = 0;
    memset(reference->used, 0, (size_t)dn_comm_size(reference->world) * sizeof *reference->used);
}

/* Operations show their tensors in the same order on every mesh: the one behind the last is tried first. */
int dn_reference_find(dn_reference *reference, const char *line, const char *name)
{
    for (size_t tried = 0; tried < reference->n; tried++) {
        size_t i = (reference->last + 1 + tried) % reference->n;
        const dn_original *original = &reference->all[i];
        if (strcmp(original->tensor.name, name) == 0 && strcmp(original->line, line) == 0) {
            reference->last = i;
            return (int)i;
        }
    }
    return -1;
}

dn_status dn_reference_add(dn_reference *reference, const dn_original *original)
{
    dn_original *all =
        dn_verify_grow(reference->all, reference->n, &reference->capacity, sizeof *reference->all);
    if (!all)
        return dn_verify_no_memory();
    reference->all = all;
    reference->last = reference->n;
    all[reference->n++] = *original;
    return DN_OK;
}

/* ---- room ---- */

/* Bytes in the store, where the next thing begins. */
static size_t room_of(size_t n, size_t element)
{
    return (n * element + 63) / 64 * 64;
}

static size_t room_of_tensor(const dn_tensor *t)
{
    return room_of(t->rows * t->cols, dn_type_bytes(t->type));
}

void dn_reference_place(dn_reference *reference, dn_original *original)
{
    const dn_tensor *t = &original->tensor;
    original->home = 0;
    for (int rank = 1; rank < dn_comm_size(reference->world); rank++)
        if (reference->used[rank] < reference->used[original->home])
            original->home = rank;
    original->at = reference->used[original->home];
    reference->used[original->home] +=
        room_of_tensor(t) + (original->weighted ? room_of(t->cols, sizeof(double)) : 0);
}

size_t dn_reference_needs(const dn_reference *reference)
{
    size_t most = 0;
    for (int rank = 0; rank < dn_comm_size(reference->world); rank++)
        most = reference->used[rank] > most ? reference->used[rank] : most;
    return most;
}

bool dn_reference_fits(const dn_reference *reference)
{
    return dn_reference_needs(reference) <= reference->store_bytes;
}

/* ---- numbers ---- */

/* Where it lies with original->home. */
static char *row_of(const dn_reference *reference, const dn_original *original, const dn_block *block,
                    size_t row)
{
    size_t element = (block->row0 + row) * original->tensor.cols + block->col0;
    return reference->store + original->at + element * dn_type_bytes(original->tensor.type);
}

/* Likewise, of the columns of a block. */
static double *weights_of(const dn_reference *reference, const dn_original *original, const dn_block *block)
{
    return (double *)(void *)(reference->store + original->at + room_of_tensor(&original->tensor)) + block->col0;
}

static double from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return (double)value;
}

/* n elements from element `first` of a row, as doubles. */
static void load(dn_type type, const void *row, size_t first, size_t n, double *out)
{
    for (size_t i = 0; i < n; i++) {
        switch (type) {
        case DN_F32:
            out[i] = (double)((const float *)row)[first + i];
            break;
        case DN_F64:
            out[i] = ((const double *)row)[first + i];
            break;
        case DN_BF16:
            out[i] = from_bf16(((const uint16_t *)row)[first + i]);
            break;
        case DN_I32:
            out[i] = (double)((const int32_t *)row)[first + i];
            break;
        default:
            out[i] = (double)((const int64_t *)row)[first + i];
            break;
        }
    }
}

/* Sum of squares of a row, minus another one, times weights, unless these are NULL. */
static double row_squares(dn_type type, const void *x, const void *minus, const double *weights, size_t n)
{
    double a[CHUNK], b[CHUNK] = {0}, sum = 0;
    for (size_t at = 0; at < n; at += CHUNK) {
        size_t some = n - at < CHUNK ? n - at : CHUNK;
        load(type, x, at, some, a);
        if (minus)
            load(type, minus, at, some, b);
        for (size_t i = 0; i < some; i++) {
            double off = (a[i] - b[i]) * (weights ? weights[at + i] : 1);
            sum += off * off;
        }
    }
    return sum;
}

double dn_reference_write(dn_reference *reference, const dn_original *original, const dn_block *block,
                          const void *data, const double *weights)
{
    size_t row_bytes = block->cols * dn_type_bytes(original->tensor.type);
    double sum = 0;
    if (weights)
        dn_comm_put(reference->world, weights_of(reference, original, block), weights + block->col0,
                    block->cols * sizeof *weights, original->home, DN_TRAFFIC_CONTROL);
    const size_t together = block->cols == original->tensor.cols ? block->rows : 1; /* at once: a rank of another node answers */
    for (size_t row = 0; row < block->rows; row++) {
        const char *from = (const char *)data + row * row_bytes;
        if (row % together == 0)
            dn_comm_put(reference->world, row_of(reference, original, block, row), from, together * row_bytes,
                        original->home, DN_TRAFFIC_CONTROL);
        sum += row_squares(original->tensor.type, from, NULL, weights ? weights + block->col0 : NULL, block->cols);
    }
    return sum;
}

double dn_reference_difference(const dn_reference *reference, const dn_original *original,
                               const dn_block *block, const void *data)
{
    size_t row_bytes = block->cols * dn_type_bytes(original->tensor.type);
    const size_t stride = original->tensor.cols * dn_type_bytes(original->tensor.type);
    const double *weights = NULL;
    double sum = 0;
    if (block->rows == 0 || block->cols == 0)
        return 0;
    if (original->weighted)
        weights = dn_comm_view(reference->world,
                               dn_comm_chunk_of(weights_of(reference, original, block), block->cols * sizeof *weights),
                               original->home, DN_TRAFFIC_CONTROL);
    const dn_comm_chunk chunk = {row_of(reference, original, block, 0), (block->rows - 1) * stride + row_bytes, block->rows * row_bytes};
    const char *rows = dn_comm_view(reference->world, chunk, original->home, DN_TRAFFIC_CONTROL);
    for (size_t row = 0; row < block->rows; row++)
        sum += row_squares(original->tensor.type, (const char *)data + row * row_bytes, rows + row * stride, weights, block->cols);
    return sum;
}

/* ---- telling the others ---- */

static dn_status learn_one(dn_reference *reference, const dn_observation *record)
{
    int index = dn_reference_find(reference, record->line, record->tensor.name);
    if (index < 0) {
        dn_original original = {
            .kind = record->kind, .tensor = record->tensor, .weighted = record->weighted, .home = record->home, .at = record->at};
        memcpy(original.line, record->line, sizeof original.line);
        DN_TRY(dn_reference_add(reference, &original));
        index = (int)reference->n - 1;
    }
    dn_original *original = &reference->all[index];
    if (record->wrong != DN_WRONG_NOTHING)
        return DN_OK;
    if (record->kind == DN_VERIFY_BLOCK && (record->home != original->home || record->at != original->at))
        return dn_fail(DN_ERR_ARG, "verify: rank %d of the reference shows %s, %.80s, in another order than others do", record->rank,
                       record->line, record->tensor.name);
    original->square = record->kind == DN_VERIFY_BLOCK ? original->square + record->value : record->value;
    return DN_OK;
}

dn_status dn_reference_learn(dn_reference *reference, const dn_gathered *gathered)
{
    for (size_t i = 0; i < gathered->n; i++) {
        const dn_observation *record = &gathered->records[i];
        if (record->kind == DN_VERIFY_BLOCK || record->kind == DN_VERIFY_SCALAR)
            DN_TRY(learn_one(reference, record));
    }
    return DN_OK;
}
