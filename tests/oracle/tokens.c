/* Ids and decoded text of texts, for tests/oracle/tokenizers.py: texts come from standard input, each behind
 * its length as a little-endian uint32; for each, a line: ids, a bar, the decoded bytes in hexadecimal
 * digits.
 *
 *     tokens TOKENIZER
 */
#include "dionode/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>

static void put(const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        printf("%02x", (unsigned char)bytes[i]);
}

static dn_status answer(const dn_tokenizer *tokenizer, dn_encoder *encoder, const char *text, size_t n,
                        char *out)
{
    const int32_t *ids;
    size_t n_ids;
    dn_decoder decoder = {.tokenizer = tokenizer};
    dn_status status = dn_encode(encoder, text, n, &ids, &n_ids);
    if (status != DN_OK)
        return status;
    for (size_t i = 0; i < n_ids; i++)
        printf("%d ", ids[i]);
    putchar('|');
    for (size_t i = 0; i < n_ids; i++)
        put(out, dn_decode(&decoder, ids[i], out));
    put(out, dn_decode_end(&decoder, out));
    putchar('\n');
    return DN_OK;
}

int main(int argc, char **argv)
{
    dn_tokenizer *tokenizer = NULL;
    dn_encoder *encoder = NULL;
    char *out = NULL, *text = NULL;
    uint32_t n;
    dn_status status = argc == 2 ? dn_tokenizer_open(argv[1], &tokenizer) : DN_ERR_ARG;
    if (status == DN_OK)
        status = dn_encoder_create(tokenizer, &encoder);
    if (status == DN_OK)
        out = malloc(dn_decode_bound(tokenizer));
    while (status == DN_OK && fread(&n, sizeof n, 1, stdin) == 1) {
        text = realloc(text, (size_t)n + 1);
        status = text && fread(text, 1, n, stdin) == n ? answer(tokenizer, encoder, text, n, out) : DN_ERR_IO;
    }
    if (status != DN_OK)
        fprintf(stderr, "tokens: %s\n", dn_error_message());
    free(text);
    free(out);
    dn_encoder_destroy(&encoder);
    dn_tokenizer_close(&tokenizer);
    return dn_status_exit(status);
}
