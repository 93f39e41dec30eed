#include "data/prepare.h"

#include "base/atomic_file.h"
#include "base/fail.h"
#include "base/lock.h"
#include "base/printable.h"
#include "base/size.h"
#include "data/documents.h"
#include "data/jsonl.h"
#include "data/shard_writer.h"
#include "data/text_files.h"
#include "text/tokenizer.h"

#include <dirent.h>
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

static bool is_shard(const char *name)
{
    const char *digits = strncmp(name, "train_", 6) == 0 ? name + 6
                         : strncmp(name, "val_", 4) == 0 ? name + 4
                                                         : "";
    size_t n = strspn(digits, "0123456789");
    return n >= 6 && (strcmp(digits + n, ".bin") == 0 || strcmp(digits + n, ".mask") == 0);
}

static void tell_of_replaced(const char *dir)
{
    size_t n = 0;
    DIR *entries = opendir(dir);
    for (const struct dirent *entry; entries && (entry = readdir(entries)) != NULL;)
        n += is_shard(entry->d_name);
    if (entries)
        closedir(entries);
    if (n > 0)
        dn_log(DN_LOG_INFO, "%s: replaces the %zu shard%s of an earlier text", dir, n, dn_plural((long long)n));
}

/* Renames are not atomic together: a marker file says that the folder is incomplete until the last shard has
 * its final name and the shards of an earlier text are removed. */
static dn_status publish_all(const char *dir, dn_shard_writer *train, dn_shard_writer *val)
{
    char mark[PATH_MAX];
    snprintf(mark, sizeof mark, "%s/" DN_SHARDS_INCOMPLETE, dir);
    int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot create %s", mark);
    close(fd);
    DN_TRY(dn_name_sync(mark));
    DN_TRY(dn_shard_writer_publish(train));
    DN_TRY(dn_shard_writer_publish(val));
    DN_TRY(dn_name_sync(mark)); /* the removals are durable */
    if (unlink(mark) != 0)
        return dn_fail_errno(DN_ERR_IO, errno, "cannot remove %s", mark);
    return dn_name_sync(mark);
}

/* Every block that crosses a multiple of 1/fraction, counted from block 1. This needs no total length, so a
 * pipe can be split, and two blocks suffice for both sets. */
bool dn_prepare_is_validation(uint64_t block, double val_fraction)
{
    double at = (double)block - 1.0;
    return block > 0 && floor(at * val_fraction) > floor((at - 1.0) * val_fraction);
}

typedef struct preparation {
    dn_text text;
    dn_shard_writer train, val;
    double val_fraction;
    bool examples; /* the text is lines of JSON; a block is one of them */
    uint64_t n_blocks;
    void (*progress)(uint64_t done, uint64_t total, void *context);
    void *context;
} preparation;

static dn_status append(preparation *p, const int32_t *tokens, size_t n, size_t bytes)
{
    bool validation = dn_prepare_is_validation(p->n_blocks++, p->val_fraction);
    DN_TRY(dn_shard_writer_append(validation ? &p->val : &p->train, tokens, n, true, bytes));
    if (p->progress)
        p->progress(dn_text_done(&p->text), p->text.total, p->context);
    return DN_OK;
}

static dn_status append_bytes(preparation *p)
{
    int32_t *tokens = malloc(BLOCK * (sizeof *tokens + sizeof(uint8_t)));
    if (!tokens)
        return dn_fail(DN_ERR_MEMORY, "no memory for a block of text");
    uint8_t *block = (uint8_t *)(tokens + BLOCK);
    dn_status status = DN_OK;
    for (size_t got = BLOCK; status == DN_OK && got == BLOCK;) {
        status = dn_text_read(&p->text, block, BLOCK, &got);
        for (size_t i = 0; status == DN_OK && i < got; i++)
            tokens[i] = block[i];
        if (status == DN_OK)
            status = append(p, tokens, got, got);
    }
    free(tokens);
    if (status != DN_OK)
        return status;
    uint64_t bytes = p->train.tokens + p->val.tokens;
    if (bytes < 2 * BLOCK)
        return dn_fail(DN_ERR_DATA,
                       "the text has %" PRIu64 " bytes, and at least %d are needed, one block "
                       "for training and one for validation: add text",
                       bytes, 2 * BLOCK);
    return DN_OK;
}

