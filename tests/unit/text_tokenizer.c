/* Tokenizers against slow ones that are written here: training, merging, files of other formats, damaged
 * files. What the libraries of others make of their own files: tests/oracle/tokenizers.py. */
#include "text/train.h"
#include "text/tokenizer.h"

#include "../support/scratch.h"
#include "support/tests.h"

enum { TEXT = 20000, SIZE = 400 };

static scratch dir;
static char text[TEXT + 1];
static char path[PATH_MAX]; /* of the tokenizer trained on text */

/* Words of an alphabet of a few letters, so that pairs repeat, ties and runs of one letter among them. */
static void make_text(void)
{
    static const char *const pieces[] = {"a", "b", "ab", "ba", "c", "aa",   "ä",
                                         " ", " ", "\n", ".",  "1", "it's", "☃"};
    uint32_t random = 1;
    size_t n = 0;
    while (n < TEXT - 8) {
        random = random * 1664525u + 1013904223u;
        const char *piece = pieces[(random >> 16) % (sizeof pieces / sizeof *pieces)];
        memcpy(text + n, piece, strlen(piece));
        n += strlen(piece);
    }
    text[n] = '\0';
}

static int set_up(void **state)
{
    dn_bpe_trainer *trainer = NULL;
    size_t made = 0;
    make_text();
    if (!scratch_make(&dir))
        return -1;
    snprintf(path, sizeof path, "%s/tokenizer.json", dir.dir);
    bool fine = dn_bpe_trainer_create(&trainer) == DN_OK &&
                dn_bpe_trainer_count(trainer, text, strlen(text)) == DN_OK &&
                dn_bpe_trainer_write(trainer, SIZE, path, NULL, NULL, &made) == DN_OK && made == SIZE;
    dn_bpe_trainer_destroy(&trainer);
    return fine ? 0 : -1;
}

static int tear_down(void **state)
{
    scratch_remove(&dir);
    return 0;
}

static dn_tokenizer *opened(const char *file)
{
    dn_tokenizer *t = NULL;
    dn_status status = dn_tokenizer_open(file, &t);
    if (status != DN_OK)
        fail_msg("%s", dn_error_message());
    return t;
}

typedef struct ids {
    int32_t *id;
    size_t n;
} ids;

/* Owned by the caller. */
static ids encoded_by(dn_encoder *e, const char *bytes, size_t n)
{
    const int32_t *got;
    ids out = {0};
    if (dn_encode(e, bytes, n, &got, &out.n) != DN_OK)
        fail_msg("%s", dn_error_message());
    out.id = malloc((out.n + 1) * sizeof *out.id);
    for (size_t i = 0; i < out.n; i++)
        out.id[i] = got[i];
    return out;
}

static ids encoded(const dn_tokenizer *t, const char *bytes, size_t n)
{
    dn_encoder *e = NULL;
    assert_int_equal(dn_encoder_create(t, &e), DN_OK);
    ids out = encoded_by(e, bytes, n);
    dn_encoder_destroy(&e);
    return out;
}

/* ---- merging ---- */

/* The definition: the lowest rank, of equal ones the leftmost. */
static size_t merge_slowly(const dn_tokenizer *t, int32_t *id, size_t n)
{
    for (;;) {
        const dn_merge *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const dn_merge *m = dn_tokenizer_merge(t, id[i], id[i + 1]);
            if (m && (!best || m->rank < best->rank))
                best = m, at = i;
        }
        if (!best)
            return n;
        id[at] = best->id;
        n--;
        memmove(&id[at + 1], &id[at + 2], (n - at - 1) * sizeof *id);
    }
}

static void words_of_all_lengths_merge_as_defined(void **state)
{
    dn_tokenizer *t = opened(path);
    dn_bpe_memory memory = {0};
    uint32_t random = 7;
    for (size_t n = 1; n < 300; n++) {
        int32_t fast[300], slow[300];
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525u + 1013904223u;
            fast[i] = slow[i] = t->byte_ids[(unsigned char)"aaabbc"[(random >> 16) % 6]];
        }
        size_t n_fast, n_slow = merge_slowly(t, slow, n);
        assert_int_equal(dn_bpe(t, &memory, fast, n, &n_fast), DN_OK);
        assert_int_equal(n_fast, n_slow);
        assert_memory_equal(fast, slow, n_slow * sizeof *slow);
    }
    dn_bpe_free(&memory);
    dn_tokenizer_close(&t);
}

