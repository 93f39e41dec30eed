/* Folds of device memory: every device leaves the bits of the host's. */
#include "support.h"

#include "base/random.h"
#include "device/device.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 5, N = 5001 };

/* Random numbers of the type: integers of all bits, floats of all signs about 1. */
static void draw(void *out, dn_type type, size_t n, uint64_t stream)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits = dn_random_bits(3, stream, i);
        double x = (dn_random_uniform(4, stream, i) - 0.5) * 3;
        float narrow = (float)x;
        uint32_t of_float;
        memcpy(&of_float, &narrow, sizeof of_float);
        uint16_t half = (uint16_t)(of_float >> 16);
        const void *from = type == DN_F32 ? (const void *)&narrow : type == DN_F64 ? (const void *)&x : type == DN_BF16 ? (const void *)&half : &bits;
        memcpy((char *)out + i * dn_type_bytes(type), from, dn_type_bytes(type));
    }
}

static void compare(dn_stream *s, dn_type type, dn_op op, int n_sources, size_t n)
{
    size_t bytes = n * dn_type_bytes(type);
    void *host[MOST], *device[MOST], *want = malloc(bytes), *got = malloc(bytes);
    assert_true(want && got);
    dn_fold on_host = {.type = type, .op = op, .n = n, .n_averaged = n_sources, .n_sources = n_sources, .n_targets = 1, .targets = {want}};
    dn_fold on_device = on_host;
    for (int i = 0; i < n_sources; i++) {
        host[i] = malloc(bytes);
        assert_non_null(host[i]);
        draw(host[i], type, n, (uint64_t)i);
        assert_int_equal(dn_device_alloc(s, bytes, &device[i]), DN_OK);
        dn_copy_bytes(s, device[i], host[i], bytes);
        on_host.sources[i] = host[i];
        on_device.sources[i] = device[i];
    }
    on_device.targets[0] = device[0]; /* a target may be a source */
    dn_fold_on_host(&on_host);
    s->device->fold(s, &on_device);
    dn_copy_bytes(s, got, device[0], bytes);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    for (size_t i = 0; i < bytes; i++)
        if (((unsigned char *)got)[i] != ((unsigned char *)want)[i])
            fail_msg("type %d, op %d, %d sources of %zu: byte %zu is %d, the host has %d", (int)type, (int)op, n_sources, n, i,
                     ((unsigned char *)got)[i], ((unsigned char *)want)[i]);
    for (int i = 0; i < n_sources; i++) {
        dn_device_free(s, device[i], bytes);
        free(host[i]);
    }
    free(want), free(got);
}

static void folds_have_the_bits_of_the_hosts(void **state)
{
    static const size_t lengths[] = {1, 257, N};
    dn_stream *s = make_stream("cpu", 1);
    for (int type = 0; type < DN_N_TYPES; type++)
        for (int op = 0; op < DN_N_OPS; op++)
            for (int n_sources = 1; n_sources <= MOST; n_sources += 2)
                for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
                    compare(s, (dn_type)type, (dn_op)op, n_sources, lengths[i]);
    dn_stream_destroy(&s);
}

TESTS(fold)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_have_the_bits_of_the_hosts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
