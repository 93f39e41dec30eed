/* Checkpoints written from shards: the file is the same byte for byte however tensors are cut, and what does
 * not tile a tensor is never written. */
#include "checkpoint/checkpoint.h"

#include "base/random.h"

#include "../support/disk.h"
#include "../support/scratch.h"
#include "support/tests.h"

enum { ROWS = 23, COLS = 17, N = ROWS * COLS, MAX_CUTS = 6, MAX_SHARDS = MAX_CUTS * MAX_CUTS };

static scratch dir;
static dn_real numbers[N];

static dn_comm *alone;

static int set_up(void **state)
{
    for (size_t i = 0; i < N; i++)
        numbers[i] = (dn_real)i + (dn_real)0.25;
    return scratch_make(&dir) && dn_comm_create_alone(0, &alone) == DN_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    disk.room = disk.free_claimed = -1;
    disk.no_nameless = false;
    scratch_remove(&dir);
    dn_comm_destroy(&alone);
    return 0;
}

/* Shards of the tensor whose element i is from[i], each in memory of its own (owned by the list). */
typedef struct shard_list {
    dn_shard shards[MAX_SHARDS];
    size_t n;
} shard_list;

static void cut_out(shard_list *list, const dn_real *from, size_t cols, dn_block b)
{
    dn_real *data = malloc((b.rows * b.cols + 1) * sizeof *data);
    assert_non_null(data);
    for (size_t r = 0; r < b.rows; r++)
        memcpy(data + r * b.cols, from + (b.row0 + r) * cols + b.col0, b.cols * sizeof *data);
    list->shards[list->n++] = (dn_shard){b, data, 0, 0};
}

/* A grid of row_parts x col_parts; the order of shards is turned by `turn`. */
static void cut_grid(shard_list *list, const dn_real *from, size_t rows, size_t cols, int row_parts,
                     int col_parts, int turn)
{
    int n = row_parts * col_parts;
    list->n = 0;
    for (int i = 0; i < n; i++) {
        int at = (i + turn) % n;
        dn_range r = dn_shard_range(rows, 3, row_parts, at / col_parts),
                 c = dn_shard_range(cols, 2, col_parts, at % col_parts);
        cut_out(list, from, cols, (dn_block){r.first, r.end - r.first, c.first, c.end - c.first});
    }
}

static void free_shards(shard_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        free((void *)list->shards[i].data);
}

static dn_status write_shards(uint64_t step, size_t rows, size_t cols, const shard_list *list)
{
    const dn_meta meta = {"step", "1"};
    const dn_sharded_tensor tensor = {
        {.name = "x", .rows = rows, .cols = cols, .type = DN_REAL}, list->n, list->shards};
    return dn_checkpoint_write(alone, dir.dir, step, 2, &meta, 1, &tensor, 1, NULL, NULL, 0, NULL);
}

static void write_whole(uint64_t step, dn_real *from, size_t rows, size_t cols)
{
    shard_list whole = {.n = 1, .shards = {{{0, rows, 0, cols}, from, 0, 0}}};
    assert_int_equal(write_shards(step, rows, cols, &whole), DN_OK);
}

static void assert_same_files(const char *a, const char *b)
{
    size_t a_bytes = 0, b_bytes = 0;
    char *x = scratch_read(scratch_path(&dir, a), &a_bytes),
         *y = scratch_read(scratch_path(&dir, b), &b_bytes);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(a_bytes, b_bytes);
    assert_memory_equal(x, y, a_bytes);
    free(x);
    free(y);
}

/* Parts of uneven size, in any order, with shards beside them that hold nothing. */
static void the_file_does_not_tell_how_tensors_were_cut(void **state)
{
    write_whole(1, numbers, ROWS, COLS);
    for (int row_parts = 1; row_parts <= MAX_CUTS; row_parts++)
        for (int col_parts = 1; col_parts < MAX_CUTS; col_parts++) {
            shard_list list;
            cut_grid(&list, numbers, ROWS, COLS, row_parts, col_parts, row_parts);
            list.shards[list.n++] = (dn_shard){{0}, NULL, 0, 0}; /* a rank that holds nothing */
            list.shards[list.n++] = (dn_shard){{5, 0, 0, COLS}, numbers, 0, 0}; /* an empty part */
            assert_int_equal(write_shards(2, ROWS, COLS, &list), DN_OK);
            assert_same_files("step_00000001.safetensors", "step_00000002.safetensors");
            list.n -= 2;
            free_shards(&list);
        }
}

