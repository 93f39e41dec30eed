/* The segment: made, inherited through exec, backed with pages, refused when too large, and gone without a
 * trace. */
#include "shm/world.h"

#include "support/ranks.h"
#include "support/tests.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARENA ((size_t)3 << 20)

static int n_entries(const char *folder, const char *beginning)
{
    int n = 0;
    DIR *dir = opendir(folder);
    if (!dir)
        return -1;
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir))
        n += strncmp(entry->d_name, beginning, strlen(beginning)) == 0;
    closedir(dir);
    return n;
}

/* ---- making ---- */

static void a_world_is_as_asked_for(void **state)
{
    (void)state;
    dn_world *world;
    assert_int_equal(dn_world_create(3, ARENA, 2, 5, &world), DN_OK);
    assert_int_equal(dn_world_size(world), 3);
    assert_int_equal(dn_world_arena_bytes(world), (size_t)4 << 20); /* whole huge pages */
    for (int rank = 0; rank < 3; rank++) {
        assert_int_equal(dn_world_populate(world, rank, dn_world_arena_bytes(world)), DN_OK);
        memset(dn_world_arena(world, rank), rank + 1, dn_world_arena_bytes(world));
    }
    for (int rank = 0; rank < 3; rank++) {
        const char *arena = dn_world_arena(world, rank);
        assert_int_equal(arena[0], rank + 1);
        assert_int_equal(arena[dn_world_arena_bytes(world) - 1], rank + 1);
    }
    dn_world_destroy(&world);
    assert_null(world);
    dn_world_destroy(&world);
}

static void two_worlds_of_one_process_do_not_meet(void **state)
{
    (void)state;
    dn_world *a, *b;
    assert_int_equal(dn_world_create(1, ARENA, 2, 5, &a), DN_OK);
    assert_int_equal(dn_world_create(1, ARENA, 2, 5, &b), DN_OK);
    memset(dn_world_arena(a, 0), 1, ARENA);
    memset(dn_world_arena(b, 0), 2, ARENA);
    assert_int_equal(*(char *)dn_world_arena(a, 0), 1);
    dn_world_destroy(&a);
    dn_world_destroy(&b);
}

static void impossible_worlds_are_refused(void **state)
{
    (void)state;
    dn_world *world;
    assert_int_equal(dn_world_create(0, ARENA, 2, 5, &world), DN_ERR_ARG);
    assert_int_equal(dn_world_create(DN_MAX_RANKS + 1, ARENA, 2, 5, &world), DN_ERR_ARG);
    assert_int_equal(dn_world_create(1, ARENA, 2, 0, &world), DN_ERR_ARG);
    assert_int_equal(dn_world_create(4, (size_t)1 << 50, 2, 5, &world), DN_ERR_MEMORY);
    assert_non_null(strstr(dn_error_message(), "4 ranks need 1048576.00 GiB each"));
    assert_int_equal(dn_world_create(DN_MAX_RANKS, SIZE_MAX - 5, 2, 5, &world), DN_ERR_MEMORY);
}

static void nothing_is_left_behind_nor_ever_visible(void **state)
{
    (void)state;
    dn_world *world;
    int n_names = n_entries("/dev/shm", "dionode"), n_open = n_entries("/proc/self/fd", "");
    assert_int_equal(dn_world_create(2, ARENA, 2, 5, &world), DN_OK);
    assert_int_equal(n_entries("/dev/shm", "dionode"), n_names);
    dn_world_destroy(&world);
    assert_int_equal(dn_world_create(2, (size_t)1 << 50, 2, 5, &world), DN_ERR_MEMORY);
    assert_int_equal(n_entries("/proc/self/fd", ""), n_open);
}

/* ---- state table, stop request ---- */

static void the_table_shows_who_is_where(void **state)
{
    (void)state;
    dn_world *world;
    char *text;
    size_t bytes;
    assert_int_equal(dn_world_create(3, ARENA, 2, 5, &world), DN_OK);
    dn_world_set_pid(world, 1, 4711);
    dn_world_tick(world, 0, 12, "forward");
    dn_world_tick(world, 1, 13, "a phase of more than 24 letters");
    dn_world_tick(world, 2, 14, "dion: orthonormalize R"); /* the longest of our own */
    FILE *out = open_memstream(&text, &bytes);
    dn_world_print(world, out);
    fclose(out);
    assert_non_null(strstr(text, "   0        0       12  forward "));
    assert_non_null(strstr(text, "   1     4711       13  a phase of more than 24    "));
    assert_non_null(strstr(text, "   2        0       14  dion: orthonormalize R  "));
    free(text);
    dn_world_destroy(&world);
}

static void a_stop_request_is_heard(void **state)
{
    (void)state;
    dn_world *world;
    assert_int_equal(dn_world_create(2, ARENA, 2, 5, &world), DN_OK);
    assert_int_equal(dn_world_stop_requested(world), 0);
    dn_world_request_stop(world, 15);
    assert_int_equal(dn_world_stop_requested(world), 15);
    dn_world_destroy(&world);
}

/* ---- inherited through exec ---- */

#define PATTERN 0x5a

/* What this program does when it is executed as a worker: main() comes here. */
static int worker_main(int rank)
{
    dn_world *world;
    dn_comm *comm;
    if (dn_world_attach(7, &world) != DN_ERR_SYSTEM || dn_world_attach(rank, &world) != DN_OK)
        return 1;
    if (dn_world_populate(world, rank, dn_world_arena_bytes(world)) != DN_OK ||
        dn_comm_create(world, rank, &comm) != DN_OK)
        return 2;
    uintptr_t *arena = dn_world_arena(world, rank);
    *arena = (uintptr_t)arena + PATTERN;
    if (dn_comm_barrier(comm) != DN_OK)
        return 3;
    uintptr_t *peer = dn_world_arena(world, 1 - rank);
    int result = *peer == (uintptr_t)peer + PATTERN ? 0 : 4;
    dn_comm_destroy(&comm);
    dn_world_destroy(&world);
    return result;
}