/* ---- training ---- */

/* The definition again: counts anew for each merge over the whole text, already split into words by the
 * encoder's own patterns; the pair that is most frequent, of equal ones the one with the smaller ids. */
static void the_most_frequent_pair_merges_next(void **state)
{
    dn_tokenizer *t = opened(path);
    static int32_t id[TEXT];
    static bool starts[TEXT]; /* a word */
    dn_splitter *splitter = dn_splitter_create(&t->splits[0]);
    size_t n = strlen(text);
    for (size_t at = 0; at < n; at = dn_split_next(splitter, text, n, at))
        starts[at] = true;
    dn_splitter_destroy(splitter);
    for (size_t i = 0; i < n; i++)
        id[i] = t->byte_ids[(unsigned char)text[i]];
    for (int32_t next = 257; next < SIZE; next++) {
        static uint32_t counts[SIZE][SIZE];
        memset(counts, 0, sizeof counts);
        for (size_t i = 0; i + 1 < n; i++)
            if (!starts[i + 1])
                counts[id[i]][id[i + 1]]++;
        int32_t left = 0, right = 0;
        for (int32_t a = 0; a < next; a++)
            for (int32_t b = 0; b < next; b++)
                if (counts[a][b] > counts[left][right])
                    left = a, right = b;
        const dn_merge *merge = dn_tokenizer_merge(t, left, right);
        if (!merge || merge->id != next)
            fail_msg("token %d should be made of %d and %d, which are together %u times; they make %d", next,
                     left, right, counts[left][right], merge ? merge->id : -1);
        size_t k = 0;
        for (size_t i = 0; i < n; i++, k++) {
            bool here = i + 1 < n && !starts[i + 1] && id[i] == left && id[i + 1] == right;
            starts[k] = starts[i];
            id[k] = here ? next : id[i];
            i += here;
        }
        n = k;
    }
    dn_tokenizer_close(&t);
}

/* ---- texts ---- */

/* Ids spell the bytes of the text; decoded one by one they are valid UTF-8 all along, and the text in the
 * end. */
static void check_text(const dn_tokenizer *t, dn_encoder *e, const char *bytes, size_t n, bool valid)
{
    char *whole = calloc(1, 4 * n + 64), *out = malloc(dn_decode_bound(t));
    ids got = encoded_by(e, bytes, n);
    size_t k = 0;
    for (size_t i = 0; i < got.n; i++) {
        size_t n_token;
        const char *token = dn_tokenizer_bytes(t, got.id[i], &n_token);
        memcpy(whole + k, token, n_token);
        k += n_token;
    }
    assert_int_equal(k, n);
    assert_memory_equal(whole, bytes, n);
    dn_decoder decoder = {.tokenizer = t};
    k = 0;
    for (size_t i = 0; i < got.n; i++) {
        size_t more = dn_decode(&decoder, got.id[i], out);
        if (more > 0)
            assert_true((out[0] & 0xc0) != 0x80 && (more == 1 || (unsigned char)out[more - 1] < 0xc0));
        memcpy(whole + k, out, more);
        k += more;
    }
    k += dn_decode_end(&decoder, whole + k);
    if (valid) {
        assert_int_equal(k, n);
        assert_memory_equal(whole, bytes, n);
    }
    free(got.id);
    free(whole);
    free(out);
}

