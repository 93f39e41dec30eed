#include "formats/foreign.h"

#include "base/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

void dn_foreign_close(dn_foreign *f)
{
    for (size_t i = 0; i < f->n; i++)
        free(f->tensors[i].name);
    for (size_t i = 0; i < f->n_maps; i++)
        munmap(f->maps[i].at, f->maps[i].bytes);
    free(f->tensors);
    free(f->maps);
    memset(f, 0, sizeof *f);
}

static dn_status map(dn_foreign *f, int fd, const char *path)
{
    struct stat st;
    dn_foreign_map *maps = realloc(f->maps, (f->n_maps + 1) * sizeof *maps);
    if (!maps)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", path);
    f->maps = maps;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return dn_fail(DN_ERR_DATA, "%s is not a file", path);
    if (st.st_size == 0)
        return dn_fail(DN_ERR_DATA, "%s is empty", path);
    dn_foreign_map m = {.bytes = (size_t)st.st_size};
    m.at = mmap(NULL, m.bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    if (m.at == MAP_FAILED)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot map %s", path);
    f->maps[f->n_maps++] = m;
    return DN_OK;
}

dn_status dn_foreign_map_file(dn_foreign *f, const char *path, const unsigned char **at, size_t *bytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO would wait for its writer */
    if (fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot open %s", path);
    dn_status status = map(f, fd, path);
    close(fd);
    DN_TRY(status);
    *at = f->maps[f->n_maps - 1].at;
    *bytes = f->maps[f->n_maps - 1].bytes;
    return DN_OK;
}

dn_status dn_foreign_add(dn_foreign *f, const char *name, dn_foreign_type type, size_t n_dims, const size_t *dims,
                         const unsigned char *data)
{
    if (f->n == f->room) {
        size_t room = 2 * f->room + 64;
        dn_foreign_tensor *tensors = realloc(f->tensors, room * sizeof *tensors);
        if (!tensors)
            return dn_fail(DN_ERR_MEMORY, "no memory for %zu tensors", room);
        f->tensors = tensors;
        f->room = room;
    }
    dn_foreign_tensor *t = &f->tensors[f->n];
    *t = (dn_foreign_tensor){.name = strdup(name), .type = type, .n_dims = n_dims, .data = data, .n = 1};
    if (!t->name)
        return dn_fail(DN_ERR_MEMORY, "no memory for the name of a tensor");
    f->n++;
    for (size_t i = 0; i < n_dims; i++) {
        t->dims[i] = dims[i];
        t->n *= dims[i];
    }
    return DN_OK;
}

dn_foreign_tensor *dn_foreign_find(const dn_foreign *f, const char *name)
{
    for (size_t i = 0; i < f->n; i++)
        if (strcmp(f->tensors[i].name, name) == 0)
            return &f->tensors[i];
    return NULL;
}

/* ---- numbers ---- */

size_t dn_foreign_type_size(dn_foreign_type type)
{
    static const size_t sizes[] = {4, 8, 2, 2, 1};
    return sizes[type];
}

static double from_half(uint16_t bits)
{
    int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    double x = exponent == 31 ? (mantissa ? NAN : INFINITY)
               : exponent     ? ldexp(1024 + mantissa, exponent - 25)
                              : ldexp(mantissa, -24);
    return bits >> 15 ? -x : x;
}

static double from_float_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return (double)x;
}

dn_real dn_foreign_element(const dn_foreign_tensor *t, size_t i)
{
    uint16_t half;
    float single;
    double wide;
    const unsigned char *at = t->data + i * dn_foreign_type_size(t->type);
    switch (t->type) {
    case DN_FOREIGN_F32: memcpy(&single, at, sizeof single); return (dn_real)single;
    case DN_FOREIGN_F64: memcpy(&wide, at, sizeof wide); return (dn_real)wide;
    case DN_FOREIGN_F16: memcpy(&half, at, sizeof half); return (dn_real)from_half(half);
    case DN_FOREIGN_BYTE: return (dn_real)*at;
    default: memcpy(&half, at, sizeof half); return (dn_real)from_float_bits((uint32_t)half << 16);
    }
}

/* In the current rounding mode, to nearest, ties to even. */
static uint16_t to_half(double x)
{
    uint16_t sign = signbit(x) ? 0x8000 : 0;
    double size = fabs(x);
    int exponent;
    if (isnan(x))
        return sign | 0x7e00;
    frexp(size, &exponent); /* size < 2^exponent */
    double unit = ldexp(1, exponent > -14 ? exponent - 11 : -24), steps = rint(size / unit);
    if (size == 0)
        return sign;
    if (isinf(x) || steps * unit >= 65520)
        return sign | 0x7c00;
    return sign | (uint16_t)(exponent > -14 ? ((exponent + 14) << 10) + (int)steps - 1024 : (int)steps);
}

/* From a float, as weights are where they come from: from a double it may round twice. */
static uint16_t to_bfloat16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (isnan(x))
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

void dn_foreign_store(dn_foreign_type type, double x, unsigned char *to)
{
    float single = (float)x;
    uint16_t half = type == DN_FOREIGN_F16 ? to_half(x) : to_bfloat16(single);
    if (type == DN_FOREIGN_F64)
        memcpy(to, &x, sizeof x);
    else if (type == DN_FOREIGN_F32)
        memcpy(to, &single, sizeof single);
    else
        memcpy(to, &half, sizeof half);
}
