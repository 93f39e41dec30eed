#include "data/loader.h"

#include "base/fail.h"
#include "base/random.h"
#include "base/size.h"

#include <string.h>

/* Random streams of the loader: with this tag above the epoch number they differ from those of all
 * parameters. */
#define EPOCH_STREAMS (UINT64_C(0x726f7773) << 32)

/* Six rounds: three already make a pseudo-random permutation (Luby and Rackoff 1988), but only against few
 * queries of a large domain, and the domains here are small. A row costs microseconds to read anyway. */
enum { ROUNDS = 6 };

/* A permutation of 0 .. 2^(2 half)-1 keyed by seed and epoch: a balanced Feistel network. */
static uint64_t mix(uint64_t seed, uint64_t epoch, unsigned half, uint64_t value)
{
    uint64_t mask = (UINT64_C(1) << half) - 1;
    uint64_t left = value >> half, right = value & mask;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        uint64_t bits = dn_random_bits(seed, EPOCH_STREAMS + epoch, round << 32 | right);
        uint64_t mixed = left ^ (bits & mask);
        left = right;
        right = mixed;
    }
    return left << half | right;
}

/* Cycle walking: iterating a permutation of a larger domain until the value is in 0 .. n-1 permutes 0 .. n-1
 * (Black and Rogaway 2002). The domain is below 4 n: at most four steps on average. */
uint64_t dn_shuffled(uint64_t seed, uint64_t epoch, uint64_t n, uint64_t value)
{
    unsigned half = 1;
    while (half < 32 && (UINT64_C(1) << 2 * half) < n)
        half++;
    do
        value = mix(seed, epoch, half, value);
    while (value >= n);
    return value;
}

size_t dn_loader_rows(const dn_loader *loader)
{
    return loader->partition ? dn_partition_rows(loader->partition, loader->client) : (dn_tokens_count(loader->tokens) - 1) / loader->T;
}

/* Where the row begins in the stream. */
static dn_status find_row(const dn_loader *loader, uint64_t index, size_t *first)
{
    size_t T = loader->T, rows = dn_loader_rows(loader);
    if (rows == 0)
        return dn_fail(DN_ERR_DATA,
                       "the data has %zu tokens, one row takes %zu: use more data or a smaller "
                       "sequence_length",
                       dn_tokens_count(loader->tokens), T + 1);
    uint64_t row = index % rows;
    if (loader->shuffle)
        row = dn_shuffled(loader->seed, index / rows, rows, row);
    if (loader->partition)
        row = dn_partition_row(loader->partition, loader->client, row);
    *first = row * T;
    return DN_OK;
}

/* Targets whose mask is read at a time. */
enum { PIECE = 4096 };

dn_status dn_loader_row(const dn_loader *loader, uint64_t index, int32_t *inputs, int32_t *targets)
{
    size_t T = loader->T, first;
    bool counts[PIECE];
    DN_TRY(find_row(loader, index, &first));
    DN_TRY(dn_tokens_read(loader->tokens, first, T, loader->vocab_size, inputs));
    memcpy(targets, inputs + 1, (T - 1) * sizeof *targets);
    DN_TRY(dn_tokens_read(loader->tokens, first + T, 1, loader->vocab_size, targets + T - 1));
    for (size_t at = 0, n; at < T && dn_tokens_masked(loader->tokens); at += n) {
        n = dn_min(T - at, PIECE);
        DN_TRY(dn_tokens_counts(loader->tokens, first + 1 + at, n, counts));
        for (size_t i = 0; i < n; i++)
            targets[at + i] = counts[i] ? targets[at + i] : -1;
    }
    return DN_OK;
}

dn_status dn_loader_counted(const dn_loader *loader, uint64_t index, size_t n_rows, size_t *counted)
{
    size_t T = loader->T, first;
    bool counts[PIECE], masked = dn_tokens_masked(loader->tokens);
    *counted = masked ? 0 : n_rows * T;
    for (uint64_t row = index; masked && row < index + n_rows; row++) {
        DN_TRY(find_row(loader, row, &first));
        for (size_t at = 0, n; at < T; at += n) {
            n = dn_min(T - at, PIECE);
            DN_TRY(dn_tokens_counts(loader->tokens, first + 1 + at, n, counts));
            for (size_t i = 0; i < n; i++)
                *counted += counts[i];
        }
    }
    return DN_OK;
}
