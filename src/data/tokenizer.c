/* dn_tokenizer_train (dionode/tokenizer.h): files to a trainer's texts. */
#include "base/fail.h"
#include "data/text.h"
#include "data/text_files.h"
#include "text/train.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4 << 20 }; /* bytes; a text without a place to cut it is cut there all the same */

/* One file, in blocks that are cut where words are not. */
static dn_status count_file(dn_bpe_trainer *trainer, const char *file, char *block)
{
    dn_text text;
    size_t have = 0, got;
    DN_TRY(dn_text_open(&file, 1, &text));
    dn_status status;
    do {
        status = dn_text_read(&text, block + have, BLOCK - have, &got);
        have += got;
        size_t cut = have == BLOCK ? dn_text_cut(block, have) : have;
        cut = cut ? cut : have;
        if (status == DN_OK)
            status = dn_bpe_trainer_count(trainer, block, cut);
        memmove(block, block + cut, have - cut);
        have -= cut;
    } while (status == DN_OK && got > 0);
    dn_text_close(&text);
    return status;
}

static dn_status count_files(dn_bpe_trainer *trainer, const dn_text_files *files,
                             void (*progress)(uint64_t done, uint64_t total, void *context), void *context)
{
    char *block = malloc(BLOCK);
    dn_status status = block ? DN_OK : dn_fail(DN_ERR_MEMORY, "no memory to read a text");
    for (size_t i = 0; status == DN_OK && i < files->n; i++) {
        if (progress)
            progress(i, files->n, context);
        status = count_file(trainer, files->names[i], block);
    }
    free(block);
    return status;
}

dn_status dn_tokenizer_train(const char *const *files, size_t n_files, size_t size, const char *path,
                             void (*progress)(uint64_t done, uint64_t total, void *context), void *context,
                             size_t *made)
{
    if (size < 257)
        return dn_fail(DN_ERR_ARG,
                       "a tokenizer of %zu tokens is too small: 256 bytes and <|endoftext|> are 257", size);
    dn_bpe_trainer *trainer = NULL;
    dn_text_files found = {0};
    dn_status status = dn_text_files_find(files, n_files, path, &found);
    if (status == DN_OK)
        status = dn_bpe_trainer_create(&trainer);
    if (status == DN_OK)
        status = count_files(trainer, &found, progress, context);
    if (status == DN_OK)
        status = dn_bpe_trainer_write(trainer, size, path, progress, context, made);
    dn_bpe_trainer_destroy(&trainer);
    dn_text_files_free(&found);
    return status;
}
