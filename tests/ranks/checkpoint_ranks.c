/* A checkpoint that ranks write together is the file that one rank writes, and each has written its share of
 * it. */
#include "checkpoint/checkpoint.h"
#include "comm/ops.h"
#include "support/disk.h"
#include "support/ranks.h"
#include "support/scratch.h"
#include "support/tests.h"

#include <signal.h>

static scratch dir;

static int set_up(void **state)
{
    return scratch_make(&dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    disk.no_nameless = false;
    scratch_remove(&dir);
    return 0;
}

/* Rows and columns are cut among the ranks of a grid; one tensor has more chunks than ranks write between two
 * meetings, one has rows that all have a part of, one leaves ranks with nothing, one is of bfloat16. */
typedef struct layout {
    const char *name;
    size_t rows, cols;
    dn_type type;
    int row_parts; /* 0: one for each rank */
} layout;

static const layout layouts[] = {{"long rows", 3, 2500003, DN_REAL, 1}, {"rows", 2311, 101, DN_REAL, 0},
                                 {"a grid", 700, 33, DN_REAL, 2},       {"few rows", 2, 5, DN_REAL, 0},
                                 {"vector", 1, 77, DN_REAL, 1},         {"halves", 123, 45, DN_BF16, 1}};
enum { N = sizeof layouts / sizeof *layouts, MOST = 6 };

static unsigned char byte_of(size_t tensor, size_t i)
{
    return (unsigned char)((i * 2654435761u >> 7) + tensor);
}

/* The shards of all ranks in the file's own bytes; this rank's are filled. Room for the largest of each. */
static int describe(dn_comm *comm, size_t t, dn_sharded_tensor *tensor, dn_shard *shards)
{
    const layout *l = &layouts[t];
    const int P = dn_comm_size(comm), row_parts = l->row_parts == 0 ? P : P % l->row_parts ? 1 : l->row_parts;
    const size_t width = dn_type_bytes(l->type);
    size_t most = 0;
    void *memory;
    for (int rank = 0; rank < P; rank++) {
        dn_range r = dn_shard_range(l->rows, 1, row_parts, rank % row_parts);
        dn_range c = dn_shard_range(l->cols, 1, P / row_parts, rank / row_parts);
        shards[rank] = (dn_shard){{r.first, r.end - r.first, c.first, c.end - c.first}, NULL, rank, 0};
        size_t n = shards[rank].block.rows * shards[rank].block.cols;
        most = n > most ? n : most;
    }
    RANKS_CHECK(dn_comm_alloc(comm, most * width, &memory) == DN_OK);
    const dn_block own = shards[dn_comm_rank(comm)].block;
    unsigned char *x = memory;
    for (size_t row = own.row0; row < own.row0 + own.rows; row++)
        for (size_t col = own.col0 * width; col < (own.col0 + own.cols) * width; col++)
            *x++ = byte_of(t, row * l->cols * width + col);
    for (int rank = 0; rank < P; rank++)
        shards[rank].data = memory;
    *tensor = (dn_sharded_tensor){{.rows = l->rows, .cols = l->cols, .type = l->type}, (size_t)P, shards};
    snprintf(tensor->tensor.name, sizeof tensor->tensor.name, "%s", l->name);
    return 0;
}

/* A table that counts what is fetched from other ranks, which is done where no host reads it in place. */
typedef struct counting {
    dn_comm_ops ops;
    const dn_comm_ops *real;
    size_t fetched; /* bytes */
} counting;

static void fetch_and_count(const dn_comm *comm, dn_stream *stream, void *to, const void *p, size_t bytes, int rank)
{
    counting *of = (counting *)(uintptr_t)dn_comm_ops_of(comm);
    of->fetched += bytes;
    of->real->fetch(comm, stream, to, p, bytes, rank);
}

typedef struct way {
    ranks_kind kind;
    bool drafted; /* in memory, and brought to the disk when the tensors have changed */
} way;

/* All ranks change what they hold; then rank 0 does its part. */
static int finish_draft(dn_comm *comm, dn_sharded_tensor *tensors, dn_checkpoint_draft **draft)
{
    const int64_t before = disk.room;
    RANKS_CHECK((*draft != NULL) == (dn_comm_rank(comm) == 0));
    for (size_t t = 0; t < N; t++) {
        const dn_shard *own = &tensors[t].shards[dn_comm_rank(comm)];
        memset((void *)own->data, 0xa5, own->block.rows * own->block.cols * dn_type_bytes(tensors[t].tensor.type));
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    if (*draft)
        RANKS_CHECK(dn_checkpoint_finish(draft, NULL, NULL) == DN_OK && *draft == NULL);
    if (before >= 0)
        disk.room = before; /* every byte once more, as the test that counts knows */
    return 0;
}

static int write_together(dn_comm *comm, void *argument)
{
    const way *w = argument;
    dn_sharded_tensor tensors[N];
    dn_shard shards[N][MOST];
    dn_checkpoint_draft *draft;
    const dn_meta meta = {"step", "7"};
    size_t bytes = 0;
    counting counted = {.ops = *dn_comm_ops_of(comm), .real = dn_comm_ops_of(comm)};
    counted.ops.fetch = fetch_and_count;
    dn_comm_use_ops(comm, &counted.ops);
    for (size_t t = 0; t < N; t++) {
        RANKS_CHECK(describe(comm, t, &tensors[t], shards[t]) == 0);
        bytes += tensors[t].tensor.rows * tensors[t].tensor.cols * dn_type_bytes(tensors[t].tensor.type);
    }
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    const bool alone = w->kind == AS_PROCESSES;
    const int64_t room = (int64_t)1 << 40; /* of which writing takes */
    if (alone)
        disk.room = room;
    RANKS_CHECK(dn_checkpoint_write(comm, dir.dir, (uint64_t)dn_comm_size(comm), 100, &meta,
                                    dn_comm_rank(comm) == 0, tensors, N, NULL, NULL, w->drafted ? 2 * bytes : bytes / 2,
                                    &draft) == DN_OK);
    if (w->drafted)
        RANKS_CHECK(finish_draft(comm, tensors, &draft) == 0);
    RANKS_CHECK(draft == NULL);
    const double written = (double)(room - disk.room), share = (double)bytes / dn_comm_size(comm);
    if (alone) /* else it is of all ranks together; a chunk of 4 MiB is the grain of turns */
        RANKS_CLOSE(written, share, 0.5 * share + 0x1p22);
    if (alone && !w->drafted)
        RANKS_BELOW((double)counted.fetched, written + 1);
    dn_comm_use_ops(comm, counted.real);
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void write_by(int n_ranks, way w)
{
    const ranks_spec spec = {.kind = w.kind, .n_ranks = n_ranks, .arena_bytes = (size_t)128 << 20};
    assert_int_equal(ranks_run(&spec, write_together, &w, NULL), 0);
}

static void the_file_does_not_tell_how_many_wrote_it(void **state)
{
    (void)state;
    size_t wanted_bytes, bytes;
    static const way ways[] = {{AS_THREADS, false}, {AS_PROCESSES, false}, {AS_PROCESSES, true}};
    write_by(1, ways[1]);
    char *wanted = scratch_read(scratch_path(&dir, "step_00000001.safetensors"), &wanted_bytes);
    assert_non_null(wanted);
    for (int n_ranks = 2; n_ranks <= MOST; n_ranks += 2)
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            char name[64];
            disk.no_nameless = ways[i].kind == AS_THREADS;
            write_by(n_ranks, ways[i]);
            snprintf(name, sizeof name, "step_%08d.safetensors", n_ranks);
            char *got = scratch_read(scratch_path(&dir, name), &bytes);
            assert_non_null(got);
            assert_int_equal(bytes, wanted_bytes);
            assert_memory_equal(got, wanted, bytes);
            free(got);
            assert_int_equal(unlink(dir.path), 0);
            assert_int_equal(scratch_entries(dir.dir, false), 1);
        }
    free(wanted);
}

static void what_ranks_wrote_together_is_read_as_what_it_is(void **state)
{
    (void)state;
    dn_checkpoint *c;
    const dn_real *x;
    write_by(3, (way){AS_PROCESSES, true});
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "step_00000003.safetensors"), NULL, NULL, &c),
                     DN_OK);
    for (size_t t = 0; t < N; t++) {
        const layout *l = &layouts[t];
        if (l->type != DN_REAL)
            continue;
        assert_int_equal(dn_checkpoint_tensor(c, l->name, l->rows, l->cols, &x), DN_OK);
        for (size_t i = 0; i < l->rows * l->cols * sizeof *x; i++)
            if (((const unsigned char *)x)[i] != byte_of(t, i))
                fail_msg("%s: byte %zu", l->name, i);
    }
    dn_checkpoint_close(&c);
}

