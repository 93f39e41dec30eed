/* Token files against the same tokens kept in an array; every way a file can be wrong. */
#include "data/tokens.h"

#include "../support/scratch.h"
#include "support/tests.h"

#include <sys/resource.h>

static scratch dir;

static int set_up(void **state)
{
    return scratch_make(&dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return 0;
}

/* Opens pattern and demands failure with this status and all of these words in the message. */
static void assert_refused(const char *name, dn_status status, const char *const *words)
{
    dn_tokens *tokens = NULL;
    assert_int_equal(dn_tokens_open(scratch_path(&dir, name), DN_TOKENS_SHARDS, &tokens), status);
    assert_null(tokens);
    for (; *words; words++)
        if (!strstr(dn_error_message(), *words))
            fail_msg("'%s' is not in '%s'", *words, dn_error_message());
}

static void every_slice_of_several_shards_is_that_of_the_whole_stream(void **state)
{
    uint16_t whole[30];
    for (size_t i = 0; i < 30; i++)
        whole[i] = (uint16_t)(2000 * i + 7);
    size_t cut[] = {0, 11, 11, 12, 30}; /* the second shard is empty */
    for (size_t i = 0; i < 4; i++) {
        char name[16];
        snprintf(name, sizeof name, "s_%zu.bin", 3 - i); /* made last to first: order must come from names */
        assert_true(scratch_write_shard(&dir, name, whole + cut[3 - i], cut[4 - i] - cut[3 - i]));
    }
    dn_tokens *tokens;
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "s_*.bin"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    assert_int_equal(dn_tokens_count(tokens), 30);
    for (size_t first = 0; first <= 30; first++)
        for (size_t n = 0; n <= 30 - first; n++) {
            int32_t out[31];
            out[n] = -1;
            assert_int_equal(dn_tokens_read(tokens, first, n, 65536, out), DN_OK);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(out[i], whole[first + i]);
            assert_int_equal(out[n], -1);
        }
    dn_tokens_close(&tokens);
    assert_null(tokens);
}

static void any_other_file_is_read_as_bytes_and_long_reads_are_complete(void **state)
{
    enum { n = 20000 };
    static uint8_t text[n];
    static int32_t out[n];
    for (size_t i = 0; i < n; i++)
        text[i] = (uint8_t)(i * i >> 3);
    assert_true(scratch_write(&dir, "text.txt", text, n));
    dn_tokens *tokens;
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "text.txt"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    assert_int_equal(dn_tokens_count(tokens), n);
    assert_int_equal(dn_tokens_read(tokens, 0, n, 256, out), DN_OK);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(out[i], text[i]);
    dn_tokens_close(&tokens);
}

static void files_that_other_programs_packed_are_refused_by_name(void **state)
{
    static const struct {
        const char *begin, *told;
    } files[] = {{"\x1f\x8b\x08", "(gunzip)"}, {"PK\3\4", "(unzip)"}, {"\x28\xb5\x2f\xfd", "(unzstd)"},
                 {"\x93NUMPY", "(numpy.load("}, {"PK, in plain words", NULL}, {"P", NULL}};
    for (size_t i = 0; i < 2 * sizeof files / sizeof *files; i++) {
        const char *begin = files[i / 2].begin, *told = files[i / 2].told;
        char bytes[64] = "";
        dn_tokens *tokens = NULL;
        strcpy(bytes, begin);
        assert_true(scratch_write(&dir, "packed", bytes, sizeof bytes));
        dn_status status = dn_tokens_open(scratch_path(&dir, "packed"), i % 2 ? DN_TOKENS_UINT16 : DN_TOKENS_SHARDS, &tokens);
        assert_int_equal(status, told ? DN_ERR_DATA : DN_OK);
        if (told)
            assert_non_null(strstr(dn_error_message(), told));
        dn_tokens_close(&tokens);
    }
}

static void a_shard_is_known_by_its_magic_whatever_its_name(void **state)
{
    uint16_t token = 50000;
    int32_t out;
    dn_tokens *tokens;
    assert_true(scratch_write_shard(&dir, "shard.data", &token, 1));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "shard.data"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    assert_int_equal(dn_tokens_count(tokens), 1);
    assert_int_equal(dn_tokens_read(tokens, 0, 1, 50257, &out), DN_OK);
    assert_int_equal(out, 50000);
    dn_tokens_close(&tokens);
}

/* A shard as a header and tokens of its kind say, with what dionode prepare adds. */
static void write_shard_32(const char *name, const uint32_t *tokens, size_t n, uint32_t tokenizer,
                           uint32_t text)
{
    char file[1024 + 4 * 16] = {0};
    int32_t header[] = {20240801, 7, (int32_t)n, (int32_t)tokenizer, 0, (int32_t)text, 1};
    memcpy(file, header, sizeof header);
    memcpy(file + 1024, tokens, 4 * n);
    assert_true(scratch_write(&dir, name, file, 1024 + 4 * n));
}

static void shards_of_32_bits_are_read_and_know_their_origin(void **state)
{
    const uint32_t tokens[] = {128000, 0, 65536, 7};
    int32_t out[8];
    dn_tokens *opened;
    write_shard_32("wide_0.bin", tokens, 4, 5, 100);
    write_shard_32("wide_1.bin", tokens, 3, 5, 11);
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "wide_*.bin"), DN_TOKENS_SHARDS, &opened), DN_OK);
    assert_int_equal(dn_tokens_count(opened), 7);
    assert_int_equal(dn_tokens_read(opened, 0, 7, 128001, out), DN_OK);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(out[i], tokens[i % 4]);
    assert_int_equal(dn_tokens_origin_of(opened).tokenizer, 5);
    assert_int_equal(dn_tokens_origin_of(opened).text_bytes, 111 + (UINT64_C(2) << 32));
    assert_int_equal(dn_tokens_read(opened, 0, 7, 128000, out), DN_ERR_DATA);
    dn_tokens_close(&opened);
    write_shard_32("wide_2.bin", tokens, 4, 6, 100);
    assert_refused("wide_*.bin", DN_ERR_DATA,
                   (const char *[]){"wide_0.bin", "wide_2.bin", "tokenizers", NULL});
    const uint32_t beyond = UINT32_MAX;
    write_shard_32("beyond.bin", &beyond, 1, 0, 0);
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "beyond.bin"), DN_TOKENS_SHARDS, &opened), DN_OK);
    assert_int_equal(dn_tokens_read(opened, 0, 1, SIZE_MAX >> 33, out), DN_ERR_DATA);
    dn_tokens_close(&opened);
}