static void texts_come_back(void **state)
{
    dn_tokenizer *t = opened(path);
    dn_encoder *e = NULL;
    assert_int_equal(dn_encoder_create(t, &e), DN_OK);
    static const char *const texts[] = {"",
                                        " ",
                                        "a",
                                        "  a  b\n\n\nc",
                                        "don't WE'LL",
                                        "äöü ☃ 日本語 \U0001f389",
                                        "1234 ab12",
                                        "a<|endoftext|>b",
                                        "\t\r\n \xc2\xa0x"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        check_text(t, e, texts[i], strlen(texts[i]), true);
    check_text(t, e, text, strlen(text), true);
    check_text(t, e, "a\0b", 3, true);
    for (int a = 0; a < 256; a++) /* whatever the bytes */
        for (int b = 0; b < 256; b += 5)
            check_text(t, e, (const char[]){'x', (char)a, (char)b, 'y'}, 4, false);
    dn_encoder_destroy(&e);
    dn_tokenizer_close(&t);
}

static void broken_characters_are_replaced(void **state)
{
    static const struct {
        const char *bytes, *shown;
    } cases[] = {{"\xe6\x97", "�"},
                 {"\xe6\x97z", "�z"},
                 {"\xff\xfe", "��"},
                 {"\xc0\x80", "��"},
                 {"\xed\xa0\x80", "���"},
                 {"\xe6\xe6\x97\xa5", "�日"},
                 {"\xf0\x9f\x8e\x89", "\U0001f389"}};
    dn_tokenizer *t = opened(path);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[64] = "";
        dn_decoder decoder = {.tokenizer = t};
        size_t k = 0;
        for (const char *byte = cases[i].bytes; *byte; byte++)
            k += dn_decode(&decoder, t->byte_ids[(unsigned char)*byte], out + k);
        k += dn_decode_end(&decoder, out + k);
        out[k] = '\0';
        assert_string_equal(out, cases[i].shown);
    }
    dn_tokenizer_close(&t);
}

/* Cut at every byte, of whatever tokens the rest is made: whole characters come out, and one U+FFFD for one that is not. */
static void a_text_may_end_within_a_character(void **state)
{
    static const char cut[] = "aé\xe2\x80\x83日本語 \U0001f389\u200d\U00010348 ñ.";
    dn_tokenizer *t = opened(path);
    dn_encoder *e = NULL;
    char *out = malloc(dn_decode_bound(t) + 8 * sizeof cut);
    assert_int_equal(dn_encoder_create(t, &e), DN_OK);
    for (size_t n = 0; n < sizeof cut; n++) {
        size_t whole = n; /* bytes of whole characters among the first n */
        while (whole > 0 && (cut[whole] & 0xc0) == 0x80)
            whole--;
        ids got = encoded_by(e, cut, n);
        for (size_t bytes = 0; bytes < 2; bytes++) { /* as they are encoded, and a token a byte */
            dn_decoder decoder = {.tokenizer = t};
            size_t k = 0;
            for (size_t i = 0; i < (bytes ? n : got.n); i++)
                k += dn_decode(&decoder, bytes ? t->byte_ids[(unsigned char)cut[i]] : got.id[i], out + k);
            assert_int_equal(k, whole);
            k += dn_decode_end(&decoder, out + k);
            assert_int_equal(k, whole + (whole < n ? 3 : 0));
            assert_memory_equal(out, cut, whole);
            assert_memory_equal(out + whole, "\xef\xbf\xbd", k - whole);
        }
        free(got.id);
    }
    free(out);
    dn_encoder_destroy(&e);
    dn_tokenizer_close(&t);
}

static void special_tokens_are_found_in_texts(void **state)
{
    dn_tokenizer *t = opened(path);
    ids got = encoded(t, "<|endoftext|><|endoftext", 24);
    assert_int_equal(dn_tokenizer_end(t), 0);
    assert_int_equal(got.id[0], 0);
    assert_true(got.n > 2);
    free(got.id);
    dn_tokenizer_close(&t);
}

static void texts_are_cut_where_words_are(void **state)
{
    dn_tokenizer *t = opened(path);
    size_t n = strlen(text), cuts = 0;
    ids whole = encoded(t, text, n);
    for (size_t end = n; (end = dn_text_cut(text, end)) > 0; cuts++) {
        if (cuts % 16)
            continue;
        ids a = encoded(t, text, end), b = encoded(t, text + end, n - end);
        assert_int_equal(a.n + b.n, whole.n);
        assert_memory_equal(a.id, whole.id, a.n * sizeof *a.id);
        assert_memory_equal(b.id, whole.id + a.n, b.n * sizeof *b.id);
        free(a.id);
        free(b.id);
    }
    assert_true(cuts > 100);
    assert_int_equal(dn_text_cut("a \nb", 4), 0);
    assert_int_equal(dn_text_cut("a\n b", 4), 0);
    assert_int_equal(dn_text_cut("a\nb", 3), 2);
    free(whole.id);
    dn_tokenizer_close(&t);
}

