/* Checkpoints: bits survive, damage of any kind is refused, and a disk that fills up loses nothing old. */
#include "checkpoint/checkpoint.h"

#include "../support/child.h"
#include "../support/disk.h"
#include "../support/scratch.h"
#include "support/tests.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <xxhash.h>

#ifdef DN_REAL_DOUBLE
#define DTYPE "F64"
#define OTHER "F32"
#else
#define DTYPE "F32"
#define OTHER "F64"
#endif
#define PREFIX "{\"__metadata__\":{\"xxh3\":\"0000000000000000\""

static scratch dir;

static dn_comm *alone;

static int set_up(void **state)
{
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

static dn_real numbers[10] = {(dn_real)0.1, (dn_real)-0.0,  (dn_real)NAN, (dn_real)INFINITY, (dn_real)1e-40,
                              (dn_real)3,   (dn_real)-1e30, (dn_real)5,   (dn_real)6,        (dn_real)7};
static const dn_shard whole[] = {{{0, 2, 0, 3}, numbers, 0, 0}, {{0, 1, 0, 4}, numbers + 6, 0, 0}};
static const dn_sharded_tensor tensors[] = {
    {{.name = "wte.weight", .rows = 2, .cols = 3, .type = DN_REAL}, 1, &whole[0]},
    {{.name = "none", .rows = 0, .cols = 4, .type = DN_REAL}, 0, NULL},
    {{.name = "b", .rows = 1, .cols = 4, .type = DN_REAL}, 1, &whole[1]}};
static const dn_meta meta[] = {{"step", "41"}, {"quote", "\"é\n"}};

static dn_status write_small(uint64_t step)
{
    return dn_checkpoint_write(alone, dir.dir, step, 2, meta, 2, tensors, 3, NULL, NULL, 0, NULL);
}

/* Status of opening a file of the directory; closes it again. */
static dn_status open_status(const char *name)
{
    dn_checkpoint *c = NULL;
    dn_status status = dn_checkpoint_open(scratch_path(&dir, name), NULL, NULL, &c);
    assert_true((status == DN_OK) == (c != NULL));
    dn_checkpoint_close(&c);
    return status;
}

static void content_and_directory_are_synced(void **state)
{
    disk.syncs = 0;
    assert_int_equal(write_small(7), DN_OK);
    assert_int_equal(disk.syncs, 2);
}

static void what_was_written_is_read_bit_for_bit(void **state)
{
    dn_checkpoint *c;
    assert_int_equal(write_small(7), DN_OK);
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "step_00000007.safetensors"), NULL, NULL, &c), DN_OK);
    for (size_t i = 0; i < 3; i++) {
        const dn_tensor *t = &tensors[i].tensor;
        const dn_real *data;
        assert_int_equal(dn_checkpoint_tensor(c, t->name, t->rows, t->cols, &data), DN_OK);
        assert_int_equal((uintptr_t)data % sizeof *data, 0);
        if (tensors[i].n_shards > 0)
            assert_memory_equal(data, tensors[i].shards[0].data, t->rows * t->cols * sizeof *data);
    }
    assert_string_equal(dn_checkpoint_meta(c, "step"), "41");
    assert_string_equal(dn_checkpoint_meta(c, "quote"), "\"é\n");
    assert_null(dn_checkpoint_meta(c, "absent"));
    dn_checkpoint_close(&c);
    assert_null(c);
}