static dn_status append_ids(preparation *p, const dn_tokenizer *tokenizer, const char *separator)
{
    dn_documents *documents;
    const int32_t *ids;
    size_t n, bytes;
    DN_TRY(dn_documents_open(tokenizer, &p->text, separator, &documents));
    dn_status status;
    do {
        status = dn_documents_next(documents, &ids, &n, &bytes);
        if (status == DN_OK && ids)
            status = append(p, ids, n, bytes);
    } while (status == DN_OK && ids);
    dn_documents_close(&documents);
    if (status == DN_OK && p->n_blocks < 2)
        return dn_fail(DN_ERR_DATA,
                       "the text has %" PRIu64
                       " bytes, and at least two blocks of up to %d are needed, one for training and one for "
                       "validation: add text",
                       p->train.text_bytes, BLOCK);
    return status;
}

/* ---- examples ---- */

/* The ids of one part of an example; bytes are ids. */
typedef struct part_encoder {
    dn_encoder *encoder; /* NULL: bytes */
    int32_t *ids;        /* [room] of bytes; owned */
    size_t room;
} part_encoder;

static dn_status encode(part_encoder *e, const char *text, size_t n, bool continues, const int32_t **ids, size_t *n_ids)
{
    if (e->encoder)
        return dn_encode_part(e->encoder, text, n, continues, ids, n_ids);
    if (n > e->room) {
        free(e->ids);
        e->room = 2 * n;
        e->ids = malloc(e->room * sizeof *e->ids);
        if (!e->ids)
            return dn_fail(DN_ERR_MEMORY, "no memory for an example of %zu bytes", n);
    }
    for (size_t i = 0; i < n; i++)
        e->ids[i] = (unsigned char)text[i];
    *ids = e->ids;
    *n_ids = n;
    return DN_OK;
}

/* Tokens of the prompt do not count; those of the completion do, and the one that ends a text. */
static dn_status append_example(preparation *p, part_encoder *e, const dn_example *example, int32_t end)
{
    bool validation = dn_prepare_is_validation(p->n_blocks++, p->val_fraction);
    dn_shard_writer *w = validation ? &p->val : &p->train;
    const int32_t *ids;
    size_t n;
    if (example->n_prompt > 0) {
        DN_TRY(encode(e, example->prompt, example->n_prompt, false, &ids, &n));
        DN_TRY(dn_shard_writer_append(w, ids, n, false, 0));
    }
    DN_TRY(encode(e, example->completion, example->n_completion, example->n_prompt > 0, &ids, &n));
    DN_TRY(dn_shard_writer_append(w, ids, n, true, 0));
    if (end >= 0)
        DN_TRY(dn_shard_writer_append(w, &end, 1, true, 0));
    if (p->progress)
        p->progress(dn_text_done(&p->text), p->text.total, p->context);
    return DN_OK;
}

static dn_status append_examples(preparation *p, const dn_tokenizer *tokenizer)
{
    part_encoder e = {0};
    dn_example example;
    dn_jsonl *jsonl;
    p->train.masked = p->val.masked = true;
    DN_TRY(dn_jsonl_open(&p->text, &jsonl));
    dn_status status = tokenizer ? dn_encoder_create(tokenizer, &e.encoder) : DN_OK;
    do {
        if (status == DN_OK)
            status = dn_jsonl_next(jsonl, &example);
        if (status == DN_OK && example.completion)
            status = append_example(p, &e, &example, tokenizer ? dn_tokenizer_end(tokenizer) : -1);
    } while (status == DN_OK && example.completion);
    if (status == DN_OK && p->n_blocks < 2)
        status = dn_fail(DN_ERR_DATA, "%" PRIu64 " examples, and at least two are needed, one for training and one for "
                                      "validation: add some", p->n_blocks);
    dn_encoder_destroy(&e.encoder);
    free(e.ids);
    dn_jsonl_close(&jsonl);
    return status;
}

static bool is_jsonl(const char *name)
{
    size_t n = strlen(name);
    if (n > 3 && strcmp(name + n - 3, ".gz") == 0)
        n -= 3;
    return n > 6 && strncmp(name + n - 6, ".jsonl", 6) == 0;
}

/* Whether the files are of examples: all of them, or none. */
static dn_status are_examples(const dn_text_files *files, const dn_prepare_options *options, bool *examples)
{
    *examples = files->n > 0 && is_jsonl(files->names[0]);
    for (size_t i = 1; i < files->n; i++)
        if (is_jsonl(files->names[i]) != *examples)
            return dn_fail(DN_ERR_CONFIG, "%s and %s: examples (.jsonl) and texts are prepared apart, each into a folder of its own",
                           files->names[0], files->names[i]);
    if (*examples && options->separator)
        return dn_fail(DN_ERR_CONFIG, "%s: a separator splits texts into documents, and each line here is one", files->names[0]);
    return DN_OK;
}