/* ---- SentencePiece ---- */

/* A piece as protobuf: {1: text, 2: score, 3: type}. */
static size_t put_piece(char *out, const char *piece, float score, char type)
{
    size_t n = strlen(piece);
    char *at = out;
    *at++ = 0x0a; /* field 1 of the model: a message */
    *at++ = (char)(n + 2 + 5 + 2);
    *at++ = 0x0a;
    *at++ = (char)n;
    memcpy(at, piece, n);
    at += n;
    *at++ = 0x15;
    memcpy(at, &score, 4);
    at += 4;
    *at++ = 0x18;
    *at++ = type;
    return (size_t)(at - out);
}

/* With a byte piece, a tie of two scores, and spaces as marks. */
static size_t make_model(char *out)
{
    static const struct {
        const char *piece;
        float score;
        char type;
    } pieces[] = {{"<unk>", 0, 2},  {"<s>", 0, 3}, {"</s>", 0, 3}, {"<0xE2>", 0, 6}, {"<0x98>", 0, 6},
                  {"<0x83>", 0, 6}, {"▁", -9, 1},  {"a", -10, 1},  {"b", -11, 1},    {"ab", -1, 1},
                  {"ba", -1, 1},    {"▁a", -2, 1}, {"▁ab", -3, 1}};
    size_t n = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        n += put_piece(out + n, pieces[i].piece, pieces[i].score, pieces[i].type);
    static const char settings[] = {0x12, 2, 0x18, 2,           /* trainer: BPE */
                                    0x1a, 4, 0x18, 1, 0x20, 0}; /* normalizer: a prefix, spaces stay */
    memcpy(out + n, settings, sizeof settings);
    return n + sizeof settings;
}

static void check_ids(const dn_tokenizer *t, const char *bytes, const int32_t *want, size_t n)
{
    ids got = encoded(t, bytes, strlen(bytes));
    assert_int_equal(got.n, n);
    assert_memory_equal(got.id, want, n * sizeof *want);
    free(got.id);
}

static void sentencepiece_merges_by_score(void **state)
{
    char model[1024];
    size_t n = make_model(model);
    assert_true(scratch_write(&dir, "tokenizer.model", model, n));
    dn_tokenizer *t = opened(scratch_path(&dir, "tokenizer.model"));
    assert_int_equal(dn_tokenizer_begin(t), 1);
    assert_int_equal(dn_tokenizer_end(t), 2);
    check_ids(t, "ab", (const int32_t[]){12}, 1);              /* ▁ ab, then ▁ab */
    check_ids(t, "aba", (const int32_t[]){12, 7}, 2);          /* ab before ba: the leftmost of a tie */
    check_ids(t, "bab a", (const int32_t[]){6, 10, 8, 11}, 4); /* ▁ ba b ▁a */
    check_ids(t, "☃", (const int32_t[]){6, 3, 4, 5}, 4);       /* by its bytes */
    check_ids(t, "▁a", (const int32_t[]){6, 11}, 2);           /* a mark in a text is a space */
    check_ids(t, "é", (const int32_t[]){6, 0}, 2);             /* no bytes: unknown */
    char out[64] = "";
    dn_decoder decoder = {.tokenizer = t};
    size_t k = 0;
    for (const int32_t *id = (const int32_t[]){12, 7, 11, 3, 4, 5, -1}; *id >= 0; id++)
        k += dn_decode(&decoder, *id, out + k);
    out[k] = '\0';
    assert_string_equal(out, "aba a☃");
    dn_tokenizer_close(&t);
}

/* ---- damaged and foreign files ---- */

/* ---- tiktoken ---- */

enum { RANKS = 50256 }; /* those of GPT-2 */