/* The bytes, spelled out: what any reader of safetensors relies on, and the checksum taken in one call. */
static void the_file_is_what_the_safetensors_format_says(void **state)
{
    size_t bytes = 0, data = 10 * sizeof(dn_real);
    uint64_t length;
    char expected[1024], digits[17];
    assert_int_equal(write_small(7), DN_OK);
    char *file = scratch_read(scratch_path(&dir, "step_00000007.safetensors"), &bytes);
    assert_non_null(file);
    memcpy(&length, file, sizeof length);
    assert_int_equal((8 + length) % 64, 0);
    assert_int_equal(bytes, 8 + length + data);
    assert_memory_equal(file + 8 + length, numbers, data);

    char *stored = file + 8 + strlen("{\"__metadata__\":{\"xxh3\":\"");
    memcpy(digits, stored, 16);
    digits[16] = '\0';
    memcpy(stored, "0000000000000000", 16);
    assert_int_equal(strtoull(digits, NULL, 16), XXH3_64bits(file, bytes));

    snprintf(expected, sizeof expected,
             PREFIX ",\"step\":\"41\",\"quote\":\"\\\"é\\n\"},"
                    "\"wte.weight\":{\"dtype\":\"" DTYPE "\",\"shape\":[2,3],\"data_offsets\":[0,%zu]},"
                    "\"none\":{\"dtype\":\"" DTYPE "\",\"shape\":[0,4],\"data_offsets\":[%zu,%zu]},"
                    "\"b\":{\"dtype\":\"" DTYPE "\",\"shape\":[1,4],\"data_offsets\":[%zu,%zu]}}",
             6 * sizeof(dn_real), 6 * sizeof(dn_real), 6 * sizeof(dn_real), 6 * sizeof(dn_real), data);
    assert_memory_equal(file + 8, expected, strlen(expected));
    for (const char *pad = file + 8 + strlen(expected); pad < file + 8 + length; pad++)
        assert_int_equal(*pad, ' ');
    free(file);
}

static const char *small_file(void)
{
    assert_int_equal(write_small(7), DN_OK);
    return scratch_path(&dir, "step_00000007.safetensors");
}

static void flip(int fd, off_t at, int bit)
{
    char byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= (char)(1 << bit);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
}

static void every_flipped_bit_is_refused(void **state)
{
    struct stat st;
    int fd = open(small_file(), O_RDWR, 0);
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t i = 0; i < st.st_size; i++)
        for (int bit = 0; bit < 8; bit++) {
            flip(fd, i, bit);
            if (open_status("step_00000007.safetensors") != DN_ERR_CHECKPOINT)
                fail_msg("bit %d of byte %ld of %ld was not noticed", bit, (long)i, (long)st.st_size);
            flip(fd, i, bit);
        }
    assert_non_null(strstr(dn_error_message(), "move this file away"));
    assert_int_equal(open_status("step_00000007.safetensors"), DN_OK);
    close(fd);
}

static void every_truncation_and_anything_appended_is_refused(void **state)
{
    struct stat st;
    assert_int_equal(stat(small_file(), &st), 0);
    for (off_t length = st.st_size + 1; length >= 0; length--) {
        assert_int_equal(truncate(scratch_path(&dir, "step_00000007.safetensors"), length), 0);
        dn_status status = open_status("step_00000007.safetensors");
        assert_int_equal(status, length == st.st_size ? DN_OK : DN_ERR_CHECKPOINT);
        if (length < st.st_size)
            assert_non_null(strstr(dn_error_message(), "truncated"));
    }
}

/* Writes a file with this header, n data bytes and the right checksum: only its structure can be wrong. */
static void forge(const char *name, const char *header, size_t n)
{
    size_t padded = (8 + strlen(header) + 63) / 64 * 64;
    uint64_t length = padded - 8;
    char digits[17], *file = calloc(1, padded + n);
    assert_non_null(file);
    memcpy(file, &length, 8);
    memset(file + 8, ' ', length);
    memcpy(file + 8, header, strlen(header));
    snprintf(digits, sizeof digits, "%016" PRIx64, (uint64_t)XXH3_64bits(file, padded + n));
    memcpy(file + 8 + strlen(PREFIX) - 17, digits, 16);
    assert_true(scratch_write(&dir, name, file, padded + n));
    free(file);
}

