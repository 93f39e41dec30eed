/* Examples of prompt and completion: their tokens and masks, in shards of any length, and lines that are none. */
#include "data/prepare.h"

#include "../support/scratch.h"
#include "data/loader.h"
#include "dionode/tokenizer.h"
#include "support/tests.h"

#include <ctype.h>
#include <unistd.h>

static scratch dir;
static char out[PATH_MAX], examples[PATH_MAX];

static int set_up(void **state)
{
    if (!scratch_make(&dir))
        return -1;
    snprintf(out, sizeof out, "%s/out", dir.dir);
    snprintf(examples, sizeof examples, "%s/examples.jsonl", dir.dir);
    return 0;
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return 0;
}

static dn_status prepare(const char *const *files, size_t n, const dn_prepare_options *options, uint64_t limit,
                         dn_prepare_result *result)
{
    return dn_prepare_shards(files, n, out, options, limit, NULL, NULL, result);
}

/* One file, of bytes, half of its examples for validation. */
static dn_status prepare_text(const char *text, uint64_t limit, dn_prepare_result *result)
{
    const char *const files[] = {examples};
    assert_true(scratch_write(&dir, "examples.jsonl", text, strlen(text)));
    return prepare(files, 1, &(dn_prepare_options){.val_fraction = 0.5}, limit, result);
}

/* The tokens of a kind as text, what does not count in capitals: "PROMPTcompletion". */
static void read_marked(const char *kind, char *text, size_t room)
{
    char pattern[PATH_MAX + 32];
    int32_t tokens[1000];
    bool counts[1000];
    dn_tokens *t;
    snprintf(pattern, sizeof pattern, "%s/%s_*.bin", out, kind);
    assert_int_equal(dn_tokens_open(pattern, DN_TOKENS_SHARDS, &t), DN_OK);
    size_t n = dn_tokens_count(t);
    assert_true(n < room && n <= 1000 && dn_tokens_masked(t));
    assert_int_equal(dn_tokens_read(t, 0, n, 256, tokens), DN_OK);
    for (size_t first = 0; first < n; first++) { /* from every place on */
        assert_int_equal(dn_tokens_counts(t, first, n - first, counts + first), DN_OK);
        text[first] = (char)tokens[first];
        assert_int_equal(counts[first], text[first] != toupper(text[first]) || !isalpha(text[first]));
    }
    text[n] = '\0';
    dn_tokens_close(&t);
}

/* Capitals are prompts, all else is completions: at any length of shards. */
static void completions_count_and_prompts_do_not(void **state)
{
    (void)state;
    static const char text[] = "{\"prompt\": \"ASK\", \"completion\": \"tell.\"}\n"
                               "\n  \r\n"
                               "{\"text\": \"alone\", \"id\": 7}\n"
                               "{\"completion\": \"b\\n\", \"prompt\": \"\"}\n"
                               "{\"prompt\": \"C\", \"completion\": \"\\u00e4\"}\n"
                               "{\"prompt\": \"LAST\", \"completion\": \"without a newline\"}";
    for (uint64_t limit = 1; limit < 50; limit += limit < 10 ? 1 : 13) {
        dn_prepare_result result;
        char train[200], val[200];
        assert_int_equal(prepare_text(text, limit, &result), DN_OK);
        read_marked("train", train, sizeof train);
        read_marked("val", val, sizeof val);
        assert_string_equal(train, "ASKtell.b\nLASTwithout a newline");
        assert_string_equal(val, "aloneC\xc3\xa4");
        assert_int_equal(result.n_examples, 5);
        assert_int_equal(result.counted, strlen(train) + strlen(val) - strlen("ASKLASTC"));
        assert_int_equal(result.train_tokens, strlen(train));
    }
}

