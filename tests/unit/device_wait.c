/* Waiting for a device that is a function. */
#include "device/device.h"
#include "shm/world.h"
#include "support/tests.h"

#include <string.h>

/* Shorter than `looks` naps, of a millisecond each but for the first few. */
#define DEADLINE_S 0.3
enum { LOOKS = 500 };

typedef struct work {
    int looks;
    dn_awaited before; /* that many looks */
} work;

static dn_awaited look(void *context)
{
    work *w = context;
    return w->looks-- > 0 ? w->before : DN_AWAITED_DONE;
}

static dn_world *world;

static int attach(void **state)
{
    (void)state;
    if (dn_world_create(2, 2 << 20, 2, DEADLINE_S, &world) != DN_OK)
        return -1;
    dn_device_attach(world, 1);
    return 0;
}

static int detach(void **state)
{
    (void)state;
    dn_device_attach(NULL, 0);
    dn_world_destroy(&world);
    return 0;
}

static void what_moves_is_waited_for_beyond_the_deadline_and_is_the_ranks_progress(void **state)
{
    (void)state;
    work w = {.looks = LOOKS, .before = DN_AWAITED_MOVES};
    uint64_t before = dn_world_progress(world, 1);
    assert_int_equal(dn_device_wait(look, &w), DN_OK);
    assert_int_equal(dn_world_progress(world, 1), before + LOOKS);
}

static void what_does_not_move_is_given_up_after_it(void **state)
{
    (void)state;
    work w = {.looks = 1000 * LOOKS, .before = DN_AWAITED_NOT_YET};
    assert_int_equal(dn_device_wait(look, &w), DN_ERR_TIMEOUT);
    assert_true(w.looks > 0);
    assert_int_equal(dn_world_failure(world).status, DN_OK); /* who waits says what for */
}

static void a_world_that_fails_is_seen(void **state)
{
    (void)state;
    work w = {.looks = 1000 * LOOKS, .before = DN_AWAITED_MOVES};
    const dn_failure failure = {.status = DN_ERR_SYSTEM, .rank = 0, .message = "worker 0: gone"};
    assert_true(dn_world_abort(world, &failure));
    assert_int_equal(dn_device_wait(look, &w), DN_ERR_PEER);
    assert_non_null(strstr(dn_error_message(), "worker 0: gone"));
}

TESTS(device_wait)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_moves_is_waited_for_beyond_the_deadline_and_is_the_ranks_progress, attach, detach),
        cmocka_unit_test_setup_teardown(what_does_not_move_is_given_up_after_it, attach, detach),
        cmocka_unit_test_setup_teardown(a_world_that_fails_is_seen, attach, detach),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