static void a_lying_header_with_the_right_checksum_is_refused(void **state)
{
    static const char *const lies[] = {
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,12]}",   /* shape and bytes differ */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[16,32]}",  /* a gap before */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[16,0]}",   /* backwards */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[-2,-2],\"data_offsets\":[0,16]}", /* negative */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[-16,0]}",  /* before the data */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}",    /* ends before the file */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,4],\"data_offsets\":[0,32]}",   /* ends after the file */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}",  /* product 2^64
                                                                                                */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2305843009213693954,2],\"data_offsets\":[0,16]}", /* bytes
                                                                                                  2^64+16 */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[99999999999999999999,1],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":\"F32\",\"shape\":[1,2,2],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2.0,2],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":\"0,16\"}",
        "\"t\":{\"dtype\":\"F16\",\"shape\":[2,4],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":7,\"shape\":[2,2],\"data_offsets\":[0,16]}",
        "\"t\":{\"shape\":[2,2],\"data_offsets\":[0,16]}",
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16],\"more\":1}",
        "\"t\":[0,16]",
        "\"t\":null",
        "\"t\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[8,16]}", /* a gap before, the end right */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},"
        "\"u\":{\"dtype\":\"F32\",\"shape\":[1,3],\"data_offsets\":[4,16]}", /* overlapping */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]},"
        "\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}", /* twice the same name */
        "\"t\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[0,4]},"
        "\"u\":{\"dtype\":\"F64\",\"shape\":[1,1],\"data_offsets\":[4,12]},"
        "\"v\":{\"dtype\":\"F32\",\"shape\":[1,1],\"data_offsets\":[12,16]}", /* a double that is not aligned
                                                                               */
    };
    char header[1024];
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        snprintf(header, sizeof header, PREFIX "},%s}", lies[i]);
        forge("forged", header, 16);
        if (open_status("forged") != DN_ERR_CHECKPOINT)
            fail_msg("believed: %s", lies[i]);
    }
    forge("forged", PREFIX "},\"t\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}", 16);
    assert_int_equal(open_status("forged"), DN_OK);
}

/* Numbers of bfloat16 behind others, in shards: read as what they are, each exactly, but not in place. */
static void bfloat16_is_written_as_it_is_and_read_as_numbers(void **state)
{
    static uint16_t left[4] = {0x3f80, 0xc000, 0x0001, 0x7f7f}, right[2] = {0xff80, 0x8000};
    const double least = ldexp(1, -133), largest = ldexp(255, 120);
    const double expected[6] = {1, -2, -(double)INFINITY, least, largest, -0.0};
    const dn_shard parts[] = {{{0, 2, 0, 2}, left, 0, 0}, {{0, 2, 2, 1}, right, 0, 0}};
    const dn_sharded_tensor both[] = {{{.name = "wide", .rows = 2, .cols = 3, .type = DN_REAL}, 1, &whole[0]},
                                      {{.name = "narrow", .rows = 2, .cols = 3, .type = DN_BF16}, 2, parts}};
    const dn_block all = {0, 2, 0, 3}, corner = {1, 1, 1, 2};
    dn_checkpoint *c;
    const dn_real *data = NULL;
    dn_real x[6];
    assert_int_equal(dn_checkpoint_write(alone, dir.dir, 8, 2, NULL, 0, both, 2, NULL, NULL, 0, NULL), DN_OK);
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "step_00000008.safetensors"), NULL, NULL, &c), DN_OK);
    assert_int_equal(dn_checkpoint_tensor(c, "narrow", 2, 3, &data), DN_ERR_CHECKPOINT);
    assert_int_equal(dn_checkpoint_block(c, "narrow", 2, 3, &all, x), DN_OK);
    for (size_t i = 0; i < 6; i++)
        assert_true((double)x[i] == expected[i]);
    assert_int_equal(dn_checkpoint_block(c, "narrow", 2, 3, &corner, x), DN_OK);
    assert_true((double)x[0] == largest && signbit(x[1]));
    assert_int_equal(dn_checkpoint_block(c, "wide", 2, 3, &all, x), DN_OK);
    assert_memory_equal(x, numbers, sizeof x);
    dn_checkpoint_close(&c);
}

