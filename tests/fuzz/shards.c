/* Token files: bits 0 and 1 of the first byte say whether it is one file or two and whether they are named
 * .bin; then comes the vocabulary's size. */
#include "fuzz/fuzz.h"

#include "data/loader.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const dn_status failures[] = {DN_ERR_DATA, DN_OK};

/* All tokens, in pieces of n. */
static dn_status read_pieces(const dn_tokens *tokens, size_t n, size_t vocab, int32_t *out)
{
    size_t count = dn_tokens_count(tokens);
    for (size_t at = 0; at < count; at += n) {
        dn_status status = dn_tokens_read(tokens, at, n < count - at ? n : count - at, vocab, out + at);
        if (status != DN_OK)
            return status;
    }
    return DN_OK;
}

static void read_all(const dn_tokens *tokens, size_t vocab)
{
    size_t count = dn_tokens_count(tokens);
    int32_t *at_once = calloc(count, sizeof *at_once), *in_pieces = calloc(count, sizeof *in_pieces);
    FUZZ_EXPECT(at_once && in_pieces, "no memory for %zu tokens", count);
    dn_status status = read_pieces(tokens, count, vocab, at_once);
    if (status != DN_OK)
        fuzz_expect_failure(status, failures);
    dn_status again = read_pieces(tokens, 7, vocab, in_pieces);
    FUZZ_EXPECT(status == again, "at once %d, in pieces %d", status, again);
    FUZZ_EXPECT(status != DN_OK || memcmp(at_once, in_pieces, count * sizeof *at_once) == 0,
                "tokens read in pieces are others");
    for (size_t i = 0; status == DN_OK && i < count; i++)
        FUZZ_EXPECT(at_once[i] >= 0 && (size_t)at_once[i] < vocab, "token %zu is %d, vocabulary %zu", i,
                    at_once[i], vocab);
    free(at_once);
    free(in_pieces);
}

static void read_rows(const dn_tokens *tokens, size_t vocab)
{
    enum { T = 5 };
    dn_loader loader = {.tokens = tokens, .T = T, .vocab_size = vocab, .seed = 1, .shuffle = true};
    int32_t inputs[T], targets[T];
    for (uint64_t row = 0; row < 5; row++) {
        dn_status status = dn_loader_row(&loader, row << 60 | row, inputs, targets);
        if (status != DN_OK)
            fuzz_expect_failure(status, failures);
    }
}

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    uint64_t mode = fuzz_take(&input, 1);
    size_t vocab = fuzz_take(&input, 3), half = mode & 1 ? input.size / 2 : input.size;
    const char *ending = mode & 2 ? "bin" : "txt";
    const char *first = fuzz_file(mode & 2 ? "tokens0.bin" : "tokens0.txt", input.data, half);
    const char *second =
        fuzz_file(mode & 2 ? "tokens1.bin" : "tokens1.txt", input.data + half, input.size - half);
    if (!(mode & 1))
        unlink(second);
    char pattern[PATH_MAX];
    snprintf(pattern, sizeof pattern, "%.*s*.%s", (int)(strlen(first) - 5), first, ending);
    dn_tokens *tokens = NULL;
    dn_status status = dn_tokens_open(pattern, DN_TOKENS_SHARDS, &tokens);
    if (status == DN_OK) {
        read_all(tokens, vocab);
        read_rows(tokens, vocab);
    } else
        fuzz_expect_failure(status, failures);
    dn_tokens_close(&tokens);
}

const fuzz_target fuzz_shards = {"shards", run, 800};