static void a_header_has_what_is_read_back(void **state)
{
    dn_shard_header narrow = dn_shard_header_of(3, 65536, 0, 0),
                    wide = dn_shard_header_of(3, 65537, UINT64_MAX - 1, 6);
    assert_int_equal(narrow.magic, 20240520);
    assert_int_equal(dn_shard_width(65536), 2);
    assert_int_equal(wide.magic, 20240801);
    assert_int_equal(dn_shard_width(65537), 4);
    char file[1024 + 12] = {0};
    dn_tokens *opened;
    memcpy(file, &wide, sizeof wide);
    assert_true(scratch_write(&dir, "own.bin", file, sizeof file));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "own.bin"), DN_TOKENS_SHARDS, &opened), DN_OK);
    assert_true(dn_tokens_origin_of(opened).tokenizer == UINT64_MAX - 1);
    assert_int_equal(dn_tokens_origin_of(opened).text_bytes, 6);
    dn_tokens_close(&opened);
}

static void tokens_without_a_header_are_read_when_asked_for(void **state)
{
    const uint16_t tokens[] = {50256, 1, 24872, 309};
    int32_t out[4];
    dn_tokens *opened;
    assert_true(scratch_write(&dir, "bare.bin", tokens, sizeof tokens));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "bare.bin"), DN_TOKENS_UINT16, &opened), DN_OK);
    assert_int_equal(dn_tokens_count(opened), 4);
    assert_int_equal(dn_tokens_read(opened, 0, 4, 50257, out), DN_OK);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(out[i], tokens[i]);
    dn_tokens_close(&opened);
    assert_true(scratch_write(&dir, "odd.bin", tokens, 7));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "odd.bin"), DN_TOKENS_UINT16, &opened), DN_ERR_DATA);
}