static void files_of_other_kinds_are_refused(void **state)
{
    static char huge[64] = {0, 0, 0, 0, 0, 0, 0, 1}, zeros[4096];
    char deep[3000];
    memset(deep, '[', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    memcpy(deep, PREFIX "},\"t\":", strlen(PREFIX "},\"t\":"));
    forge("deep", deep, 0);
    assert_int_equal(open_status("deep"), DN_ERR_CHECKPOINT);
    assert_true(scratch_write(&dir, "huge", huge, sizeof huge));
    assert_int_equal(open_status("huge"), DN_ERR_CHECKPOINT);
    assert_non_null(strstr(dn_error_message(), "not a safetensors file"));
    assert_true(scratch_write(&dir, "zeros", zeros, sizeof zeros));
    assert_int_equal(open_status("zeros"), DN_ERR_CHECKPOINT);
    assert_int_equal(open_status("absent"), DN_ERR_IO);
    assert_int_equal(open_status("."), DN_ERR_CHECKPOINT);
}

static void a_tensor_must_be_there_with_shape_and_type(void **state)
{
    dn_checkpoint *c;
    const dn_real *data = NULL;
    size_t count = 16 / sizeof(dn_real);
    assert_int_equal(write_small(7), DN_OK);
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "step_00000007.safetensors"), NULL, NULL, &c), DN_OK);
    assert_int_equal(dn_checkpoint_tensor(c, "wte.weight", 3, 2, &data), DN_ERR_CHECKPOINT);
    assert_non_null(strstr(dn_error_message(), "wte.weight is [2, 3], the model needs [3, 2]"));
    assert_int_equal(dn_checkpoint_tensor(c, "lm_head.weight", 2, 3, &data), DN_ERR_CHECKPOINT);
    assert_non_null(strstr(dn_error_message(), "lm_head.weight"));
    assert_int_equal(dn_checkpoint_tensor(c, "__metadata__", 2, 3, &data), DN_ERR_CHECKPOINT);
    dn_checkpoint_close(&c);

    char header[256];
    snprintf(header, sizeof header,
             PREFIX "},\"t\":{\"dtype\":\"" OTHER "\",\"shape\":[1,%zu],\"data_offsets\":[0,%zu]}}", count,
             count * (12 - sizeof(dn_real)));
    forge("other", header, count * (12 - sizeof(dn_real)));
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "other"), NULL, NULL, &c), DN_OK);
    assert_int_equal(dn_checkpoint_tensor(c, "t", 1, count, &data), DN_ERR_CHECKPOINT);
    assert_non_null(strstr(dn_error_message(), "t is " OTHER));
    assert_null(data);
    dn_checkpoint_close(&c);
}

static bool exists(const char *name)
{
    return access(scratch_path(&dir, name), F_OK) == 0;
}

static void assert_latest(const char *name)
{
    char path[PATH_MAX];
    bool found = false;
    assert_int_equal(dn_checkpoint_latest(dir.dir, path, sizeof path, &found), DN_OK);
    assert_true(found);
    assert_string_equal(path, scratch_path(&dir, name));
}

static void the_two_newest_generations_stay(void **state)
{
    for (uint64_t step = 8; step <= 12; step += 2)
        assert_int_equal(write_small(step), DN_OK);
    assert_int_equal(scratch_entries(dir.dir, false), 2);
    assert_true(exists("step_00000010.safetensors") && exists("step_00000012.safetensors"));
    assert_latest("step_00000012.safetensors");
    assert_int_equal(write_small(12), DN_OK); /* once more: nothing changes */
    assert_int_equal(scratch_entries(dir.dir, false), 2);
    assert_int_equal(write_small(99999999), DN_OK);
    assert_int_equal(write_small(100000000), DN_OK); /* by number, not by name */
    assert_int_equal(scratch_entries(dir.dir, false), 2);
    assert_latest("step_100000000.safetensors");
    assert_int_equal(write_small(5), DN_OK); /* never removes itself, nor what is newer */
    assert_int_equal(scratch_entries(dir.dir, false), 3);
}

static dn_status write_kept(uint64_t step, size_t keep)
{
    return dn_checkpoint_write(alone, dir.dir, step, keep, meta, 2, tensors, 3, NULL, NULL, 0, NULL);
}

static int most_files; /* that a writer saw, its own among them */

static void count_files(void *context)
{
    int n = scratch_entries(dir.dir, false);
    most_files = n > most_files ? n : most_files;
}

