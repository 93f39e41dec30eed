/* llm.c's tokenizer file (karpathy/llm.c, train_gpt2.py): 256 little-endian int32 - 20240328, version 1 or 2,
 * number of tokens, since version 2 the token that ends a text - then a byte of length and the bytes of each
 * token. */
#include "text/tokenizer.h"

#include "base/fail.h"

#include <string.h>

dn_status dn_tokenizer_read_llmc(dn_tokenizer *t, const char *content, size_t n)
{
    int32_t header[256];
    if (n < sizeof header)
        return dn_fail(DN_ERR_DATA, "the header is cut off");
    memcpy(header, content, sizeof header);
    if (header[1] != 1 && header[1] != 2)
        return dn_fail(DN_ERR_DATA, "version %d of llm.c's tokenizer is not supported: 1 and 2 are",
                       header[1]);
    size_t at = sizeof header;
    t->end = header[1] == 2 ? header[3] : header[2] - 1;
    for (int32_t id = 0; id < header[2]; id++) {
        size_t bytes = at < n ? (unsigned char)content[at] : 1;
        if (n - at < 1 + bytes)
            return dn_fail(DN_ERR_DATA, "is cut off after %d of %d tokens", id, header[2]);
        DN_TRY(dn_tokenizer_add(t, id, content + at + 1, bytes, id == t->end));
        at += 1 + bytes;
    }
    if (at != n || t->end < 0 || t->end >= header[2])
        return dn_fail(DN_ERR_DATA, "is damaged: token %d of %d ends texts, and %zu bytes follow the last",
                       t->end, header[2], n - at);
    t->decode_only = true;
    return dn_tokenizer_index(t, 0);
}
