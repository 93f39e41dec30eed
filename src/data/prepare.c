#include "data/prepare.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/lock.h"
#include "base/nofile.h"
#include "base/size.h"
#include "data/text.h"
#include "data/text_files.h"
#include "data/tokens.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BLOCK = DN_PREPARE_BLOCK };

/* The shards of one kind ("train", "val"), all still aside; the last is being filled. */
struct shard_set {
    const char *dir, *kind;
    uint64_t limit;  /* tokens a shard */
    uint64_t tokens; /* in all shards */
    uint64_t in_last;
    dn_atomic_file *shards; /* owned */
    size_t n;
};

static void shard_path(const struct shard_set *set, size_t index, char path[PATH_MAX])
{
    snprintf(path, PATH_MAX, "%s/%s_%06zu.bin", set->dir, set->kind, index);
}

/* The token count is known only now. */
static dn_status finish_last(struct shard_set *set)
{
    if (set->n == 0)
        return DN_OK;
    dn_shard_header header = dn_shard_header_of((size_t)set->in_last, 256, 0, set->in_last);
    DN_TRY(dn_atomic_file_write(&set->shards[set->n - 1], 0, &header, sizeof header));
    return dn_atomic_file_seal(&set->shards[set->n - 1], NULL, NULL);
}

static dn_status begin_shard(struct shard_set *set)
{
    static const dn_shard_header header;
    char path[PATH_MAX];
    DN_TRY(finish_last(set));
    DN_TRY(dn_nofile_allow(set->n + 1, set->dir));
    dn_atomic_file *shards = realloc(set->shards, (set->n + 1) * sizeof *shards);
    if (!shards)
        return dn_fail(DN_ERR_MEMORY, "%s: out of memory", set->dir);
    set->shards = shards;
    shard_path(set, set->n, path);
    DN_TRY(dn_atomic_file_open(path, 0, &set->shards[set->n]));
    set->n++;
    set->in_last = 0;
    return dn_atomic_file_append(&set->shards[set->n - 1], &header, sizeof header);
}

static dn_status append_bytes(struct shard_set *set, const uint8_t *bytes, size_t n)
{
    uint16_t tokens[4096];
    while (n > 0) {
        if (set->n == 0 || set->in_last == set->limit)
            DN_TRY(begin_shard(set));
        size_t piece = sizeof tokens / sizeof *tokens;
        if (piece > n)
            piece = n;
        if (piece > set->limit - set->in_last)
            piece = (size_t)(set->limit - set->in_last);
        for (size_t i = 0; i < piece; i++)
            tokens[i] = bytes[i];
        DN_TRY(dn_atomic_file_append(&set->shards[set->n - 1], tokens, piece * sizeof *tokens));
        set->in_last += piece;
        set->tokens += piece;
        bytes += piece;
        n -= piece;
    }
    return DN_OK;
}

static bool is_shard(const char *name)
{
    const char *digits = strncmp(name, "train_", 6) == 0 ? name + 6 : strncmp(name, "val_", 4) == 0 ? name + 4 : "";
    size_t n = strspn(digits, "0123456789");
    return n >= 6 && strcmp(digits + n, ".bin") == 0;
}

/* An earlier, longer text left shards with higher numbers: they would be read as part of this one. */
static dn_status remove_older(const struct shard_set *set)
{
    char path[PATH_MAX];
    for (size_t index = set->n;; index++) {
        shard_path(set, index, path);
        if (unlink(path) != 0)
            return errno == ENOENT ? DN_OK
                                   : dn_fail_errno(DN_ERR_IO, errno, "cannot remove the older %s", path);
    }
}

static dn_status publish(struct shard_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        DN_TRY(dn_atomic_file_publish(&set->shards[i]));
    return remove_older(set);
}