static void as_many_generations_stay_as_are_asked_for_and_the_oldest_goes_first(void **state)
{
    disk.no_nameless = true;
    for (size_t keep = 1; keep <= 4; keep++) {
        most_files = 0;
        for (uint64_t step = 1; step <= 6; step++) {
            assert_int_equal(dn_checkpoint_write(alone, dir.dir, step, keep, meta, 2, tensors, 3, count_files, NULL, 0, NULL), DN_OK);
            assert_int_equal(scratch_entries(dir.dir, false), step < keep ? step : keep);
        }
        assert_int_equal(most_files, keep > 2 ? keep : 2);
        assert_true(exists("step_00000006.safetensors"));
        scratch_entries(dir.dir, true);
    }
}

static void a_writer_that_fails_leaves_the_newest_whatever_is_kept(void **state)
{
    for (size_t keep = 1; keep <= 3; keep++) {
        for (uint64_t step = 1; step <= 4; step++)
            assert_int_equal(write_kept(step, keep), DN_OK);
        for (int i = 0; i < 3; i++) {
            disk.room = 100;
            assert_int_equal(write_kept(5, keep), DN_ERR_IO);
            disk.room = -1;
            assert_int_equal(open_status("step_00000004.safetensors"), DN_OK);
            assert_int_equal(scratch_entries(dir.dir, false), keep > 2 ? keep - 1 : 1);
        }
        scratch_entries(dir.dir, true);
    }
}

static void assert_best_is_of(const char *step)
{
    dn_checkpoint *c;
    assert_int_equal(dn_checkpoint_peek(scratch_path(&dir, "best.safetensors"), &c), DN_OK);
    assert_string_equal(dn_checkpoint_meta(c, "step"), step);
    dn_checkpoint_close(&c);
    assert_int_equal(open_status("best.safetensors"), DN_OK);
}

static dn_status write_named(uint64_t step)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)step);
    return dn_checkpoint_write(alone, dir.dir, step, 2, (dn_meta[]){{"step", text}}, 1, tensors, 3, NULL, NULL, 0, NULL);
}

static void the_best_stays_beside_the_newest_and_takes_no_room_of_its_own_before(void **state)
{
    size_t n;
    assert_int_equal(write_named(1), DN_OK);
    assert_int_equal(dn_checkpoint_set_best(dir.dir, 1), DN_OK);
    assert_int_equal(dn_checkpoint_set_best(dir.dir, 1), DN_OK); /* again: two names of one file are no trouble */
    assert_int_equal(scratch_entries(dir.dir, false), 2);
    assert_int_equal(dn_checkpoint_count(dir.dir, &n), DN_OK);
    assert_int_equal(n, 1);
    for (uint64_t step = 2; step <= 4; step++)
        assert_int_equal(write_named(step), DN_OK);
    assert_false(exists("step_00000001.safetensors"));
    assert_best_is_of("1");
    assert_latest("step_00000004.safetensors");
    assert_int_equal(dn_checkpoint_count(dir.dir, &n), DN_OK);
    assert_int_equal(n, 3);
    assert_int_equal(dn_checkpoint_set_best(dir.dir, 3), DN_OK);
    assert_best_is_of("3");
    assert_int_equal(dn_checkpoint_count(dir.dir, &n), DN_OK);
    assert_int_equal(n, 2);
    assert_int_equal(dn_checkpoint_set_best(dir.dir, 9), DN_ERR_IO); /* no such generation */
    assert_best_is_of("3");
    assert_true(scratch_write(&dir, "best.safetensors.0a1b2c3d.tmp", "x", 1)); /* of a killed one */
    dn_checkpoint_clean(dir.dir);
    assert_int_equal(scratch_entries(dir.dir, false), 3);
}

static void only_files_with_names_of_ours_are_said_to_be_movable_and_none_to_be_deleted(void **state)
{
    static const char *const names[] = {"step_00000003.safetensors", "best.safetensors", "model.safetensors"};
    for (int i = 0; i < 3; i++) {
        assert_true(scratch_write(&dir, names[i], "{\"not\": \"ours\"}", 15));
        assert_int_equal(open_status(names[i]), DN_ERR_CHECKPOINT);
        assert_null(strstr(dn_error_message(), "delete"));
        assert_int_equal(strstr(dn_error_message(), "move this file away") != NULL, i < 2);
    }
}

