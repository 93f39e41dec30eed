/* Documents in blocks that threads encode have the ids of each document as a whole. */
#include "data/documents.h"

#include "../support/scratch.h"
#include "data/prepare.h"
#include "data/tokens.h"
#include "support/tests.h"

enum { LARGE = 300000 };

static scratch dir;
static char tokenizer_path[PATH_MAX];
static char large[LARGE + 1]; /* several blocks */

/* Lines of words; some lines end in spaces, some are empty: not all are places to cut. */
static int set_up(void **state)
{
    static const char *const words[] = {"the",  "of",   "node", " ", "\n", "\n",
                                        "\n\n", "it's", "42",   ".", "ä☃", "  \n"};
    uint32_t random = 5;
    size_t n = 0, made;
    while (n < LARGE - 16) {
        random = random * 1664525u + 1013904223u;
        n += (size_t)sprintf(large + n, "%s ", words[(random >> 16) % 12]) - (random >> 31);
    }
    large[n] = '\0';
    if (!scratch_make(&dir) || !scratch_write(&dir, "large", large, n))
        return -1;
    const char *file = strdup(dir.path);
    snprintf(tokenizer_path, sizeof tokenizer_path, "%s/tokenizer.json", dir.dir);
    dn_status status = dn_tokenizer_train(&file, 1, 300, tokenizer_path, NULL, NULL, &made);
    free((char *)file);
    return status == DN_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return 0;
}

/* Ids of documents given as texts, each as a whole. */
static size_t encode_whole(const dn_tokenizer *t, const char *const *texts, size_t n_texts, int32_t *out)
{
    dn_encoder *e;
    size_t k = 0;
    assert_int_equal(dn_encoder_create(t, &e), DN_OK);
    for (size_t i = 0; i < n_texts; i++) {
        const int32_t *ids;
        size_t n;
        assert_int_equal(dn_encode(e, texts[i], strlen(texts[i]), &ids, &n), DN_OK);
        memcpy(out + k, ids, n * sizeof *ids);
        k += n;
        out[k++] = dn_tokenizer_end(t);
    }
    dn_encoder_destroy(&e);
    return k;
}

static void check(const char *const *files, size_t n_files, const char *separator, const char *const *texts,
                  size_t n_texts, size_t least_blocks)
{
    dn_tokenizer *t;
    dn_text text;
    dn_documents *documents;
    char paths[8][PATH_MAX];
    const char *names[8];
    for (size_t i = 0; i < n_files; i++)
        names[i] = strcpy(paths[i], scratch_path(&dir, files[i]));
    assert_int_equal(dn_tokenizer_open(tokenizer_path, &t), DN_OK);
    int32_t *whole = malloc((2 * LARGE + 100) * sizeof *whole);
    size_t n_whole = encode_whole(t, texts, n_texts, whole), k = 0, blocks = 0, all_bytes = 0;
    assert_int_equal(dn_text_open(names, n_files, &text), DN_OK);
    assert_int_equal(dn_documents_open(t, &text, separator, &documents), DN_OK);
    for (;; blocks++) {
        const int32_t *ids;
        size_t n, bytes;
        assert_int_equal(dn_documents_next(documents, &ids, &n, &bytes), DN_OK);
        if (!ids)
            break;
        assert_in_range(k + n, 0, n_whole);
        assert_memory_equal(ids, whole + k, n * sizeof *ids);
        k += n;
        all_bytes += bytes;
    }
    assert_int_equal(k, n_whole);
    assert_true(blocks >= least_blocks);
    size_t want = 0;
    for (size_t i = 0; i < n_texts; i++)
        want += strlen(texts[i]);
    assert_int_equal(all_bytes, want);
    dn_documents_close(&documents);
    dn_text_close(&text);
    free(whole);
    dn_tokenizer_close(&t);
}

static void files_are_documents(void **state)
{
    assert_true(scratch_write(&dir, "a", "one two", 7));
    assert_true(scratch_write(&dir, "empty", "", 0));
    assert_true(scratch_write(&dir, "b", "\nthree\n", 7));
    check((const char *[]){"a", "empty", "b", "large", "a"}, 5, NULL,
          (const char *[]){"one two", "\nthree\n", large, "one two"}, 4, 7);
}