/* Who cannot write ends the call on all ranks, and nothing is left of the file. */
static int fill_up(dn_comm *comm, void *argument)
{
    dn_sharded_tensor tensors[N];
    dn_shard shards[N][MOST];
    const bool full = dn_comm_rank(comm) == 1;
    for (size_t t = 0; t < N; t++)
        RANKS_CHECK(describe(comm, t, &tensors[t], shards[t]) == 0);
    dn_status met = dn_comm_barrier(comm); /* who comes out of it late learns of the failure there */
    if (!full && met == DN_ERR_PEER)
        return 0;
    RANKS_CHECK(met == DN_OK);
    if (full)
        disk.room = 1 << 20;
    dn_status status = dn_checkpoint_write(comm, dir.dir, 1, 2, NULL, 0, tensors, N, NULL, NULL, 0, NULL);
    if (full) {
        RANKS_CHECK(status == DN_ERR_IO && strstr(dn_error_message(), "No space left"));
        RANKS_CHECK(strstr(dn_error_message(), "step_00000001.safetensors: stopped after"));
        dn_failure failure = {.status = status, .rank = 1};
        dn_world_abort(dn_comm_world(comm), &failure);
    } else
        RANKS_CHECK(status == DN_ERR_PEER);
    return 0;
}

static void a_rank_whose_disk_is_full_leaves_nothing_behind(void **state)
{
    (void)state;
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 3, .arena_bytes = (size_t)128 << 20};
    for (int nameless = 0; nameless < 2; nameless++) {
        disk.no_nameless = !nameless;
        assert_int_equal(ranks_run(&spec, fill_up, NULL, NULL), 0);
        assert_int_equal(scratch_entries(dir.dir, false), 0);
    }
}