/* Pieces that are no grid: a pinwheel around a middle. */
static void any_tiling_will_do(void **state)
{
    static const dn_block wheel[] = {
        {0, 9, 0, 11}, {0, 15, 11, 6}, {15, 8, 4, 13}, {9, 14, 0, 4}, {9, 6, 4, 7}};
    shard_list list = {0};
    for (size_t i = 0; i < sizeof wheel / sizeof *wheel; i++)
        cut_out(&list, numbers, COLS, wheel[i]);
    write_whole(1, numbers, ROWS, COLS);
    assert_int_equal(write_shards(2, ROWS, COLS, &list), DN_OK);
    assert_same_files("step_00000001.safetensors", "step_00000002.safetensors");
    free_shards(&list);
}

/* Larger than what is put together at a time: rows that are cut by its ends, and a single row longer than it.
 */
static void tensors_larger_than_the_buffer_are_whole(void **state)
{
    static const size_t shapes[][2] = {{1, 3000001}, {3000001, 1}, {1201, 2503}, {3, 1000003}};
    dn_real *large = malloc(3100000 * sizeof *large);
    assert_non_null(large);
    for (size_t i = 0; i < 3100000; i++)
        large[i] = (dn_real)(dn_random_bits(1, 2, i) >> 44);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        shard_list list;
        size_t rows = shapes[i][0], cols = shapes[i][1];
        cut_grid(&list, large, rows, cols, 3, 2, 1);
        write_whole(1, large, rows, cols);
        assert_int_equal(write_shards(2, rows, cols, &list), DN_OK);
        assert_same_files("step_00000001.safetensors", "step_00000002.safetensors");
        free_shards(&list);
    }
    free(large);
}

static void holes_and_overlaps_are_refused_and_nothing_is_written(void **state)
{
    static const struct {
        dn_block blocks[3];
        const char *why;
    } wrong[] = {
        {{{0, 10, 0, COLS}, {10, 12, 0, COLS}}, "covered by no rank"},     /* the last row is missing */
        {{{0, ROWS, 0, 8}, {0, ROWS, 9, 8}}, "covered by no rank"},        /* a column is missing */
        {{{0, 10, 0, COLS}, {9, 14, 0, COLS}}, "again by"},                /* a row twice */
        {{{0, 10, 0, COLS}, {9, 1, 3, 1}, {10, 13, 0, COLS}}, "again by"}, /* an element twice */
        {{{0, 12, 0, COLS}, {12, 10, 0, COLS}, {0, 1, 0, COLS}},
         "again by"}, /* as many elements as there are */
        {{{0, ROWS + 1, 0, COLS}}, "beyond"},
        {{{0, ROWS, 1, COLS}}, "beyond"},
        {{{SIZE_MAX, 2, 0, COLS}}, "beyond"},
        {{{2, SIZE_MAX, 0, COLS}}, "beyond"},
    };
    write_whole(1, numbers, ROWS, COLS);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        shard_list list = {.n = 3};
        for (size_t k = 0; k < 3; k++)
            list.shards[k] = (dn_shard){wrong[i].blocks[k], numbers, 0, 0};
        assert_int_equal(write_shards(2, ROWS, COLS, &list), DN_ERR_ARG);
        assert_non_null(strstr(dn_error_message(), wrong[i].why));
        assert_int_equal(scratch_entries(dir.dir, false), 1);
    }
    assert_int_equal(write_shards(2, ROWS, COLS, &(shard_list){0}), DN_ERR_ARG);
}

