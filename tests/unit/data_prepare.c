/* Prepared shards put together again must be the text; nothing is left of a preparation that fails. */
#include "data/prepare.h"

#include "../support/disk.h"
#include "../support/scratch.h"
#include "support/close.h"
#include "support/tests.h"

#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <sys/resource.h>
#include <zlib.h>

enum { BLOCK = DN_PREPARE_BLOCK, TEXT = 12 * BLOCK + 123, HUNDRED_MILLION = 100000000 };

static scratch dir;
static char out[PATH_MAX]; /* where shards go */
static uint8_t text[TEXT];

static int set_up(void **state)
{
    for (size_t i = 0; i < TEXT; i++)
        text[i] = (uint8_t)((i * 2654435761u) >> (i % 13));
    if (!scratch_make(&dir) || !scratch_write(&dir, "text", text, TEXT))
        return -1;
    snprintf(out, sizeof out, "%s/out", dir.dir);
    return 0;
}

static int tear_down(void **state)
{
    disk.room = disk.free_claimed = -1;
    disk.no_nameless = false;
    scratch_remove(&dir);
    return 0;
}

static dn_status prepare_files(const char *const *files, size_t n, double fraction, uint64_t shard_tokens,
                               dn_prepare_result *result)
{
    return dn_prepare_shards(files, n, out, &(dn_prepare_options){.val_fraction = fraction}, shard_tokens, NULL, NULL,
                             result);
}

static dn_status prepare_one(const char *name, double fraction, uint64_t shard_tokens,
                             dn_prepare_result *result)
{
    const char *file = scratch_path(&dir, name);
    return prepare_files(&file, 1, fraction, shard_tokens, result);
}

/* All tokens of the shards of one kind, one after the other; asserts headers and that only the last is short.
 */
static size_t read_shards(const char *kind, uint64_t shard_tokens, uint8_t *tokens, size_t *n_shards)
{
    size_t total = 0, previous = shard_tokens;
    for (*n_shards = 0;; ++*n_shards) {
        char path[PATH_MAX + 32];
        size_t bytes = 0;
        snprintf(path, sizeof path, "%s/%s_%06zu.bin", out, kind, *n_shards);
        char *shard = scratch_read(path, &bytes);
        if (!shard)
            return total;
        const int32_t *header = (const int32_t *)shard;
        assert_true(bytes >= 1024);
        assert_int_equal(header[0], 20240520);
        assert_int_equal(header[1], 1);
        assert_int_equal(bytes, 1024 + 2 * (size_t)header[2]);
        assert_int_equal(previous, shard_tokens);
        previous = (size_t)header[2];
        for (size_t i = 0; i < previous; i++) {
            uint16_t token = ((const uint16_t *)(shard + 1024))[i];
            assert_true(token < 256 && total < TEXT);
            tokens[total++] = (uint8_t)token;
        }
        free(shard);
    }
}

/* Lays the blocks of both kinds down in turn and compares with the text; returns the number of shard files.
 */
static size_t assert_shards_are_the_text(double fraction, uint64_t shard_tokens,
                                         const dn_prepare_result *result)
{
    static uint8_t train[TEXT], val[TEXT];
    size_t n_train, n_val, train_at = 0, val_at = 0;
    assert_int_equal(result->train_tokens, read_shards("train", shard_tokens, train, &n_train));
    assert_int_equal(result->val_tokens, read_shards("val", shard_tokens, val, &n_val));
    assert_int_equal(result->train_tokens + result->val_tokens, TEXT);
    for (size_t at = 0; at < TEXT; at += BLOCK) {
        bool is_val = dn_prepare_is_validation(at / BLOCK, fraction);
        size_t n = TEXT - at < BLOCK ? TEXT - at : BLOCK;
        assert_memory_equal(text + at, is_val ? val + val_at : train + train_at, n);
        *(is_val ? &val_at : &train_at) += n;
    }
    return n_train + n_val;
}

static void shards_put_together_are_the_text(void **state)
{
    double fractions[] = {0.01, 0.1, 0.3, 0.5, 0.9};
    uint64_t limits[] = {HUNDRED_MILLION, 100000, BLOCK};
    for (size_t f = 0; f < 5; f++)
        for (size_t l = 0; l < 3; l++) {
            dn_prepare_result result;
            assert_int_equal(prepare_one("text", fractions[f], limits[l], &result), DN_OK);
            size_t shards = assert_shards_are_the_text(fractions[f], limits[l], &result);
            assert_int_equal(scratch_entries(out, false), shards); /* none of the last, longer preparation */
        }
}

