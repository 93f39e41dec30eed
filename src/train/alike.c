#include "train/alike.h"

#include "base/fail.h"
#include "base/printable.h"
#include "base/size.h"
#include "train/config_diff.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

dn_status dn_alike_settings(const dn_config *config, dn_comm *comm)
{
    static const dn_key_role roles[] = {DN_KEY_MODEL, DN_KEY_TRAINING, DN_KEY_CONDUCT};
    char differences[600];
    size_t n = 0;
    dn_config *first = malloc(sizeof *first);
    if (!first)
        return dn_fail(DN_ERR_MEMORY, "no memory for the settings of rank 0");
    *first = *config;
    dn_status status = dn_comm_broadcast(comm, first, sizeof *first, 0, DN_TRAFFIC_CONTROL);
    for (size_t i = 0; status == DN_OK && n == 0 && i < sizeof roles / sizeof *roles; i++)
        n = dn_config_differences(first, config, roles[i], differences, sizeof differences);
    free(first);
    if (n > 0)
        status = dn_fail(DN_ERR_CONFIG, "rank %d was started with other settings than rank 0 (there -> here): %s; start all ranks alike",
                         dn_comm_rank(comm), differences);
    return status;
}

dn_status dn_alike_options(const char *options, dn_comm *comm)
{
    char first[600];
    snprintf(first, sizeof first, "%s", options);
    DN_TRY(dn_comm_broadcast(comm, first, sizeof first, 0, DN_TRAFFIC_CONTROL));
    if (strncmp(first, options, sizeof first - 1) == 0)
        return DN_OK;
    return dn_fail(DN_ERR_CONFIG, "rank %d was started with other options than rank 0: '%.200s', there '%.200s'; start all ranks alike",
                   dn_comm_rank(comm), options, first);
}

static dn_status hash(const dn_tokens *tokens, size_t vocab_size, uint64_t *out)
{
    enum { SAMPLES = 64, EACH = 16 };
    struct {
        uint64_t count, files;
        int32_t tokens[SAMPLES][EACH];
    } seen = {.count = dn_tokens_count(tokens), .files = dn_tokens_n_files(tokens)};
    size_t each = dn_min(EACH, seen.count);
    for (size_t i = 0; i < SAMPLES; i++)
        DN_TRY(dn_tokens_read(tokens, (seen.count - each) / (SAMPLES - 1) * i, each, vocab_size, seen.tokens[i]));
    *out = XXH3_64bits(&seen, sizeof seen);
    return DN_OK;
}

dn_status dn_alike_data(const dn_tokens *tokens, size_t vocab_size, const char *what, dn_comm *comm)
{
    uint64_t own;
    if (!tokens)
        return DN_OK;
    DN_TRY(hash(tokens, vocab_size, &own));
    const double low = (double)(own & UINT32_MAX), high = (double)(own >> 32);
    double most[] = {low, high, -low, -high}; /* the largest, and the smallest, of all ranks */
    DN_TRY(dn_comm_all_reduce_scalars(comm, most, 4, DN_MAX));
    if (most[0] == -most[2] && most[1] == -most[3])
        return DN_OK;
    return dn_fail(DN_ERR_DATA, "the ranks' %s are not the same: rank %d has %zu tokens in %zu file%s; give all nodes the same files", what,
                   dn_comm_rank(comm), dn_tokens_count(tokens), dn_tokens_n_files(tokens), dn_plural((long long)dn_tokens_n_files(tokens)));
}
