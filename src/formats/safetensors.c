/* Safetensors: 8 bytes of header length, JSON, tensors. Written by anyone, so nothing is taken for granted. */
#include "formats/foreign.h"

#include "base/fail.h"
#include "base/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_MAX = 100 << 20, PATH_ROOM = 4096 };

typedef struct piece {
    size_t begin, end;
} piece;

static dn_status damaged(const char *path, const char *name, const char *what)
{
    return dn_fail(DN_ERR_DATA, "%s: %s%s%s", path, name, *name ? ": " : "", what);
}

static bool type_of(const char *name, dn_foreign_type *type)
{
    static const struct {
        const char *name;
        dn_foreign_type type;
    } types[] = {{"F32", DN_FOREIGN_F32},   {"F64", DN_FOREIGN_F64},   {"F16", DN_FOREIGN_F16},
                 {"BF16", DN_FOREIGN_BF16}, {"BOOL", DN_FOREIGN_BYTE}, {"U8", DN_FOREIGN_BYTE}};
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0) {
            *type = types[i].type;
            return true;
        }
    return false;
}

/* An array of at most `most` sizes. */
static bool sizes_of(const json_t *array, size_t most, size_t *out, size_t *n)
{
    *n = json_array_size(array);
    if (!json_is_array(array) || *n > most)
        return false;
    for (size_t i = 0; i < *n; i++) {
        const json_t *value = json_array_get(array, i);
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return false;
        out[i] = (size_t)json_integer_value(value);
    }
    return true;
}

/* Its elements, times their size, are the bytes it spans. */
static bool fits(const dn_foreign_tensor *t, piece p, size_t bytes)
{
    size_t size = dn_foreign_type_size(t->type);
    if (p.begin > p.end || p.end > bytes)
        return false;
    for (size_t i = 0; i < t->n_dims; i++)
        if (__builtin_mul_overflow(size, t->dims[i], &size))
            return false;
    return size == p.end - p.begin;
}

static int by_begin(const void *a, const void *b)
{
    const piece *x = a, *y = b;
    int order = (x->begin > y->begin) - (x->begin < y->begin);
    return order ? order : (x->end > y->end) - (x->end < y->end);
}

/* Whether the pieces follow each other from 0 to `bytes`. */
static bool tile(piece *pieces, size_t n, size_t bytes)
{
    size_t at = 0;
    qsort(pieces, n, sizeof *pieces, by_begin);
    for (size_t i = 0; i < n; at = pieces[i++].end)
        if (pieces[i].begin != at)
            return false;
    return at == bytes;
}

static dn_status add_tensor(dn_foreign *f, const char *path, const char *name, const json_t *entry,
                            const unsigned char *data, size_t bytes, piece *p)
{
    size_t offsets[2], n_offsets;
    dn_foreign_tensor t = {0};
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    if (!type_of(dtype, &t.type))
        return dn_fail(DN_ERR_DATA, "%s: %s: dtype %.20s: F32, F64, F16 and BF16 can be read", path, name,
                       dtype ? dtype : "is missing");
    if (!sizes_of(json_object_get(entry, "shape"), 4, t.dims, &t.n_dims) ||
        !sizes_of(json_object_get(entry, "data_offsets"), 2, offsets, &n_offsets) || n_offsets != 2)
        return damaged(path, name, "shape or data_offsets make no sense");
    *p = (piece){offsets[0], offsets[1]};
    if (!fits(&t, *p, bytes))
        return damaged(path, name, "shape and data_offsets do not fit each other or the file");
    if (dn_foreign_find(f, name))
        return damaged(path, name, "is in two files");
    return dn_foreign_add(f, name, t.type, t.n_dims, t.dims, data + p->begin);
}