static void the_public_call_makes_one_shard_of_each_kind_of_a_small_text(void **state)
{
    const char *file = scratch_path(&dir, "text");
    dn_prepare_result result;
    assert_int_equal(dn_prepare(&file, 1, out, &(dn_prepare_options){.val_fraction = 0.1}, NULL, NULL, &result), DN_OK);
    assert_int_equal(assert_shards_are_the_text(0.1, HUNDRED_MILLION, &result), 2);
}

static void validation_blocks_are_evenly_spread(void **state)
{
    double fractions[] = {0.001, 0.05, 0.1, 0.25, 1.0 / 3, 0.5, 0.75};
    for (size_t f = 0; f < 7; f++) {
        uint64_t n = 20000, last = 1, count = 0;
        for (uint64_t block = 0; block < n; block++) {
            if (!dn_prepare_is_validation(block, fractions[f]))
                continue;
            double gap = (double)(block - last);
            assert_true(count == 0 || fabs(gap - 1 / fractions[f]) < 1);
            last = block;
            count++;
        }
        assert_close((double)count, fractions[f] * (double)n, 2);
        assert_false(dn_prepare_is_validation(0, fractions[f]));
        assert_true(dn_prepare_is_validation(1, fractions[f]));
    }
}

static void several_files_are_one_text(void **state)
{
    char paths[3][PATH_MAX];
    size_t cut[] = {0, 100, 5 * BLOCK + 1, TEXT};
    for (size_t i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "part%zu", i);
        assert_true(scratch_write(&dir, name, text + cut[i], cut[i + 1] - cut[i]));
        strcpy(paths[i], dir.path);
    }
    dn_prepare_result result;
    assert_int_equal(prepare_files((const char *[]){paths[0], paths[1], paths[2]}, 3, 0.1, 200000, &result),
                     DN_OK);
    assert_shards_are_the_text(0.1, 200000, &result);
}

/* Hidden files, links to nothing and earlier shards in `out` are no text. */
static void a_folder_is_the_files_in_it_in_the_order_of_their_names(void **state)
{
    static const struct {
        const char *name;
        size_t begin, end;
    } parts[] = {{"text", 0, 0}, {"b/late", 4 * BLOCK, 5 * BLOCK}, {"b/z/last", 5 * BLOCK, TEXT},
                 {"a", 0, 4 * BLOCK}, {"b/.hidden", 0, BLOCK}};
    assert_int_equal(mkdir(scratch_path(&dir, "b"), 0777), 0);
    assert_int_equal(mkdir(scratch_path(&dir, "b/z"), 0777), 0);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_true(scratch_write(&dir, parts[i].name, text + parts[i].begin, parts[i].end - parts[i].begin));
    assert_int_equal(symlink("nowhere", scratch_path(&dir, "b/link")), 0);
    for (int turn = 0; turn < 2; turn++) { /* the second finds the shards of the first */
        dn_prepare_result result;
        assert_int_equal(prepare_one(".", 0.1, 200000, &result), DN_OK);
        assert_shards_are_the_text(0.1, 200000, &result);
    }
}

/* Only what was made for it is taken away, however deep. */
static void a_preparation_that_fails_leaves_no_empty_folder(void **state)
{
    dn_prepare_result result;
    char deep[PATH_MAX + 8];
    assert_true(scratch_write(&dir, "short", text, 100));
    assert_int_equal(mkdir(scratch_path(&dir, "empty"), 0777), 0);
    strcpy(deep, scratch_path(&dir, "empty"));
    const char *file = scratch_path(&dir, "short");
    assert_int_equal(dn_prepare_shards(&file, 1, deep, &(dn_prepare_options){.val_fraction = 0.1}, BLOCK, NULL, NULL, &result), DN_ERR_DATA);
    assert_int_equal(access(deep, F_OK), 0);
    strcat(deep, "/x//y/");
    assert_int_equal(dn_prepare_shards(&file, 1, deep, &(dn_prepare_options){.val_fraction = 0.1}, BLOCK, NULL, NULL, &result), DN_ERR_DATA);
    assert_int_equal(scratch_entries(scratch_path(&dir, "empty"), false), 0);
    assert_int_equal(prepare_one("empty", 0.1, BLOCK, &result), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "no file in"));
    assert_int_not_equal(access(out, F_OK), 0);
}