/* ---- folders and files ---- */

/* Disk space: two bytes for each byte of text, or, with a tokenizer, about as many as the text has (a token
 * of two to four bytes for some four characters). Compressed files need more, how much is unknown. */
static dn_status make_room(const char *dir, const dn_text *text, bool bytes, dn_lock *lock)
{
    DN_TRY(dn_dir_make(dir));
    DN_TRY(dn_lock_take(dir, lock)); /* two writers would mix shards of different texts */
    dn_atomic_file_clean(dir, is_shard);
    return dn_dir_check_space(dir, bytes ? dn_size_mul(sizeof(uint16_t), text->total) : text->total);
}

static dn_status prepare(preparation *p, const dn_prepare_options *options, const dn_tokenizer *tokenizer,
                         const char *dir)
{
    DN_TRY(p->examples ? append_examples(p, tokenizer)
           : tokenizer ? append_ids(p, tokenizer, options->separator)
                       : append_bytes(p));
    DN_TRY(dn_shard_writer_seal(&p->train));
    DN_TRY(dn_shard_writer_seal(&p->val));
    if (tokenizer) {
        dn_atomic_files copies = {.dir = dir};
        dn_status status = dn_tokenizer_copy(tokenizer, &copies);
        DN_TRY(dn_atomic_files_end(&copies, status));
    }
    tell_of_replaced(dir);
    return publish_all(dir, &p->train, &p->val);
}

dn_status dn_prepare_shards(const char *const *files, size_t n_files, const char *dir,
                            const dn_prepare_options *options, uint64_t shard_tokens,
                            void (*progress)(uint64_t, uint64_t, void *), void *context,
                            dn_prepare_result *result)
{
    double fraction = options->val_fraction;
    if (!(fraction > 0 && fraction < 1))
        return dn_fail(DN_ERR_ARG, "val_fraction is %g: it must be between 0 and 1", fraction);
    if (options->separator && (!*options->separator || !options->tokenizer))
        return dn_fail(
            DN_ERR_ARG,
            "separator must be non-empty and needs a tokenizer: byte tokens have none that ends a document");
    dn_tokenizer *tokenizer = NULL;
    if (options->tokenizer)
        DN_TRY(dn_tokenizer_open(options->tokenizer, &tokenizer));
    dn_shard_writer empty = {.dir = dir,
                             .limit = shard_tokens,
                             .vocab_size = tokenizer ? dn_tokenizer_size(tokenizer) : 256,
                             .tokenizer = tokenizer ? dn_tokenizer_hash(tokenizer) : 0};
    preparation p = {
        .train = empty, .val = empty, .val_fraction = fraction, .progress = progress, .context = context};
    p.train.kind = "train";
    p.val.kind = "val";
    dn_text_files found;
    dn_status status = dn_text_files_find(files, n_files, dir, &found);
    if (status == DN_OK)
        status = are_examples(&found, options, &p.examples);
    if (status == DN_OK)
        status = dn_text_open((const char *const *)found.names, found.n, &p.text);
    if (status != DN_OK) {
        dn_text_files_free(&found);
        dn_tokenizer_close(&tokenizer);
        return status;
    }
    size_t kept = dn_dir_existing(dir);
    dn_lock lock = {0};
    status = make_room(dir, &p.text, !tokenizer, &lock);
    if (status == DN_OK)
        status = prepare(&p, options, tokenizer, dir);
    dn_text_close(&p.text);
    dn_shard_writer_discard(&p.train);
    dn_shard_writer_discard(&p.val);
    dn_lock_release(&lock);
    dn_text_files_free(&found);
    dn_tokenizer_close(&tokenizer);
    if (status == DN_OK)
        *result = (dn_prepare_result){.train_tokens = p.train.tokens,
                                      .val_tokens = p.val.tokens,
                                      .vocab_size = empty.vocab_size,
                                      .n_examples = p.examples ? p.n_blocks : 0,
                                      .counted = p.train.counted + p.val.counted};
    else
        dn_dir_remove_made(dir, kept);
    return status;
}

dn_status dn_prepare(const char *const *files, size_t n_files, const char *dir,
                     const dn_prepare_options *options, void (*progress)(uint64_t, uint64_t, void *),
                     void *context, dn_prepare_result *result)
{
    return dn_prepare_shards(files, n_files, dir, options, UINT64_C(100000000), progress, context, result);
}