/* Of both files, and of the words of a tokenizer: prompt and completion apart, the token that ends a text behind. */
static void a_tokenizer_s_ids_are_those_of_the_parts(void **state)
{
    (void)state;
    static const char text[] = "the node of the ring and the ring of the node and the end of it all";
    static const char one[] = "{\"prompt\": \"the node\", \"completion\": \" of the ring\"}\n{\"text\": \"the end\"}\n";
    static const char *const parts[] = {"the node", " of the ring", "the end", "the node", " of the ring", "the end"};
    char corpus[PATH_MAX], tokenizer[PATH_MAX], second[PATH_MAX];
    const char *corpora[] = {corpus}, *files[] = {examples, second};
    size_t made, n = 0;
    int32_t expected[200], tokens[200];
    bool counts[200], expected_counts[200];
    dn_tokenizer *t;
    dn_encoder *e;
    dn_prepare_result result;
    snprintf(tokenizer, sizeof tokenizer, "%s/tokenizer.json", dir.dir);
    snprintf(second, sizeof second, "%s/second.jsonl", dir.dir);
    strcpy(corpus, scratch_path(&dir, "corpus"));
    assert_true(scratch_write(&dir, "corpus", text, strlen(text)));
    assert_true(scratch_write(&dir, "examples.jsonl", one, strlen(one)) && scratch_write(&dir, "second.jsonl", one, strlen(one)));
    assert_int_equal(dn_tokenizer_train(corpora, 1, 270, tokenizer, NULL, NULL, &made), DN_OK);
    assert_int_equal(dn_tokenizer_open(tokenizer, &t), DN_OK);
    assert_int_equal(dn_encoder_create(t, &e), DN_OK);
    const dn_prepare_options options = {.val_fraction = 0.5, .tokenizer = tokenizer};
    assert_int_equal(prepare(files, 2, &options, 1000, &result), DN_OK);
    for (int validation = 0; validation < 2; validation++) {
        n = 0;
        for (size_t i = 0; i < 6; i++) {
            const int32_t *ids;
            size_t n_ids;
            bool prompt = i % 3 == 0, of_validation = i % 3 == 2;
            if (of_validation != validation)
                continue;
            assert_int_equal(dn_encode(e, parts[i], strlen(parts[i]), &ids, &n_ids), DN_OK);
            for (size_t k = 0; k < n_ids; k++, n++) {
                expected[n] = ids[k];
                expected_counts[n] = !prompt;
            }
            if (!prompt) {
                expected[n] = dn_tokenizer_end(t);
                expected_counts[n++] = true;
            }
        }
        char pattern[PATH_MAX + 32];
        dn_tokens *there;
        snprintf(pattern, sizeof pattern, "%s/%s_*.bin", out, validation ? "val" : "train");
        assert_int_equal(dn_tokens_open(pattern, DN_TOKENS_SHARDS, &there), DN_OK);
        assert_int_equal(dn_tokens_count(there), n);
        assert_int_equal(dn_tokens_read(there, 0, n, 300, tokens), DN_OK);
        assert_int_equal(dn_tokens_counts(there, 0, n, counts), DN_OK);
        assert_memory_equal(tokens, expected, n * sizeof *tokens);
        assert_memory_equal(counts, expected_counts, n * sizeof *counts);
        assert_true(dn_tokens_origin_of(there).tokenizer == dn_tokenizer_hash(t));
        dn_tokens_close(&there);
    }
    dn_encoder_destroy(&e);
    dn_tokenizer_close(&t);
}