/* Two gzip members in one file; of dictzip the mark is the extra field "RA" in the first header. */
static void write_gzip(const char *name)
{
    static uint8_t packed[2 * TEXT];
    uint8_t extra[] = {'R', 'A', 6, 0, 1, 0, 0, 0, 0, 0};
    size_t at = 0, cut[] = {0, 3 * BLOCK + 7, TEXT};
    for (int i = 0; i < 2; i++) {
        z_stream z = {0};
        gz_header header = {.extra = extra, .extra_len = sizeof extra, .os = 3};
        assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
        assert_int_equal(deflateSetHeader(&z, &header), Z_OK);
        z.next_in = text + cut[i];
        z.avail_in = (unsigned)(cut[i + 1] - cut[i]);
        z.next_out = packed + at;
        z.avail_out = (unsigned)(sizeof packed - at);
        assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
        at += z.total_out;
        deflateEnd(&z);
    }
    assert_true(scratch_write(&dir, name, packed, at));
}

static void gzip_and_dictzip_are_read_as_what_is_in_them(void **state)
{
    dn_prepare_result result;
    write_gzip("text.dict.dz");
    assert_int_equal(prepare_one("text.dict.dz", 0.1, HUNDRED_MILLION, &result), DN_OK);
    assert_shards_are_the_text(0.1, HUNDRED_MILLION, &result);
}

static void damaged_gzip_is_refused_and_leaves_nothing(void **state)
{
    size_t bytes = 0;
    dn_prepare_result result = {.train_tokens = 77, .val_tokens = 77};
    write_gzip("good.gz");
    char *packed = scratch_read(dir.path, &bytes);
    assert_non_null(packed);
    size_t cuts[] = {5, 30, bytes / 2, bytes - 4};
    for (size_t i = 0; i < 4; i++) {
        assert_true(scratch_write(&dir, "cut.gz", packed, cuts[i]));
        assert_int_equal(prepare_one("cut.gz", 0.1, HUNDRED_MILLION, &result), DN_ERR_DATA);
        assert_non_null(strstr(dn_error_message(), "cut.gz: gzip data ends too early"));
        assert_int_equal(scratch_entries(out, false), 0);
    }
    packed[bytes - 6] ^= 1; /* the checksum of the second member */
    assert_true(scratch_write(&dir, "flipped.gz", packed, bytes));
    assert_int_equal(prepare_one("flipped.gz", 0.1, HUNDRED_MILLION, &result), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "flipped.gz: damaged gzip data"));
    assert_int_equal(scratch_entries(out, false), 0);
    assert_int_equal(result.train_tokens, 77);
    free(packed);
}

static void refuse_gzip(const char *packed, size_t bytes, const char *words)
{
    dn_prepare_result result;
    assert_true(scratch_write(&dir, "bad.gz", packed, bytes));
    assert_int_equal(prepare_one("bad.gz", 0.1, HUNDRED_MILLION, &result), DN_ERR_DATA);
    if (!strstr(dn_error_message(), words))
        fail_msg("'%s' lacks '%s'", dn_error_message(), words);
    assert_int_equal(scratch_entries(out, false), 0);
}

/* A member whose header is damaged must not end the text, nor must anything else behind a member: zlib's
 * gzread passes over both. */
static void nothing_behind_a_gzip_member_is_passed_over(void **state)
{
    size_t bytes = 0, second = 0;
    write_gzip("good.gz");
    char *packed = scratch_read(dir.path, &bytes);
    assert_non_null(packed);
    for (size_t at = 1; at + 3 < bytes && !second; at++)
        if (memcmp(packed + at, "\x1f\x8b\x08\x04", 4) == 0) /* an extra field, as write_gzip gives it */
            second = at;
    assert_true(second > 0);

    for (size_t at = second; at < second + 3; at++) { /* magic number, method */
        packed[at] ^= 0x40;
        refuse_gzip(packed, bytes, "what follows member 1");
        packed[at] ^= 0x40;
    }
    packed[second + 3] |= (char)0x80; /* a flag that does not exist */
    refuse_gzip(packed, bytes, "what follows member 1");
    packed[second + 3] &= 0x7f;
    packed[0] ^= 1;
    refuse_gzip(packed, bytes, "bad.gz: damaged gzip data: no gzip header");
    packed[0] ^= 1;
    refuse_gzip(packed, 0, "no gzip header");
    refuse_gzip(packed, second + 1, "gzip data ends too early"); /* one byte of the next header */

    char *longer = calloc(1, bytes + 600000);
    assert_non_null(longer);
    memcpy(longer, packed, bytes);
    size_t behind[] = {1, 2, 512, 600000};
    for (size_t i = 0; i < 4; i++) {
        refuse_gzip(longer, bytes + behind[i], behind[i] == 1 ? "ends too early" : "what follows member 2");
        longer[bytes] = 'x';
        refuse_gzip(longer, bytes + behind[i], behind[i] == 1 ? "ends too early" : "what follows member 2");
        longer[bytes] = 0;
    }
    free(longer);
    free(packed);
}