static void wrong_files_are_refused_by_name_with_the_reason(void **state)
{
    char shard[1024 + 2 * 4] = {0};
    int32_t *header = (int32_t *)shard;
    assert_refused("nothing_*.bin", DN_ERR_DATA, (const char *[]){"nothing_*.bin", "prepare", NULL});
    assert_refused("", DN_ERR_DATA, (const char *[]){dir.dir, "not a file", NULL});

    assert_true(scratch_write(&dir, "empty.txt", "", 0));
    assert_refused("empty.txt", DN_ERR_DATA, (const char *[]){"empty.txt", "no tokens", NULL});
    assert_true(scratch_write(&dir, "empty.bin", "", 0));
    assert_refused("empty.bin", DN_ERR_DATA, (const char *[]){"empty.bin: 0 bytes", NULL});

    header[0] = 20240802;
    assert_true(scratch_write(&dir, "magic.bin", shard, sizeof shard));
    assert_refused("magic.bin", DN_ERR_DATA, (const char *[]){"magic.bin", "20240802", "20240520", NULL});
    header[0] = 20240520;
    header[1] = 2;
    assert_true(scratch_write(&dir, "version.bin", shard, sizeof shard));
    assert_refused("version.bin", DN_ERR_DATA, (const char *[]){"version.bin", "version 2", NULL});
    header[1] = 1;
    header[2] = -1;
    assert_true(scratch_write(&dir, "negative.bin", shard, sizeof shard));
    assert_refused("negative.bin", DN_ERR_DATA,
                   (const char *[]){"negative.bin", "truncated or damaged", NULL});
}

/* What other programs write is told by what it is, with what to do about it. */
static void files_of_other_programs_are_recognized(void **state)
{
    uint16_t tokens[3000], noise[3000];
    for (size_t i = 0; i < 3000; i++) {
        tokens[i] = (uint16_t)(i * 7919 % 50257);
        noise[i] = (uint16_t)(i * 2654435761u >> 8);
    }
    const char *const header[] = {"16-bit tokens without a header", "nanoGPT", "data_format: uint16", NULL};
    assert_true(scratch_write(&dir, "nano.bin", tokens, sizeof tokens));
    assert_refused("nano.bin", DN_ERR_DATA, header);
    for (size_t i = 0; i < 3000; i++)
        tokens[i] %= 65; /* of characters */
    assert_true(scratch_write(&dir, "nano.bin", tokens, sizeof tokens));
    assert_refused("nano.bin", DN_ERR_DATA, header);

    const char *const magic[] = {"wrong magic", "dionode prepare", NULL};
    assert_true(scratch_write(&dir, "noise.bin", noise, sizeof noise));
    assert_refused("noise.bin", DN_ERR_DATA, magic);
    static char text[6000];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "In the beginning\n"[i % 17];
    assert_true(scratch_write(&dir, "text.bin", text, sizeof text));
    assert_refused("text.bin", DN_ERR_DATA, magic);
    static const char zeros[6000];
    assert_true(scratch_write(&dir, "zeros.bin", zeros, sizeof zeros));
    assert_refused("zeros.bin", DN_ERR_DATA, magic);

    for (int too_many = 0; too_many < 2; too_many++) { /* sparse: nothing is written of it */
        int32_t huge[256] = {20240520, 1, too_many ? INT32_MIN : INT32_MAX};
        assert_true(scratch_write(&dir, "huge.bin", huge, sizeof huge));
        assert_int_equal(truncate(dir.path, 1024 + 2 * ((off_t)INT32_MAX + too_many)), 0);
        dn_tokens *opened = NULL;
        dn_status status = dn_tokens_open(dir.path, DN_TOKENS_SHARDS, &opened);
        assert_int_equal(status, too_many ? DN_ERR_DATA : DN_OK);
        dn_tokens_close(&opened);
    }
    assert_non_null(
        strstr(dn_error_message(), "2147483648 tokens, but a shard's header counts to 2147483647"));
}

static void a_pipe_is_refused_and_not_waited_for(void **state)
{
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "pipe.txt" : "pipe.bin";
        assert_int_equal(mkfifo(scratch_path(&dir, name), 0600), 0);
        assert_refused(name, DN_ERR_DATA, (const char *[]){name, "is a pipe", NULL});
    }
}

