/* Folders that other processes remove while they are made, and what is in their way. */
#include "base/atomic_file.h"
#include "base/clock.h"
#include "support/scratch.h"
#include "support/tests.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* As by a run that fails beside ours in the same folder. */
static void a_folder_that_another_process_removes_is_made_again(void **state)
{
    enum { REMOVERS = 3 };
    scratch s;
    char folder[PATH_MAX];
    pid_t removers[REMOVERS];
    int n_failed = 0;
    (void)state;
    assert_true(scratch_make(&s));
    snprintf(folder, sizeof folder, "%s/a", s.dir);
    for (int i = 0; i < REMOVERS; i++)
        if ((removers[i] = fork()) == 0)
            for (;; usleep(200)) /* who removes without a pause leaves no time to look at what was made */
                dn_dir_remove_made(folder, strlen(s.dir));
    for (const double end = dn_clock_s() + 0.5; dn_clock_s() < end;)
        if (dn_dir_make(folder) != DN_OK && n_failed++ == 0)
            print_error("%s\n", dn_error_message());
    for (int i = 0; i < REMOVERS; i++) {
        kill(removers[i], SIGKILL);
        waitpid(removers[i], NULL, 0);
    }
    scratch_remove(&s);
    assert_int_equal(n_failed, 0);
}

static void what_is_in_the_way_is_named(void **state)
{
    scratch s;
    (void)state;
    assert_true(scratch_make(&s));
    assert_true(scratch_write(&s, "file", "", 0));
    assert_int_equal(dn_dir_make(scratch_path(&s, "file")), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "/file is in the way: it is not a directory"));
    assert_int_equal(symlink("nowhere", scratch_path(&s, "link")), 0);
    assert_int_equal(dn_dir_make(s.path), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "/link is in the way: a symbolic link"));
    assert_int_equal(dn_dir_make(scratch_path(&s, "link/below")), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "cannot make directory"));
    scratch_remove(&s);
}

TESTS(base_folder)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_that_another_process_removes_is_made_again),
        cmocka_unit_test(what_is_in_the_way_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