/* As these programs begin their files; text that begins like one is text. */
static void what_other_programs_compressed_is_refused_by_name(void **state)
{
    static const struct {
        const char *begin, *told;
        size_t n;
    } files[] = {
        {"\xfd" "7zXZ\0\0\4", "(unxz)", 8},
        {"\x28\xb5\x2f\xfd\x04", "(unzstd)", 5},
        {"BZh91AY&SY\xd3", "(bunzip2)", 11},
        {"PK\3\4\x14", "(unzip)", 5},
        {"7z\xbc\xaf\x27\x1c\0", "(7z x)", 7},
        {"\x04\x22\x4d\x18\x60", "(unlz4)", 5},
        {"\x93NUMPY\1", "(numpy.load(", 7},
        {"BZh9 is how bzip2 begins", NULL, 24},
        {"PK", NULL, 2},
    };
    dn_prepare_result result;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        static uint8_t content[TEXT];
        memcpy(content, text, TEXT);
        memcpy(content, files[i].begin, files[i].n);
        assert_true(scratch_write(&dir, "packed", content, TEXT));
        assert_int_equal(prepare_one("packed", 0.1, HUNDRED_MILLION, &result), files[i].told ? DN_ERR_DATA : DN_OK);
        if (!files[i].told)
            continue;
        assert_non_null(strstr(dn_error_message(), files[i].told));
        assert_non_null(strstr(dn_error_message(), "/packed: "));
        assert_int_equal(scratch_entries(out, false), 0);
    }
}

struct seen {
    uint64_t done, total;
    int calls;
};

static void look(uint64_t done, uint64_t total, void *context)
{
    struct seen *seen = context;
    assert_true(done >= seen->done);
    *seen = (struct seen){done, total, seen->calls + 1};
}

static void standard_input_is_read_and_progress_ends_at_the_total(void **state)
{
    struct seen seen = {0};
    dn_prepare_result result;
    int saved = dup(STDIN_FILENO), fd = open(scratch_path(&dir, "text"), O_RDONLY, 0);
    assert_true(saved >= 0 && dup2(fd, STDIN_FILENO) == STDIN_FILENO);
    dn_status status =
        dn_prepare_shards((const char *[]){"-"}, 1, out, &(dn_prepare_options){.val_fraction = 0.1}, HUNDRED_MILLION, look, &seen, &result);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(fd);
    assert_int_equal(status, DN_OK);
    assert_shards_are_the_text(0.1, HUNDRED_MILLION, &result);
    assert_int_equal(seen.total, TEXT);
    assert_int_equal(seen.done, TEXT);
    assert_true(seen.calls > 12);
}

static void a_pipe_has_no_known_total(void **state)
{
    static const uint8_t few[1000];
    struct seen seen = {.total = 1};
    dn_prepare_result result;
    int saved = dup(STDIN_FILENO), ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], few, sizeof few), sizeof few);
    close(ends[1]);
    dup2(ends[0], STDIN_FILENO);
    dn_status status =
        dn_prepare_shards((const char *[]){"-"}, 1, out, &(dn_prepare_options){.val_fraction = 0.1}, HUNDRED_MILLION, look, &seen, &result);
    dup2(saved, STDIN_FILENO);
    close(saved);
    close(ends[0]);
    assert_int_equal(status, DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "1000 bytes"));
    assert_int_equal(seen.total, 0);
    assert_int_equal(scratch_entries(out, false), 0);
}