static void more_files_than_descriptors_are_opened(void **state)
{
    enum { FILES = 300 };
    struct rlimit before, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (size_t i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "many_%03zu.bin", i);
        assert_true(scratch_write_shard(&dir, name, (const uint16_t[]){(uint16_t)i}, 1));
    }
    few = (struct rlimit){64, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    dn_tokens *tokens;
    int32_t out[FILES];
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "many_*.bin"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    assert_int_equal(dn_tokens_read(tokens, 0, FILES, 65536, out), DN_OK);
    for (int32_t i = 0; i < FILES; i++)
        assert_int_equal(out[i], i);
    for (int i = 0; i < 100; i++) /* what else a run opens */
        assert_true(dup(STDIN_FILENO) >= 0);
    dn_tokens_close(&tokens);

    few = (struct rlimit){64, 2 * FILES - 1}; /* for the rest of this program: these tests are its last */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_refused("many_*.bin", DN_ERR_IO,
                   (const char *[]){"300 files", "may open 599", "ulimit -Hn", NULL});
}

static void a_shard_cut_at_any_length_is_refused(void **state)
{
    char shard[1024 + 2 * 4 + 1] = {0};
    int32_t header[3] = {20240520, 1, 4};
    memcpy(shard, header, sizeof header);
    assert_true(scratch_write(&dir, "cut.bin", shard, sizeof shard));
    for (size_t bytes = sizeof shard + 1; bytes-- > 0;) {
        dn_tokens *tokens = NULL;
        assert_int_equal(truncate(scratch_path(&dir, "cut.bin"), (off_t)bytes), 0);
        dn_status status = dn_tokens_open(dir.path, DN_TOKENS_SHARDS, &tokens);
        assert_int_equal(status, bytes == sizeof shard - 1 ? DN_OK : DN_ERR_DATA);
        dn_tokens_close(&tokens);
    }
}

static void a_token_beyond_the_vocabulary_is_named_with_file_and_position(void **state)
{
    uint16_t a[3] = {1, 2, 3}, b[3] = {4, 300, 5};
    int32_t out[6];
    dn_tokens *tokens;
    assert_true(scratch_write_shard(&dir, "v_0.bin", a, 3));
    assert_true(scratch_write_shard(&dir, "v_1.bin", b, 3));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "v_*.bin"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    assert_int_equal(dn_tokens_read(tokens, 0, 6, 301, out), DN_OK);
    assert_int_equal(dn_tokens_read(tokens, 0, 4, 300, out), DN_OK);
    assert_int_equal(dn_tokens_read(tokens, 2, 4, 300, out), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "v_1.bin: token 1 is 300"));
    dn_tokens_close(&tokens);
}

static void a_file_cut_short_after_opening_is_an_error_not_a_signal(void **state)
{
    static uint8_t text[3 * 4096];
    int32_t out[16];
    dn_tokens *tokens;
    assert_true(scratch_write(&dir, "shrinks.txt", text, sizeof text));
    assert_int_equal(dn_tokens_open(scratch_path(&dir, "shrinks.txt"), DN_TOKENS_SHARDS, &tokens), DN_OK);
    assert_int_equal(truncate(dir.path, 4096), 0);
    assert_int_equal(dn_tokens_read(tokens, 4090, 16, 256, out), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "shrinks.txt: ends at byte 4096"));
    dn_tokens_close(&tokens);
}

TESTS(data_tokens)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_slice_of_several_shards_is_that_of_the_whole_stream),
        cmocka_unit_test(any_other_file_is_read_as_bytes_and_long_reads_are_complete),
        cmocka_unit_test(files_that_other_programs_packed_are_refused_by_name),
        cmocka_unit_test(a_shard_is_known_by_its_magic_whatever_its_name),
        cmocka_unit_test(shards_of_32_bits_are_read_and_know_their_origin),
        cmocka_unit_test(a_header_has_what_is_read_back),
        cmocka_unit_test(tokens_without_a_header_are_read_when_asked_for),
        cmocka_unit_test(wrong_files_are_refused_by_name_with_the_reason),
        cmocka_unit_test(files_of_other_programs_are_recognized),
        cmocka_unit_test(a_pipe_is_refused_and_not_waited_for),
        cmocka_unit_test(a_shard_cut_at_any_length_is_refused),
        cmocka_unit_test(a_token_beyond_the_vocabulary_is_named_with_file_and_position),
        cmocka_unit_test(a_file_cut_short_after_opening_is_an_error_not_a_signal),
        cmocka_unit_test(more_files_than_descriptors_are_opened),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