/* A full disk shows when a draft is brought there. */
static int fill_up_later(dn_comm *comm, void *argument)
{
    dn_sharded_tensor tensors[N];
    dn_shard shards[N][MOST];
    dn_checkpoint_draft *draft;
    for (size_t t = 0; t < N; t++)
        RANKS_CHECK(describe(comm, t, &tensors[t], shards[t]) == 0);
    RANKS_CHECK(dn_comm_barrier(comm) == DN_OK);
    RANKS_CHECK(dn_checkpoint_write(comm, dir.dir, 1, 2, NULL, 0, tensors, N, NULL, NULL, UINT64_MAX, &draft) == DN_OK);
    if (dn_comm_rank(comm) == 0) {
        disk.room = 5 << 20;
        RANKS_CHECK(dn_checkpoint_finish(&draft, NULL, NULL) == DN_ERR_IO && draft == NULL);
        RANKS_CHECK(strstr(dn_error_message(), "No space left"));
        RANKS_CHECK(strstr(dn_error_message(), "step_00000001.safetensors: stopped after 5.2 of"));
    }
    return dn_comm_barrier(comm) == DN_OK ? 0 : 1;
}

static void a_draft_for_which_the_disk_has_no_room_leaves_nothing_behind(void **state)
{
    (void)state;
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 3, .arena_bytes = (size_t)128 << 20};
    for (int nameless = 0; nameless < 2; nameless++) {
        disk.no_nameless = !nameless;
        assert_int_equal(ranks_run(&spec, fill_up_later, NULL, NULL), 0);
        assert_int_equal(scratch_entries(dir.dir, false), 0);
    }
}

/* A rank that dies while it writes, at its second sign of life. */
static void die_at_second(void *ticks)
{
    if (++*(int *)ticks == 2)
        raise(SIGKILL);
}

static int lose_one(dn_comm *comm, void *argument)
{
    dn_sharded_tensor tensors[N];
    dn_shard shards[N][MOST];
    int ticks = dn_comm_rank(comm) == *(const int *)argument ? 0 : 1000;
    for (size_t t = 0; t < N; t++)
        RANKS_CHECK(describe(comm, t, &tensors[t], shards[t]) == 0);
    dn_status met = dn_comm_barrier(comm);
    if (met == DN_OK)
        met = dn_checkpoint_write(comm, dir.dir, 1, 2, NULL, 0, tensors, N, die_at_second, &ticks, 0, NULL);
    return met != DN_ERR_PEER;
}

static void a_rank_that_is_killed_leaves_nothing_that_the_next_does_not_remove(void **state)
{
    (void)state;
    const ranks_spec spec = {.kind = AS_PROCESSES, .n_ranks = 3, .arena_bytes = (size_t)128 << 20};
    for (int nameless = 0; nameless < 2; nameless++)
        for (int lost = 0; lost < 2; lost++) {
            ranks_end ends[3];
            disk.no_nameless = !nameless;
            assert_int_equal(ranks_run(&spec, lose_one, &lost, ends), 1);
            assert_int_equal(ends[lost].signal, SIGKILL);
            /* Rank 0 could not take back the name that it gave. */
            assert_int_equal(scratch_entries(dir.dir, false), !nameless && lost == 0);
            write_by(2, (way){AS_PROCESSES, false});
            assert_int_equal(scratch_entries(dir.dir, true), 1);
        }
}

TESTS(checkpoint_ranks)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_file_does_not_tell_how_many_wrote_it),
        TEST(what_ranks_wrote_together_is_read_as_what_it_is),
        TEST(a_rank_whose_disk_is_full_leaves_nothing_behind),
        TEST(a_draft_for_which_the_disk_has_no_room_leaves_nothing_behind),
        TEST(a_rank_that_is_killed_leaves_nothing_that_the_next_does_not_remove),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