static void two_blocks_are_enough_and_one_byte_less_is_not(void **state)
{
    dn_prepare_result result;
    assert_true(scratch_write(&dir, "short", text, 2 * BLOCK));
    assert_int_equal(prepare_one("short", 0.01, HUNDRED_MILLION, &result), DN_OK);
    assert_int_equal(result.train_tokens, BLOCK);
    assert_int_equal(result.val_tokens, BLOCK);
    scratch_entries(out, true);
    assert_true(scratch_write(&dir, "short", text, 2 * BLOCK - 1));
    assert_int_equal(prepare_one("short", 0.01, HUNDRED_MILLION, &result), DN_ERR_DATA);
    assert_int_equal(scratch_entries(out, false), 0);
}

static void more_shards_than_descriptors_are_written(void **state)
{
    struct rlimit before;
    dn_prepare_result result;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, before.rlim_max}), 0);
    assert_int_equal(prepare_one("text", 0.1, 5000, &result), DN_OK);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_shards_are_the_text(0.1, 5000, &result);
}

static void wrong_arguments_and_inputs_are_refused(void **state)
{
    dn_prepare_result result;
    double fractions[] = {0, 1, -0.1, NAN};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(prepare_one("text", fractions[i], HUNDRED_MILLION, &result), DN_ERR_ARG);
    assert_int_equal(prepare_one("absent", 0.1, HUNDRED_MILLION, &result), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "absent"));
    strcpy(out, scratch_path(&dir, "text"));
    assert_int_equal(prepare_one("text", 0.1, HUNDRED_MILLION, &result), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "not a directory"));
}

static void a_full_disk_leaves_the_earlier_shards_and_nothing_else(void **state)
{
    dn_prepare_result result, earlier;
    assert_int_equal(prepare_one("text", 0.1, HUNDRED_MILLION, &earlier), DN_OK);
    disk.free_claimed = 2 * TEXT - 8192;
    assert_int_equal(prepare_one("text", 0.5, 100000, &result), DN_ERR_IO);
    assert_non_null(strstr(dn_error_message(), "1.6 MB are needed, only 1.6 MB are free"));
    disk.free_claimed = -1;
    for (int named = 0; named < 2; named++)
        for (int64_t room = 0; room < 2 * TEXT; room += 99991) {
            disk.no_nameless = named;
            disk.room = room;
            assert_int_equal(prepare_one("text", 0.5, 100000, &result), DN_ERR_IO);
            assert_non_null(strstr(dn_error_message(), ".bin: stopped after"));
            assert_int_equal(scratch_entries(out, false), 2);
        }
    disk.room = -1;
    assert_shards_are_the_text(0.1, HUNDRED_MILLION, &earlier);
}

static void leftovers_of_a_killed_preparation_are_no_obstacle(void **state)
{
    dn_prepare_result result;
    assert_int_equal(mkdir(out, 0700), 0);
    for (int named = 0; named < 2; named++) {
        disk.no_nameless = named;
        assert_true(scratch_write(&dir, "out/train_000000.bin.0a1b2c3d.tmp", "x", 1));
        assert_int_equal(prepare_one("text", 0.1, HUNDRED_MILLION, &result), DN_OK);
        assert_int_equal(assert_shards_are_the_text(0.1, HUNDRED_MILLION, &result),
                         scratch_entries(out, false));
    }
}

TESTS(data_prepare)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(shards_put_together_are_the_text),
        TEST(the_public_call_makes_one_shard_of_each_kind_of_a_small_text),
        TEST(validation_blocks_are_evenly_spread),
        TEST(several_files_are_one_text),
        TEST(a_folder_is_the_files_in_it_in_the_order_of_their_names),
        TEST(a_preparation_that_fails_leaves_no_empty_folder),
        TEST(gzip_and_dictzip_are_read_as_what_is_in_them),
        TEST(damaged_gzip_is_refused_and_leaves_nothing),
        TEST(nothing_behind_a_gzip_member_is_passed_over),
        TEST(what_other_programs_compressed_is_refused_by_name),
        TEST(standard_input_is_read_and_progress_ends_at_the_total),
        TEST(a_pipe_has_no_known_total),
        TEST(two_blocks_are_enough_and_one_byte_less_is_not),
        TEST(more_shards_than_descriptors_are_written),
        TEST(wrong_arguments_and_inputs_are_refused),
        TEST(leftovers_of_a_killed_preparation_are_no_obstacle),
        TEST(a_full_disk_leaves_the_earlier_shards_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