static void separators_part_documents(void **state)
{
    assert_true(scratch_write(&dir, "parted", "----one----two---- three--\n----", 31));
    check((const char *[]){"parted", "a"}, 2, "----", (const char *[]){"one", "two", " three--\n", "one two"},
          4, 4);
}

/* Blocks are as large as they can be, and a separator may lie on their border. */
static void a_separator_on_the_border_of_a_block_is_found(void **state)
{
    static char parted[70000];
    for (size_t at = 65536 - 6; at <= 65536; at++) {
        memset(parted, 'x', sizeof parted - 1);
        memcpy(parted + at, "<-->", 4);
        assert_true(scratch_write(&dir, "border", parted, sizeof parted - 1));
        static char first[70000], second[70000];
        snprintf(first, sizeof first, "%.*s", (int)at, parted);
        snprintf(second, sizeof second, "%s", parted + at + 4);
        /* Runs of one letter have no place to be cut: compare what is decoded. */
        dn_tokenizer *t;
        dn_text text;
        dn_documents *documents;
        const char *name = scratch_path(&dir, "border");
        size_t ends = 0, bytes = 0;
        assert_int_equal(dn_tokenizer_open(tokenizer_path, &t), DN_OK);
        assert_int_equal(dn_text_open(&name, 1, &text), DN_OK);
        assert_int_equal(dn_documents_open(t, &text, "<-->", &documents), DN_OK);
        for (;;) {
            const int32_t *ids;
            size_t n, n_bytes;
            assert_int_equal(dn_documents_next(documents, &ids, &n, &n_bytes), DN_OK);
            if (!ids)
                break;
            bytes += n_bytes;
            for (size_t i = 0; i < n; i++)
                if (ids[i] == dn_tokenizer_end(t) && ++ends == 1)
                    assert_int_equal(bytes, at);
        }
        assert_int_equal(ends, 2);
        assert_int_equal(bytes, sizeof parted - 1 - 4);
        dn_documents_close(&documents);
        dn_text_close(&text);
        dn_tokenizer_close(&t);
    }
}

static void shards_know_tokenizer_and_text(void **state)
{
    char out[PATH_MAX], pattern[PATH_MAX + 8];
    const char *file = strdup(scratch_path(&dir, "large"));
    snprintf(out, sizeof out, "%s/out", dir.dir);
    snprintf(pattern, sizeof pattern, "%s/*.bin", out);
    dn_tokenizer *t;
    dn_tokens *tokens;
    dn_prepare_result result;
    dn_prepare_options options = {.val_fraction = 0.3, .tokenizer = tokenizer_path};
    assert_int_equal(dn_prepare_shards(&file, 1, out, &options, 10000, NULL, NULL, &result), DN_OK);
    assert_int_equal(dn_tokens_open(pattern, DN_TOKENS_SHARDS, &tokens), DN_OK);
    /* The copy in the folder is the same tokenizer. */
    assert_int_equal(dn_tokenizer_open(out, &t), DN_OK);
    int32_t *whole = malloc((2 * LARGE + 100) * sizeof *whole);
    assert_int_equal(dn_tokens_count(tokens), encode_whole(t, (const char *[]){large}, 1, whole));
    assert_int_equal(result.train_tokens + result.val_tokens, dn_tokens_count(tokens));
    assert_true(result.val_tokens > 10000 && result.train_tokens > 30000);
    assert_int_equal(result.vocab_size, 300);
    assert_true(dn_tokens_origin_of(tokens).tokenizer == dn_tokenizer_hash(t));
    assert_int_equal(dn_tokens_origin_of(tokens).text_bytes, strlen(large));
    free(whole);
    dn_tokens_close(&tokens);
    dn_tokenizer_close(&t);
    options.tokenizer = "/nowhere";
    assert_int_equal(dn_prepare_shards(&file, 1, out, &options, 10000, NULL, NULL, &result), DN_ERR_DATA);
    options = (dn_prepare_options){.val_fraction = 0.3, .separator = "x"};
    assert_int_equal(dn_prepare_shards(&file, 1, out, &options, 10000, NULL, NULL, &result), DN_ERR_ARG);
    free((char *)file);
}

TESTS(data_documents)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_documents),
        cmocka_unit_test(separators_part_documents),
        cmocka_unit_test(a_separator_on_the_border_of_a_block_is_found),
        cmocka_unit_test(shards_know_tokenizer_and_text),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