/* A file of so many ranks: the bytes, then pairs of bytes in order, so that the pair (a, b) is 256 (a + 1) + b. */
static char *rank_file(size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *content = malloc(16 * n + 1), *at = content;
    for (unsigned rank = 0; rank < n; rank++) {
        unsigned bits = rank < 256 ? rank << 8 : (rank / 256 - 1) << 8 | rank % 256;
        char code[5] = {digits[bits >> 10], digits[bits >> 4 & 63], rank < 256 ? '=' : digits[(bits << 2) & 63], '='};
        at += sprintf(at, "%s %u\n", code, rank);
    }
    return content;
}

/* What the file does not say is that of GPT-2: its split into words, and its special token. */
static void ranks_of_tiktoken_merge_lowest_first(void **state)
{
    char *content = rank_file(RANKS);
    assert_true(scratch_write(&dir, "gpt2.tiktoken", content, strlen(content)));
    dn_tokenizer *t = opened(scratch_path(&dir, "gpt2.tiktoken"));
#define PAIR(a, b) (256 * ((a) + 1) + (b))
    check_ids(t, "ab", (int32_t[]){PAIR('a', 'b')}, 1);
    check_ids(t, "cba", (int32_t[]){'c', PAIR('b', 'a')}, 2);              /* not (c, b): its rank is higher */
    check_ids(t, "ababa", (int32_t[]){PAIR('a', 'b'), PAIR('a', 'b'), 'a'}, 3); /* of equal ones the first */
    check_ids(t, "a 1b", (int32_t[]){'a', PAIR(' ', '1'), 'b'}, 3);        /* no merge over words' ends */
    check_ids(t, "\xc3\xa4", (int32_t[]){0xc3, 0xa4}, 2);                  /* that pair has no rank in the file */
    assert_int_equal(dn_tokenizer_special(t, "<|endoftext|>"), RANKS);
    dn_tokenizer_close(&t);
    free(content);
    content = rank_file(RANKS - 1);
    assert_true(scratch_write(&dir, "gpt2.tiktoken", content, strlen(content)));
    assert_int_equal(dn_tokenizer_open(scratch_path(&dir, "gpt2.tiktoken"), &t), DN_ERR_DATA);
    assert_non_null(strstr(dn_error_message(), "50255 ranks are of no vocabulary"));
    free(content);
}

static void check_refused(const char *name, const void *content, size_t n, const char *why)
{
    dn_tokenizer *t = NULL;
    assert_true(scratch_write(&dir, name, content, n));
    assert_int_equal(dn_tokenizer_open(scratch_path(&dir, name), &t), DN_ERR_DATA);
    assert_null(t);
    if (!strstr(dn_error_message(), why) || !strstr(dn_error_message(), name))
        fail_msg("'%s' does not name %s and say '%s'", dn_error_message(), name, why);
}

#define JSON(model, more)                                                                                    \
    "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[" model "]}" more "}"