static dn_status add_tensors(dn_foreign *f, const char *path, const json_t *header, const unsigned char *data,
                             size_t bytes, piece *pieces)
{
    const char *name;
    json_t *entry;
    size_t n = 0;
    json_object_foreach((json_t *)header, name, entry)
    {
        if (!json_is_object(entry))
            return damaged(path, name, "is no object");
        if (strcmp(name, "__metadata__") != 0)
            DN_TRY(add_tensor(f, path, name, entry, data, bytes, &pieces[n++]));
    }
    return tile(pieces, n, bytes) ? DN_OK : damaged(path, "", "tensors overlap, or leave bytes of the file out");
}

dn_status dn_foreign_add_file(dn_foreign *f, const char *path)
{
    const unsigned char *file;
    size_t bytes;
    uint64_t length = 0;
    DN_TRY(dn_foreign_map_file(f, path, &file, &bytes));
    for (size_t i = 0; i < 8 && bytes >= 8; i++)
        length |= (uint64_t)file[i] << 8 * i;
    if (bytes < 8 || length > HEADER_MAX || length > bytes - 8)
        return damaged(path, "", "is no safetensors file, or was cut off: its header is longer than it");
    char why[DN_JSON_WHY];
    json_t *header = dn_json_object((const char *)file + 8, length, why);
    if (!header)
        return dn_fail(DN_ERR_DATA, "%s: its header: %s", path, why);
    piece *pieces = calloc(json_object_size(header) + 1, sizeof *pieces);
    dn_status status = pieces ? add_tensors(f, path, header, file + 8 + length, bytes - 8 - length, pieces)
                              : dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    free(pieces);
    json_decref(header);
    return status;
}

/* Every file that the index names, once; together they hold what it lists and nothing else. */
static dn_status add_listed(dn_foreign *f, const char *folder, const char *index, const json_t *map)
{
    const char *name, *other;
    json_t *file, *before = NULL;
    char path[PATH_ROOM];
    json_object_foreach((json_t *)map, name, file)
    {
        const char *text = json_string_value(file);
        if (!text || !*text || strchr(text, '/'))
            return damaged(index, name, "names no file of the same folder");
        json_object_foreach((json_t *)map, other, before)
            if (before == file || strcmp(json_string_value(before), text) == 0)
                break;
        snprintf(path, sizeof path, "%s/%s", folder, text);
        if (before == file)
            DN_TRY(dn_foreign_add_file(f, path));
    }
    for (size_t i = 0; i < f->n; i++)
        if (!json_object_get(map, f->tensors[i].name))
            return damaged(index, f->tensors[i].name, "is in a file, and not listed");
    json_object_foreach((json_t *)map, name, file)
        if (!dn_foreign_find(f, name))
            return damaged(index, name, "is listed, and in no file");
    return DN_OK;
}

static dn_status add_index(dn_foreign *f, const char *folder, const char *path)
{
    const unsigned char *text;
    size_t bytes;
    char why[DN_JSON_WHY] = "too large for an index";
    DN_TRY(dn_foreign_map_file(f, path, &text, &bytes));
    json_t *index = bytes <= HEADER_MAX ? dn_json_object((const char *)text, bytes, why) : NULL;
    if (!index)
        return dn_fail(DN_ERR_DATA, "%s: %s", path, why);
    const json_t *map = json_object_get(index, "weight_map");
    dn_status status = json_is_object(map) ? add_listed(f, folder, path, map) : damaged(path, "", "has no weight_map, an object");
    json_decref(index);
    return status;
}

dn_status dn_foreign_open(const char *folder, dn_foreign *out)
{
    char path[PATH_ROOM], index[PATH_ROOM];
    memset(out, 0, sizeof *out);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    snprintf(index, sizeof index, "%s/model.safetensors.index.json", folder);
    if (access(path, F_OK) == 0)
        return dn_foreign_add_file(out, path);
    if (access(index, F_OK) == 0)
        return add_index(out, folder, index);
    return dn_fail(DN_ERR_IO, "%s holds neither model.safetensors nor model.safetensors.index.json: pickled weights (.bin) are not read, so "
                              "save them with transformers as safetensors", folder);
}