/* A row's target is -1 where its own token does not count, in any order of rows, across shards. */
static void targets_that_do_not_count_are_minus_one(void **state)
{
    (void)state;
    dn_prepare_result result;
    dn_tokens *t;
    char pattern[PATH_MAX + 32];
    assert_int_equal(prepare_text("{\"prompt\": \"ABC\", \"completion\": \"de\"}\n{\"text\": \"v\"}\n{\"prompt\": \"FGHIJ\", "
                                  "\"completion\": \"klm\"}\n",
                                  5, &result),
                     DN_OK);
    snprintf(pattern, sizeof pattern, "%s/train_*.bin", out);
    assert_int_equal(dn_tokens_open(pattern, DN_TOKENS_SHARDS, &t), DN_OK);
    for (int shuffle = 0; shuffle < 2; shuffle++)
        for (size_t T = 1; T < 8; T++) {
            const dn_loader loader = {.tokens = t, .T = T, .vocab_size = 256, .shuffle = shuffle};
            size_t rows = dn_loader_rows(&loader), counted = 0, told;
            for (uint64_t row = 0; row < rows; row++) {
                int32_t inputs[8], targets[8];
                assert_int_equal(dn_loader_row(&loader, row, inputs, targets), DN_OK);
                for (size_t i = 0; i < T; i++) {
                    const char *next = strchr("ABCdeFGHIJklm", inputs[i]) + 1;
                    assert_int_equal(targets[i], islower(*next) ? *next : -1);
                    counted += targets[i] >= 0;
                }
            }
            assert_int_equal(dn_loader_counted(&loader, 0, rows, &told), DN_OK);
            assert_int_equal(told, counted);
            assert_int_equal(dn_loader_counted(&loader, 0, 2 * rows, &told), DN_OK); /* two epochs */
            assert_int_equal(told, 2 * counted);
        }
    dn_tokens_close(&t);
}

static void a_mask_belongs_to_its_shard(void **state)
{
    (void)state;
    static const char text[] = "{\"prompt\": \"A\", \"completion\": \"bcdefghij\"}\n{\"text\": \"v\"}\n";
    char mask[PATH_MAX + 32], shard[PATH_MAX + 32];
    dn_prepare_result result;
    dn_tokens *t;
    snprintf(mask, sizeof mask, "%s/train_000000.mask", out);
    snprintf(shard, sizeof shard, "%s/train_000000.bin", out);
    assert_int_equal(prepare_text(text, 1000, &result), DN_OK);
    assert_int_equal(truncate(mask, 1), 0);
    assert_int_equal(dn_tokens_open(shard, DN_TOKENS_SHARDS, &t), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "not the mask of"));
    assert_int_equal(unlink(mask), 0);
    assert_int_equal(dn_tokens_open(shard, DN_TOKENS_SHARDS, &t), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "train_000000.mask"));
    assert_int_equal(prepare_text(text, 1000, &result), DN_OK);
    assert_int_equal(dn_tokens_open(shard, DN_TOKENS_SHARDS, &t), DN_OK);
    bool counts[10];
    dn_tokens *both; /* a pattern that names the mask, too: its bytes are no tokens */
    snprintf(shard, sizeof shard, "%s/train*", out);
    assert_int_equal(dn_tokens_open(shard, DN_TOKENS_SHARDS, &both), DN_OK);
    assert_int_equal(dn_tokens_count(both), dn_tokens_count(t));
    dn_tokens_close(&both);
    assert_int_equal(truncate(mask, 0), 0); /* while it is read */
    assert_int_equal(dn_tokens_counts(t, 0, 10, counts), DN_ERR_DATA);
    dn_tokens_close(&t);

    /* what a text replaces is gone */
    static char bytes[3 * DN_PREPARE_BLOCK];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(prepare_text(text, 3, &result), DN_OK);
    assert_true(scratch_entries(out, false) > 8);
    assert_true(scratch_write(&dir, "text", bytes, sizeof bytes));
    const char *file = scratch_path(&dir, "text");
    assert_int_equal(prepare(&file, 1, &(dn_prepare_options){.val_fraction = 0.5}, 1 << 20, &result), DN_OK);
    assert_int_equal(scratch_entries(out, false), 2);
    assert_int_equal(result.n_examples, 0);
    assert_int_equal(result.counted, sizeof bytes);
}

