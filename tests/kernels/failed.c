/* What an error on one stream of a GPU is for the others, over the stand-in, which can be told to make one. */
#include "support.h"

#include "device/device.h"

#include <stdlib.h>
#include <string.h>

static bool has_stand_in(void)
{
    const dn_kernels *own = dn_device_selected()->kernels;
    return own && strcmp(own->name, "cuda-host") == 0;
}

static void is_sound(dn_stream *s, dn_buf *x)
{
    dn_real got[4];
    s->kernels->fill(s, x, 4, 2);
    dn_download(s, got, x, 4);
    assert_int_equal(dn_stream_sync(s), DN_OK);
    for (int i = 0; i < 4; i++)
        assert_true(got[i] == 2);
}

/* CUDA keeps an error for the thread's next launch; and what waits for a copy that failed has not what it waits for. */
static void an_error_is_of_its_stream_and_of_those_that_wait_for_it(void **state)
{
    static const dn_real from[4] = {1, 2, 3, 4};
    dn_stream *s[3]; /* fails; goes on; waits for the first */
    void *x[3];
    if (!has_stand_in())
        return;
    for (int i = 0; i < 3; i++) {
        s[i] = make_stream("cpu", 1);
        assert_int_equal(dn_device_alloc(s[i], sizeof from, &x[i]), DN_OK);
        is_sound(s[i], x[i]);
    }
    setenv("DIONODE_STANDIN_FAULT", "copy:1", 1);
    dn_upload(s[0], x[0], from, 4);
    unsetenv("DIONODE_STANDIN_FAULT");
    is_sound(s[1], x[1]);
    dn_stream_wait(s[2], dn_event_record(s[0]));
    for (int i = 0; i < 3; i += 2) {
        assert_int_equal(dn_stream_sync(s[i]), DN_ERR_SYSTEM);
        assert_non_null(strstr(dn_error_message(), "copying: cudaErrorInvalidValue"));
    }
    for (int i = 0; i < 3; i++) {
        dn_device_free(s[i], x[i], sizeof from);
        dn_stream_destroy(&s[i]);
    }
}

TESTS(failed)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_error_is_of_its_stream_and_of_those_that_wait_for_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