/* Shards get their names one by one. Until the last one has its own, and what is older is gone, the folder is marked. */
static dn_status publish_all(const char *dir, struct shard_set *train, struct shard_set *val)
{
    char mark[PATH_MAX];
    snprintf(mark, sizeof mark, "%s/" DN_SHARDS_INCOMPLETE, dir);
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot create %s", mark);
    close(fd);
    DN_TRY(dn_name_sync(mark));
    DN_TRY(publish(train));
    DN_TRY(publish(val));
    DN_TRY(dn_name_sync(mark)); /* what is older is gone for good */
    if (unlink(mark) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot remove %s", mark);
    return dn_name_sync(mark);
}

static void discard(struct shard_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        dn_atomic_file_discard(&set->shards[i]);
    free(set->shards);
}

/* Every block that crosses a whole multiple of 1/fraction, counted from block 1: the rule needs no length, so
 * a pipe can be split, and two blocks are enough for one of each kind. */
bool dn_prepare_is_validation(uint64_t block, double val_fraction)
{
    double at = (double)block - 1.0;
    return block > 0 && floor(at * val_fraction) > floor((at - 1.0) * val_fraction);
}

static dn_status split(dn_text *text, struct shard_set *train, struct shard_set *val, double val_fraction,
                       void (*progress)(uint64_t, uint64_t, void *), void *context)
{
    uint8_t block[BLOCK];
    size_t got = BLOCK;
    for (uint64_t i = 0; got == BLOCK; i++) {
        DN_TRY(dn_text_read(text, block, BLOCK, &got));
        DN_TRY(append_bytes(dn_prepare_is_validation(i, val_fraction) ? val : train, block, got));
        if (progress)
            progress(dn_text_done(text), text->total, context);
    }
    uint64_t bytes = train->tokens + val->tokens;
    if (bytes < 2 * BLOCK)
        return dn_fail(DN_ERR_DATA,
                       "%" PRIu64 " bytes of text are too little: at least %d are needed, one block "
                       "for training and one for validation; add text",
                       bytes, 2 * BLOCK);
    return DN_OK;
}

/* Cuts the last name off a path, and slashes before and after it. Returns the length that is left. */
static size_t parent(char *path)
{
    size_t n = strlen(path);
    while (n > 0 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    while (n > 0 && path[n - 1] == '/')
        n--;
    path[n] = 0;
    return n;
}

/* Length of the part of its name that leads to a folder that there is. */
static size_t existing(const char *dir)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    size_t n = strlen(path);
    while (n > 0 && access(path, F_OK) != 0)
        n = parent(path);
    return n;
}

/* Takes away the folders that were made in vain: those beyond the first `kept` bytes of the name. */
static void remove_made(const char *dir, size_t kept)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s", dir);
    for (size_t n = strlen(path); n > kept && rmdir(path) == 0;)
        n = parent(path);
}

/* A token is two bytes; what is compressed grows further, by how much is not known. */
static dn_status make_room(const char *dir, const dn_text *text, dn_lock *lock)
{
    DN_TRY(dn_dir_make(dir));
    DN_TRY(dn_lock_take(dir, lock)); /* shards of two texts would be read as one */
    dn_atomic_file_clean(dir, is_shard);
    return dn_dir_check_space(dir, dn_size_mul(sizeof(uint16_t), text->total));
}

dn_status dn_prepare_shards(const char *const *files, size_t n_files, const char *dir, double val_fraction,
                            uint64_t shard_tokens, void (*progress)(uint64_t, uint64_t, void *),
                            void *context, dn_prepare_result *result)
{
    if (!(val_fraction > 0 && val_fraction < 1))
        return dn_fail(DN_ERR_ARG, "the validation fraction is %g, it must lie between 0 and 1",
                       val_fraction);
    dn_text text;
    dn_text_files found;
    dn_status status = dn_text_files_find(files, n_files, dir, &found);
    if (status == DN_OK)
        status = dn_text_open((const char *const *)found.names, found.n, &text);
    if (status != DN_OK) {
        dn_text_files_free(&found);
        return status;
    }
    size_t kept = existing(dir);
    struct shard_set train = {.dir = dir, .kind = "train", .limit = shard_tokens};
    struct shard_set val = {.dir = dir, .kind = "val", .limit = shard_tokens};
    dn_lock lock = {0};
    status = make_room(dir, &text, &lock);
    if (status == DN_OK)
        status = split(&text, &train, &val, val_fraction, progress, context);
    if (status == DN_OK)
        status = finish_last(&train);
    if (status == DN_OK)
        status = finish_last(&val);
    if (status == DN_OK)
        status = publish_all(dir, &train, &val);
    dn_text_close(&text);
    discard(&train);
    discard(&val);
    dn_lock_release(&lock);
    dn_text_files_free(&found);
    if (status == DN_OK)
        *result = (dn_prepare_result){train.tokens, val.tokens};
    else
        remove_made(dir, kept);
    return status;
}

dn_status dn_prepare(const char *const *files, size_t n_files, const char *dir, double val_fraction,
                     void (*progress)(uint64_t, uint64_t, void *), void *context, dn_prepare_result *result)
{
    return dn_prepare_shards(files, n_files, dir, val_fraction, UINT64_C(100000000), progress, context,
                             result);
}
