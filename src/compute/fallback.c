/*
 * Kernels for a device that has none, or not all: each is queued as a call of the host's (ops.h says of every
 * argument what becomes of it), on memory that the device lends. A device that has some kernels begins with
 * this table.
 */
#include "compute/host.h"
#include "device/device.h"

#include <math.h>
#include <string.h>

/* ---- memory of a call ---- */

static void *kept_copy(dn_stream *s, const void *from, size_t bytes)
{
    if (!from)
        return NULL;
    void *copy = s->device->keep(s, bytes);
    memcpy(copy, from, bytes);
    return copy;
}

/* Not-a-number, and no value of an enumeration. */
static void poison(void *host, size_t bytes)
{
    memset(host, 0xff, bytes);
}

static void *lent(dn_stream *s, const void *handle, const char *kernel)
{
    void *host = handle ? s->device->lend(handle) : NULL;
    if (handle && !host && !s->misused)
        s->misused = kernel;
    return host;
}

/* ---- a number that several calls add to ---- */

/* Until it is delivered, the number is a NaN of ours: the next call goes on where the last one stopped, so
 * that the order of additions is that of the calls. */
#define UNDELIVERED UINT64_C(0x7ff8646e73756d21)

typedef struct sum {
    double *host;           /* where it is delivered */
    const struct sum *last; /* NULL: begins with `value` */
    double value;
} sum;

static _Thread_local const sum *last_sum;

static sum *begin_sum(dn_stream *s, double *host)
{
    sum *own = s->device->keep(s, sizeof *own);
    uint64_t bits = UNDELIVERED;
    bool goes_on = memcmp(host, &bits, sizeof bits) == 0;
    *own = (sum){.host = host, .last = goes_on ? last_sum : NULL, .value = *host};
    memcpy(host, &bits, sizeof bits);
    last_sum = own;
    return own;
}

static double *value_of(sum *own)
{
    if (own->last)
        own->value = own->last->host == own->host ? own->last->value : NAN;
    return &own->value;
}

/* ---- structures with handles in them ---- */

static void lend_dn_part_handle(dn_stream *s, dn_part_handle *part, const char *kernel)
{
    *part = lent(s, *part, kernel);
}

static void lend_dn_product(dn_stream *s, dn_product *p, const char *kernel)
{
    p->a = lent(s, p->a, kernel);
    p->b = lent(s, p->b, kernel);
    p->c = lent(s, p->c, kernel);
}

static void lend_dn_row_block(dn_stream *s, dn_row_block *b, const char *kernel)
{
    b->p = lent(s, b->p, kernel);
    b->partial = lent(s, b->partial, kernel);
    b->inverse = lent(s, b->inverse, kernel);
}

static void keep_dn_factoring(dn_stream *s, dn_factoring *own)
{
    own->partials = kept_copy(s, own->partials, own->n_partials * sizeof *own->partials);
}

static void lend_dn_factoring(dn_stream *s, dn_factoring *own, const char *kernel)
{
    const dn_wide **partials = (const dn_wide **)own->partials;
    for (size_t i = 0; i < own->n_partials; i++)
        partials[i] = lent(s, partials[i], kernel);
    own->inverse = lent(s, own->inverse, kernel);
}

static void poison_dn_factoring(dn_factoring *item)
{
    poison(&item->info, sizeof item->info);
    poison(&item->defect, sizeof item->defect);
}

static void deliver_dn_factoring(dn_factoring *item, const dn_factoring *own)
{
    item->info = own->info;
    item->defect = own->defect;
}

static void keep_dn_tall(dn_stream *s, dn_tall *own)
{
}

static void lend_dn_tall(dn_stream *s, dn_tall *own, const char *kernel)
{
    own->p = lent(s, own->p, kernel);
}

static void poison_dn_tall(dn_tall *item)
{
    poison(&item->info, sizeof item->info);
}

static void deliver_dn_tall(dn_tall *item, const dn_tall *own)
{
    item->info = own->info;
}

/* ---- what an argument becomes: of the queued call, a field ---- */
#define OF_KIND(what, kind, ...) what##_##kind(__VA_ARGS__)
#define FIELD(argument)          FIELD_OF argument
#define FIELD_OF(kind, ...)      OF_KIND(FIELD, kind, __VA_ARGS__)
#define FIELD_D(type, name)      type name;
#define FIELD_A(type, name)      type name;
#define FIELD_V(type, name)      type name;
#define FIELD_IN(type, name, n)  type *name;
#define FIELD_OUT(type, name, n)                                                                             \
    type *name, *name##_host;                                                                                \
    size_t name##_n;
#define FIELD_SUM(type, name) sum *name;
#define FIELD_LIST(type, name, n)                                                                            \
    type *name;                                                                                              \
    size_t name##_n;
#define FIELD_FOUND(type, name, n)                                                                           \
    type *name, *name##_host;                                                                                \
    size_t name##_n;

/* When it is queued: all that is read of the host first, then what is not valid from now on. */
#define READ(argument)         READ_OF argument
#define READ_OF(kind, ...)     OF_KIND(READ, kind, __VA_ARGS__)
#define READ_D(type, name)     queued->name = name;
#define READ_A(type, name)     queued->name = name;
#define READ_V(type, name)     queued->name = name;
#define READ_IN(type, name, n) queued->name = kept_copy(s, name, (n) * sizeof(type));
#define READ_OUT(type, name, n)                                                                              \
    queued->name##_host = name;                                                                              \
    queued->name##_n = (n);                                                                                  \
    queued->name = kept_copy(s, name, (n) * sizeof(type)); /* what stays where nothing is written */