static void lines_that_are_no_examples_are_named(void **state)
{
    (void)state;
    static const char good[] = "{\"prompt\": \"a\", \"completion\": \"b\"}\n";
    static const struct {
        const char *line, *what;
    } bad[] = {
        {"{\"prompt\": \"a\", \"completion\": }", "no JSON"},
        {"not json", "no JSON"},
        {"{\"prompt\": \"a\", \"completion\": \"b\"} {}", "no JSON"},
        {"{\"prompt\": \"a\\ud800\", \"completion\": \"b\"}", "no JSON"},
        {"{\"text\": \"a\\u0000b\"}", "no JSON"},
        {"{\"text\": \"\xff\"}", "it is not UTF-8"},
        {"{\"text\": \"a\", \"text\": \"b\"}", "duplicate"},
        {"[\"a\", \"b\"]", "no JSON object: it is a value of another kind"},
        {"{\"messages\": []}", "neither prompt and completion nor text"},
        {"{\"prompt\": \"a\"}", "has no completion"},
        {"{\"completion\": \"a\"}", "has no prompt"},
        {"{\"prompt\": \"a\", \"completion\": \"b\", \"text\": \"c\"}", "a text beside"},
        {"{\"prompt\": 1, \"completion\": \"b\"}", "prompt is not a string"},
        {"{\"prompt\": \"a\", \"completion\": null}", "completion is not a string"},
        {"{\"text\": [\"a\"]}", "text is not a string"},
        {"{\"prompt\": \"a\", \"completion\": \"\"}", "completion is empty"},
        {"{\"text\": \"\"}", "text is empty"},
    };
    char text[1000], where[PATH_MAX + 32];
    const char *const files[] = {examples, examples};
    const dn_prepare_options options = {.val_fraction = 0.5};
    dn_prepare_result result;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (int last = 0; last < 2; last++) {
            snprintf(text, sizeof text, "%s\n%s%s%s", good, good, bad[i].line, last ? "" : "\n");
            assert_int_equal(prepare_text(text, 100, &result), DN_ERR_DATA);
            snprintf(where, sizeof where, "%s:4:", examples);
            if (!strstr(dn_error_message(), where) || !strstr(dn_error_message(), bad[i].what))
                fail_msg("'%s' lacks '%s' or '%s'", dn_error_message(), where, bad[i].what);
            assert_int_equal(access(out, F_OK), -1); /* nothing is left */
        }
    assert_int_equal(prepare_text(good, 100, &result), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "1 examples, and at least two"));
    assert_int_equal(prepare(files, 2, &options, 100, &result), DN_OK); /* lines are counted by file */
    assert_true(scratch_write(&dir, "text", "x", 1));
    const char *const mixed[] = {examples, scratch_path(&dir, "text")};
    assert_int_equal(prepare(mixed, 2, &options, 100, &result), DN_ERR_CONFIG);
    assert_non_null(strstr(dn_error_message(), "are prepared apart"));
}

/* Longer than any piece that is read at once. */
static void lines_may_be_long(void **state)
{
    (void)state;
    enum { LONG = 1000000 };
    char *text = malloc(2 * LONG + 100), *end = text;
    dn_prepare_result result;
    for (int i = 0; i < 2; i++) {
        end += sprintf(end, "{\"text\": \"");
        memset(end, 'a' + i, LONG);
        end += LONG;
        end += sprintf(end, "\"}\n");
    }
    assert_int_equal(prepare_text(text, 300000, &result), DN_OK);
    free(text);
    assert_int_equal(result.train_tokens, LONG);
    assert_int_equal(result.val_tokens, LONG);
    assert_int_equal(result.counted, 2 * LONG);
}

TESTS(data_jsonl)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(completions_count_and_prompts_do_not, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_tokenizer_s_ids_are_those_of_the_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(targets_that_do_not_count_are_minus_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_mask_belongs_to_its_shard, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_that_are_no_examples_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(lines_may_be_long, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