static void what_is_not_held_is_refused_by_name(void **state)
{
    static const struct {
        const char *content, *why;
    } cases[] = {
        {"{\"model\":{\"type\":\"Unigram\"}}", "Unigram"},
        {JSON("\"a c\"", ""), "merge 0"},
        {JSON("\"ab\"", ""), "merge 0"},
        {JSON("\"a b\"", ",\"normalizer\":{\"type\":\"NFKC\"}"), "NFKC"},
        {JSON("\"a b\"", ",\"pre_tokenizer\":{\"type\":\"Whitespace\"}"), "Whitespace"},
        {JSON("", ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":"
                  "\"\\\\w+\"}}"),
         "\\w"},
        {JSON("", ",\"pre_tokenizer\":{\"type\":\"Split\",\"behavior\":\"Isolated\",\"pattern\":{\"Regex\":"
                  "\"(\"}}"),
         "pattern"},
        {JSON("", ",\"decoder\":{\"type\":\"WordPiece\"}"), "WordPiece"},
        {JSON("", ",\"added_tokens\":[{\"id\":3,\"content\":\"x\",\"single_word\":true}]"), "single_word"},
        {JSON("", ",\"added_tokens\":[{\"id\":0,\"content\":\"x\"}]"), "two tokens"},
        {JSON("", ",\"added_tokens\":[{\"id\":99999999,\"content\":\"x\"}]"), "99999999"},
        {"{\"model\":", "no JSON object: column 9"},
        {"YQ== 0\n", "1 ranks"},
        {"YQ== x\n", "line 1"},
        {"some text", "line 1"},
        {"", "0 ranks"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused("foreign", cases[i].content, strlen(cases[i].content), cases[i].why);
    dn_tokenizer *t = NULL;
    assert_int_equal(dn_tokenizer_open(scratch_path(&dir, "missing"), &t), DN_ERR_DATA);
}

/* Opens what may be damaged, and encodes with it if it opens: no crash, which sanitizers see. */
static bool opens(const char *name, const void *content, size_t n)
{
    dn_tokenizer *t = NULL;
    dn_encoder *e = NULL;
    const int32_t *got;
    size_t n_got;
    assert_true(scratch_write(&dir, name, content, n));
    if (dn_tokenizer_open(scratch_path(&dir, name), &t) != DN_OK)
        return false;
    if (dn_encoder_create(t, &e) == DN_OK && dn_encode(e, "abab ☃ a<|endoftext|>", 23, &got, &n_got) == DN_OK)
        for (size_t i = 0; i < n_got; i++)
            assert_in_range(got[i], 0, dn_tokenizer_size(t) - 1);
    dn_encoder_destroy(&e);
    dn_tokenizer_close(&t);
    return true;
}

static void damaged_files_do_no_harm(void **state)
{
    char model[1024];
    size_t n = make_model(model), n_json = 0;
    for (size_t i = 0; i < n - 10; i++) /* the settings may be missing; a piece may not be cut */
        opens("cut", model, i);
    for (size_t i = 0; i < n; i++)
        for (int bit = 0; bit < 8; bit += 3) {
            model[i] ^= (char)(1 << bit);
            opens("flipped", model, n);
            model[i] ^= (char)(1 << bit);
        }
    assert_true(opens("whole", model, n));
    char *json = scratch_read(path, &n_json);
    for (size_t i = 1; i < n_json - 2; i += 997)
        assert_false(opens("cut.json", json, i));
    for (size_t i = 0; i < n_json; i += 499) {
        json[i] ^= 4;
        opens("flipped.json", json, n_json);
        json[i] ^= 4;
    }
    free(json);
}

static void llmc_files_only_decode(void **state)
{
    char content[1024 + 5] = {0};
    int32_t header[4] = {20240328, 2, 2, 1};
    dn_encoder *e = NULL;
    memcpy(content, header, sizeof header);
    memcpy(content + 1024, "\2ab\1\n", 5);
    assert_true(scratch_write(&dir, "gpt2_tokenizer.bin", content, sizeof content));
    dn_tokenizer *t = opened(scratch_path(&dir, "gpt2_tokenizer.bin"));
    size_t n;
    assert_string_equal(dn_tokenizer_bytes(t, 0, &n), "ab");
    assert_int_equal(dn_tokenizer_end(t), 1);
    assert_int_equal(dn_encoder_create(t, &e), DN_ERR_DATA);
    dn_tokenizer_close(&t);
    for (size_t cut = 0; cut < sizeof content; cut += cut < 1020 ? 51 : 1)
        assert_false(opens("cut.bin", content, cut));
}

TESTS(text_tokenizer)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_of_all_lengths_merge_as_defined),
        cmocka_unit_test(the_most_frequent_pair_merges_next),
        cmocka_unit_test(texts_come_back),
        cmocka_unit_test(broken_characters_are_replaced),
        cmocka_unit_test(a_text_may_end_within_a_character),
        cmocka_unit_test(special_tokens_are_found_in_texts),
        cmocka_unit_test(texts_are_cut_where_words_are),
        cmocka_unit_test(sentencepiece_merges_by_score),
        cmocka_unit_test(ranks_of_tiktoken_merge_lowest_first),
        cmocka_unit_test(what_is_not_held_is_refused_by_name),
        cmocka_unit_test(damaged_files_do_no_harm),
        cmocka_unit_test(llmc_files_only_decode),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