#define READ_SUM(type, name) queued->name = begin_sum(s, name);
#define READ_LIST(type, name, n)                                                                             \
    queued->name##_n = (n);                                                                                  \
    queued->name = kept_copy(s, name, (n) * sizeof(type));
#define READ_FOUND(type, name, n)                                                                            \
    queued->name##_host = name;                                                                              \
    queued->name##_n = (n);                                                                                  \
    queued->name = kept_copy(s, name, (n) * sizeof(type));                                                   \
    for (size_t i = 0; i < queued->name##_n; i++)                                                            \
        keep_##type(s, &queued->name[i]);

#define SPOIL(argument)     SPOIL_OF argument
#define SPOIL_OF(kind, ...) OF_KIND(SPOIL, kind, __VA_ARGS__)
#define SPOIL_D(type, name)
#define SPOIL_A(type, name)
#define SPOIL_V(type, name)
#define SPOIL_IN(type, name, n)
#define SPOIL_OUT(type, name, n) poison(name, (n) * sizeof(type));
#define SPOIL_SUM(type, name)
#define SPOIL_LIST(type, name, n)
#define SPOIL_FOUND(type, name, n)                                                                           \
    for (size_t i = 0; i < queued->name##_n; i++)                                                            \
        poison_##type(&name[i]);

/* When it runs. */
#define LEND(argument)     LEND_OF argument
#define LEND_OF(kind, ...) OF_KIND(LEND, kind, __VA_ARGS__)
#define LEND_D(type, name) queued->name = lent(s, queued->name, kernel);
#define LEND_A(type, name) LEND_D(type, name) /* of a narrow one nothing is lent: the host is not */
#define LEND_V(type, name)
#define LEND_IN(type, name, n)
#define LEND_OUT(type, name, n)
#define LEND_SUM(type, name)
#define LEND_LIST(type, name, n)                                                                             \
    for (size_t i = 0; i < queued->name##_n; i++)                                                            \
        lend_##type(s, &queued->name[i], kernel);
#define LEND_FOUND(type, name, n) LEND_LIST(type, name, n)

#define PASS(argument)            PASS_OF argument
#define PASS_OF(kind, ...)        OF_KIND(PASS, kind, __VA_ARGS__)
#define PASS_D(type, name)        , queued->name
#define PASS_A(type, name)        , queued->name
#define PASS_V(type, name)        , queued->name
#define PASS_IN(type, name, n)    , queued->name
#define PASS_OUT(type, name, n)   , queued->name
#define PASS_SUM(type, name)      , value_of(queued->name)
#define PASS_LIST(type, name, n)  , queued->name
#define PASS_FOUND(type, name, n) , queued->name

/* At a sync. */
#define DELIVER(argument)     DELIVER_OF argument
#define DELIVER_OF(kind, ...) OF_KIND(DELIVER, kind, __VA_ARGS__)
#define DELIVER_D(type, name)
#define DELIVER_A(type, name)
#define DELIVER_V(type, name)
#define DELIVER_IN(type, name, n)
#define DELIVER_OUT(type, name, n) memcpy(queued->name##_host, queued->name, queued->name##_n * sizeof(type));
#define DELIVER_SUM(type, name)    *queued->name->host = queued->name->value;
#define DELIVER_LIST(type, name, n)
#define DELIVER_FOUND(type, name, n)                                                                         \
    for (size_t i = 0; i < queued->name##_n; i++)                                                            \
        deliver_##type(&queued->name##_host[i], &queued->name[i]);

#define OP(name, ...)                                                                                        \
    typedef struct name##_call {                                                                             \
        DN_EACH(FIELD, __VA_ARGS__)                                                                          \
    } name##_call;                                                                                           \
    static void run_##name(dn_stream *s, void *arguments)                                                    \
    {                                                                                                        \
        const char *kernel = #name;                                                                          \
        name##_call *queued = arguments;                                                                     \
        (void)kernel;                                                                                        \
        DN_EACH(LEND, __VA_ARGS__)                                                                           \
        if (!s->misused)                                                                                     \
            s->host->kernels->name(s->host DN_EACH(PASS, __VA_ARGS__));                                      \
    }                                                                                                        \
    static void deliver_##name(void *arguments)                                                              \
    {                                                                                                        \
        name##_call *queued = arguments;                                                                     \
        (void)queued;                                                                                        \
        DN_EACH(DELIVER, __VA_ARGS__)                                                                        \
    }                                                                                                        \
    static void queue_##name DN_OP_PARAMETERS(__VA_ARGS__)                                                   \
    {                                                                                                        \
        name##_call *queued = s->device->keep(s, sizeof *queued);                                            \
        DN_EACH(READ, __VA_ARGS__)                                                                           \
        DN_EACH(SPOIL, __VA_ARGS__)                                                                          \
        s->device->call(s, run_##name, deliver_##name, queued);                                              \
    }
#include "compute/ops.h"
#undef OP

const dn_kernels dn_kernels_fallback = {
    .name = "fallback",
#define OP(name, ...) .name = queue_##name,
#include "compute/ops.h"
#undef OP
};
