/* Files of tokenizers, in whatever format the bytes look like; the first byte says how long a text to encode
 * follows. */
#include "fuzz/fuzz.h"

#include "dionode/tokenizer.h"

#include <stdlib.h>

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    size_t n = fuzz_take(&input, 1), n_ids;
    n = n < input.size ? n : input.size;
    const char *path = fuzz_file("tokenizer", input.data + n, input.size - n);
    dn_tokenizer *tokenizer = NULL;
    dn_encoder *encoder = NULL;
    const int32_t *ids;
    dn_status status = dn_tokenizer_open(path, &tokenizer);
    if (status == DN_OK)
        status = dn_encoder_create(tokenizer, &encoder);
    if (status == DN_OK)
        status = dn_encode(encoder, (const char *)input.data, n, &ids, &n_ids);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA);
    char *out = malloc(tokenizer ? dn_decode_bound(tokenizer) : 1);
    FUZZ_EXPECT(out, "no memory");
    dn_decoder decoder = {.tokenizer = tokenizer};
    for (size_t i = 0; status == DN_OK && i < n_ids; i++) {
        FUZZ_EXPECT(ids[i] >= 0 && (size_t)ids[i] < dn_tokenizer_size(tokenizer), "id %d of %zu", ids[i],
                    dn_tokenizer_size(tokenizer));
        size_t written = dn_decode(&decoder, ids[i], out);
        FUZZ_EXPECT(written <= dn_decode_bound(tokenizer), "%zu bytes, at most %zu", written,
                    dn_decode_bound(tokenizer));
    }
    free(out);
    dn_encoder_destroy(&encoder);
    dn_tokenizer_close(&tokenizer);
}

const fuzz_target fuzz_tokenizer = {"tokenizer", run, 500};