static int wait_for(pid_t pid)
{
    int status;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static void executed_workers_attach_at_the_same_address(void **state)
{
    (void)state;
    dn_world *world;
    char variable[128];
    pid_t pids[2];
    assert_false(dn_world_inherited());
    assert_int_equal(dn_world_attach(0, &world), DN_ERR_SYSTEM);
    assert_int_equal(dn_world_create(2, ARENA, 2, 10, &world), DN_OK);
    dn_world_export(world, variable, sizeof variable);
    for (int rank = 0; rank < 2; rank++) {
        pids[rank] = fork();
        if (pids[rank] == 0) {
            alarm(RANKS_ALARM_S);
            putenv(variable);
            execl("/proc/self/exe", "ranks", "shm_world", rank ? "1" : "0", NULL);
            _exit(99);
        }
    }
    assert_int_equal(wait_for(pids[0]), 0);
    assert_int_equal(wait_for(pids[1]), 0);
    uintptr_t *arena = dn_world_arena(world, 1);
    assert_true(*arena == (uintptr_t)arena + PATTERN);
    dn_world_destroy(&world);
}

/* ---- small /dev/shm ---- */

static int n_warnings;

static void count_warning(void *context, dn_log_level level, const char *line)
{
    n_warnings +=
        level == DN_LOG_WARNING && strstr(line, "/dev/shm has 0.00 GiB free, 0.01 GiB are needed");
}

static bool write_file(const char *path, const char *text)
{
    int file = open(path, O_WRONLY);
    bool written = file >= 0 && write(file, text, strlen(text)) > 0;
    close(file);
    return written;
}

/* Gives this process a /dev/shm of its own, in which it may make files. */
static bool mount_own_shm(const char *options)
{
    char users[32], groups[32];
    snprintf(users, sizeof users, "0 %u 1", getuid());
    snprintf(groups, sizeof groups, "0 %u 1", getgid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNS) == 0 && write_file("/proc/self/setgroups", "deny") &&
           write_file("/proc/self/uid_map", users) && write_file("/proc/self/gid_map", groups) &&
           mount("none", "/dev/shm", "tmpfs", 0, options) == 0;
}

/* Runs body in a child with its own /dev/shm; 77 where the system does not allow that. */
static int with_own_shm(const char *options, int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0) {
        alarm(RANKS_ALARM_S);
        _exit(mount_own_shm(options) ? body() : 77);
    }
    return wait_for(pid);
}

static int do_nothing(void)
{
    return 0;
}

static int use_a_world_larger_than_shm(void)
{
    dn_world *world;
    dn_log_set(count_warning, NULL);
    if (dn_world_create(2, ARENA, 2, 5, &world) != DN_OK || n_warnings != 1)
        return 1;
    if (dn_world_populate(world, 0, dn_world_arena_bytes(world)) != DN_OK ||
        dn_world_populate(world, 1, dn_world_arena_bytes(world)) != DN_OK)
        return 2;
    memset(dn_world_arena(world, 1), 1, ARENA);
    dn_world_destroy(&world);
    return 0;
}

static void a_small_dev_shm_is_replaced_with_one_warning(void **state)
{
    (void)state;
    assert_int_equal(with_own_shm("size=64k", use_a_world_larger_than_shm), 0);
}

/* Somebody else takes the room between the check and the first touch. */
static int populate_a_full_shm(void)
{
    dn_world *world;
    static char block[1 << 20];
    if (dn_world_create(1, ARENA, 2, 5, &world) != DN_OK)
        return 1;
    int hog = open("/dev/shm/hog", O_WRONLY | O_CREAT, 0600);
    for (int i = 0; i < 6; i++)
        if (write(hog, block, sizeof block) < 0)
            return 2;
    if (dn_world_populate(world, 0, dn_world_arena_bytes(world)) != DN_ERR_MEMORY ||
        !strstr(dn_error_message(), "No space left"))
        return 3;
    dn_world_destroy(&world);
    return 0;
}

static void a_dev_shm_that_fills_up_is_an_error_and_not_a_signal(void **state)
{
    (void)state;
    assert_int_equal(with_own_shm("size=8m", populate_a_full_shm), 0);
}

TESTS(shm_world)
{
    if (argc > 2 && dn_world_inherited())
        return worker_main(atoi(argv[2]));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_world_is_as_asked_for),
        cmocka_unit_test(two_worlds_of_one_process_do_not_meet),
        cmocka_unit_test(impossible_worlds_are_refused),
        cmocka_unit_test(nothing_is_left_behind_nor_ever_visible),
        cmocka_unit_test(the_table_shows_who_is_where),
        cmocka_unit_test(a_stop_request_is_heard),
        cmocka_unit_test(executed_workers_attach_at_the_same_address),
        /* These two need mounts of their own, which some containers refuse. */
        cmocka_unit_test(a_small_dev_shm_is_replaced_with_one_warning),
        cmocka_unit_test(a_dev_shm_that_fills_up_is_an_error_and_not_a_signal),
    };
    size_t n = sizeof tests / sizeof *tests;
    if (with_own_shm("size=64k", do_nothing) == 77) {
        n -= 2;
        printf("# not run, because this system allows no mounts of our own: %s, %s\n", tests[n].name,
               tests[n + 1].name);
    }
    return _cmocka_run_group_tests("tests", tests, n, NULL, NULL);
}