static void a_disk_that_fills_up_amid_shards_keeps_the_old_generation(void **state)
{
    shard_list list;
    cut_grid(&list, numbers, ROWS, COLS, 3, 4, 5);
    for (int named = 0; named < 2; named++) {
        disk.no_nameless = named;
        disk.room = -1;
        write_whole(1, numbers, ROWS, COLS);
        dn_status status = DN_ERR_IO;
        for (int64_t room = 0; status != DN_OK; room += 97) {
            disk.room = room;
            status = write_shards(2, ROWS, COLS, &list);
            assert_true(status == DN_ERR_IO || (status == DN_OK && room > (int64_t)sizeof numbers));
            assert_int_equal(scratch_entries(dir.dir, false), status == DN_OK ? 2 : 1);
        }
        disk.room = -1;
        assert_same_files("step_00000001.safetensors", "step_00000002.safetensors");
        assert_int_equal(scratch_entries(dir.dir, true), 2);
    }
    free_shards(&list);
}

static void generations_and_torn_files_are_as_with_whole_tensors(void **state)
{
    shard_list list;
    struct stat st;
    dn_checkpoint *c;
    cut_grid(&list, numbers, ROWS, COLS, 2, 3, 0);
    for (uint64_t step = 1; step <= 4; step++)
        assert_int_equal(write_shards(step, ROWS, COLS, &list), DN_OK);
    assert_int_equal(scratch_entries(dir.dir, false), 2);
    const char *path = scratch_path(&dir, "step_00000004.safetensors");
    assert_int_equal(stat(path, &st), 0);
    for (off_t length = st.st_size - 1; length > 0; length -= 101) {
        assert_int_equal(truncate(path, length), 0);
        assert_int_equal(dn_checkpoint_open(path, NULL, NULL, &c), DN_ERR_CHECKPOINT);
    }
    free_shards(&list);
}

static void a_block_is_read_as_it_is_asked_for(void **state)
{
    dn_checkpoint *c;
    dn_real found[N + 1];
    write_whole(1, numbers, ROWS, COLS);
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "step_00000001.safetensors"), NULL, NULL, &c), DN_OK);
    for (size_t row0 = 0; row0 <= ROWS; row0 += 4)
        for (size_t col0 = 0; col0 <= COLS; col0 += 3) {
            dn_block b = {row0, (ROWS - row0) / 2 + (row0 == 0), col0, (COLS - col0 + 1) / 2};
            for (size_t i = 0; i <= N; i++)
                found[i] = -1;
            assert_int_equal(dn_checkpoint_block(c, "x", ROWS, COLS, &b, found), DN_OK);
            for (size_t i = 0; i < b.rows * b.cols; i++)
                assert_true(found[i] == numbers[(row0 + i / b.cols) * COLS + col0 + i % b.cols]);
            assert_true(found[b.rows * b.cols] == -1); /* nothing beyond */
        }
    const dn_block beyond[] = {{0, ROWS + 1, 0, 1}, {0, 1, 1, COLS}, {SIZE_MAX, 2, 0, 1}};
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++)
        assert_int_equal(dn_checkpoint_block(c, "x", ROWS, COLS, &beyond[i], found), DN_ERR_ARG);
    const dn_block one = {0, 1, 0, 1};
    assert_int_equal(dn_checkpoint_block(c, "x", COLS, ROWS, &one, found), DN_ERR_CHECKPOINT);
    assert_int_equal(dn_checkpoint_block(c, "y", ROWS, COLS, &one, found), DN_ERR_CHECKPOINT);
    dn_checkpoint_close(&c);
}

TESTS(checkpoint_shards)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_file_does_not_tell_how_tensors_were_cut),
        TEST(any_tiling_will_do),
        TEST(tensors_larger_than_the_buffer_are_whole),
        TEST(holes_and_overlaps_are_refused_and_nothing_is_written),
        TEST(a_disk_that_fills_up_amid_shards_keeps_the_old_generation),
        TEST(generations_and_torn_files_are_as_with_whole_tensors),
        TEST(a_block_is_read_as_it_is_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