static void the_latest_of_nothing_is_none_and_of_a_file_itself(void **state)
{
    char path[PATH_MAX];
    bool found = true;
    assert_int_equal(dn_checkpoint_latest(dir.dir, path, sizeof path, &found), DN_OK);
    assert_false(found);
    found = true;
    assert_int_equal(dn_checkpoint_latest(scratch_path(&dir, "absent"), path, sizeof path, &found), DN_OK);
    assert_false(found);
    assert_int_equal(write_small(3), DN_OK);
    char file[PATH_MAX];
    strcpy(file, scratch_path(&dir, "step_00000003.safetensors"));
    assert_int_equal(dn_checkpoint_latest(file, path, sizeof path, &found), DN_OK);
    assert_true(found);
    assert_string_equal(path, file);
    assert_int_equal(dn_checkpoint_latest(file, path, strlen(file), &found), DN_ERR_ARG);
}

static void leftovers_of_a_killed_writer_go_and_other_files_stay(void **state)
{
    assert_true(scratch_write(&dir, "step_00000009.safetensors.0a1b2c3d.tmp", "x", 1));
    assert_true(scratch_write(&dir, "step_00000009.safetensors.tmp", "x", 1)); /* the user's */
    assert_true(scratch_write(&dir, "notes.0a1b2c3d.tmp", "x", 1));
    assert_true(scratch_write(&dir, "notes.tmp", "x", 1));
    assert_true(scratch_write(&dir, "step_1.safetensors", "x", 1));
    assert_true(scratch_write(&dir, "step_00000001.safetensors.old", "x", 1));
    for (uint64_t step = 20; step < 24; step++)
        assert_int_equal(write_small(step), DN_OK);
    assert_false(exists("step_00000009.safetensors.0a1b2c3d.tmp"));
    assert_int_equal(scratch_entries(dir.dir, false), 7);
    assert_latest("step_00000023.safetensors");
}

static void too_little_free_space_is_said_before_writing(void **state)
{
    assert_int_equal(write_small(1), DN_OK);
    disk.free_claimed = 0;
    assert_int_equal(write_small(2), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "needed"));
    assert_non_null(strstr(dn_error_message(), dir.dir));
    assert_int_equal(scratch_entries(dir.dir, false), 1);
}

static void a_disk_that_fills_up_keeps_the_old_generation_and_nothing_else(void **state)
{
    for (int named = 0; named < 2; named++) {
        disk.no_nameless = named;
        disk.room = -1;
        assert_int_equal(write_small(1), DN_OK);
        for (int64_t room = 0;; room += 13) {
            disk.room = room;
            dn_status status = write_small(2);
            if (status == DN_OK) {
                assert_true(room > 256);
                break;
            }
            assert_int_equal(status, DN_ERR_IO);
            assert_non_null(strstr(dn_error_message(), "step_00000002.safetensors"));
            assert_non_null(strstr(dn_error_message(), "No space left"));
            assert_int_equal(scratch_entries(dir.dir, false), 1);
        }
        disk.room = -1;
        assert_int_equal(open_status("step_00000001.safetensors"), DN_OK);
        assert_int_equal(open_status("step_00000002.safetensors"), DN_OK);
        assert_int_equal(scratch_entries(dir.dir, true), 2);
    }
}

static void count_tick(void *context)
{
    ++*(int *)context;
}

enum {
    LARGE = 9 << 20
}; /* bytes: more than two chunks between ticks, more than one window of write-behind */

static dn_status write_large(void (*tick)(void *), void *context)
{
    static dn_real data[LARGE / sizeof(dn_real)];
    for (size_t i = 0; i < LARGE / sizeof *data; i++)
        data[i] = (dn_real)i;
    dn_shard shard = {{0, 1, 0, LARGE / sizeof *data}, data, 0, 0};
    dn_sharded_tensor tensor = {
        {.name = "large", .rows = 1, .cols = LARGE / sizeof *data, .type = DN_REAL}, 1, &shard};
    return dn_checkpoint_write(alone, dir.dir, 4, 2, NULL, 0, &tensor, 1, tick, context, 0, NULL);
}

static void long_writes_tick_and_large_files_are_read_back(void **state)
{
    int ticks = 0;
    const dn_real *data;
    dn_checkpoint *c;
    assert_int_equal(write_large(count_tick, &ticks), DN_OK);
    assert_in_range(ticks, 3 + 9, 30); /* written, and read back for the sum; then synced */
    assert_int_equal(dn_checkpoint_open(scratch_path(&dir, "step_00000004.safetensors"), NULL, NULL, &c), DN_OK);
    assert_int_equal(dn_checkpoint_tensor(c, "large", 1, LARGE / sizeof *data, &data), DN_OK);
    for (size_t i = 0; i < LARGE / sizeof *data; i += 1001)
        assert_true(data[i] == (dn_real)i);
    dn_checkpoint_close(&c);
}

static bool nameless_works(void)
{
    int fd = open(dir.dir, O_TMPFILE | O_WRONLY, 0600);
    close(fd);
    return fd >= 0;
}

static void die(void *context)
{
    kill(getpid(), SIGKILL);
}

static int write_and_die(void *context)
{
    return write_large(die, NULL) == DN_OK ? 0 : 1;
}

static void a_killed_writer_leaves_nothing_that_the_next_does_not_remove(void **state)
{
    disk.no_nameless = true;
    for (int leftovers = 1; leftovers >= 0; leftovers--) {
        int status = child_run(write_and_die, NULL);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        assert_false(exists("step_00000004.safetensors"));
        assert_int_equal(scratch_entries(dir.dir, false), leftovers);
        assert_int_equal(write_small(5), DN_OK);
        assert_int_equal(scratch_entries(dir.dir, true), 1);
        disk.no_nameless = false;
        if (!nameless_works())
            break;
    }
}

static void a_missing_directory_is_made_and_a_file_in_its_place_is_an_error(void **state)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/a/b", dir.dir);
    assert_int_equal(dn_checkpoint_write(alone, path, 1, 2, meta, 2, tensors, 3, NULL, NULL, 0, NULL), DN_OK);
    assert_int_equal(open_status("a/b/step_00000001.safetensors"), DN_OK);
    assert_int_equal(dn_checkpoint_write(alone, path, 2, 2, (dn_meta[]){{"k", "\xff"}}, 1, tensors, 3, NULL, NULL, 0, NULL),
                     DN_ERR_ARG);
    scratch_entries(path, true);
    rmdir(path);
    assert_true(scratch_write(&dir, "file", "x", 1));
    assert_int_equal(dn_checkpoint_write(alone, scratch_path(&dir, "file"), 1, 2, meta, 2, tensors, 3, NULL, NULL, 0, NULL),
                     DN_ERR_IO);
}

TESTS(checkpoint)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(content_and_directory_are_synced),
        TEST(what_was_written_is_read_bit_for_bit),
        TEST(the_file_is_what_the_safetensors_format_says),
        TEST(every_flipped_bit_is_refused),
        TEST(every_truncation_and_anything_appended_is_refused),
        TEST(a_lying_header_with_the_right_checksum_is_refused),
        TEST(bfloat16_is_written_as_it_is_and_read_as_numbers),
        TEST(files_of_other_kinds_are_refused),
        TEST(a_tensor_must_be_there_with_shape_and_type),
        TEST(the_two_newest_generations_stay),
        TEST(as_many_generations_stay_as_are_asked_for_and_the_oldest_goes_first),
        TEST(a_writer_that_fails_leaves_the_newest_whatever_is_kept),
        TEST(the_best_stays_beside_the_newest_and_takes_no_room_of_its_own_before),
        TEST(only_files_with_names_of_ours_are_said_to_be_movable_and_none_to_be_deleted),
        TEST(the_latest_of_nothing_is_none_and_of_a_file_itself),
        TEST(leftovers_of_a_killed_writer_go_and_other_files_stay),
        TEST(too_little_free_space_is_said_before_writing),
        TEST(a_disk_that_fills_up_keeps_the_old_generation_and_nothing_else),
        TEST(long_writes_tick_and_large_files_are_read_back),
        TEST(a_killed_writer_leaves_nothing_that_the_next_does_not_remove),
        TEST(a_missing_directory_is_made_and_a_file_in_its_place_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
