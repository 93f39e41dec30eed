#include "text/tokenizer.h"

#include <string.h>

/* Bytes of the character that starts with this one, by which further bytes there may be as the second
 * (Unicode, table 3-7); 0: none starts so. */
static unsigned character_bytes(unsigned char first, unsigned char *low, unsigned char *high)
{
    *low = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
    *high = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
    return first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
}

static size_t put_replacement(char *out)
{
    memcpy(out, "\xef\xbf\xbd", 3);
    return 3;
}

/* Takes one byte; a byte that does not continue what is kept ends it as one U+FFFD, and begins anew. */
static size_t take(dn_decoder *d, unsigned char byte, char *out)
{
    size_t n = 0;
    unsigned char low, high;
    if (d->n_rest > 0) {
        unsigned whole = character_bytes(d->rest[0], &low, &high);
        if (d->n_rest > 1)
            low = 0x80, high = 0xbf;
        if (byte >= low && byte <= high) {
            d->rest[d->n_rest++] = byte;
            if (d->n_rest == whole) {
                memcpy(out, d->rest, whole);
                d->n_rest = 0;
                return whole;
            }
            return 0;
        }
        n = put_replacement(out);
        d->n_rest = 0;
    }
    unsigned whole = character_bytes(byte, &low, &high);
    if (whole == 0)
        return n + put_replacement(out + n);
    if (whole == 1) {
        out[n] = (char)byte;
        return n + 1;
    }
    d->rest[d->n_rest++] = byte;
    return n;
}

size_t dn_decode_bound(const dn_tokenizer *t)
{
    return 3 * t->longest + sizeof "\xef\xbf\xbd";
}

size_t dn_decode(dn_decoder *d, int32_t id, char *out)
{
    size_t n, written = 0;
    const char *bytes = dn_tokenizer_bytes(d->tokenizer, id, &n);
    size_t skip = !d->begun && d->tokenizer->space_first && n > 0 && bytes[0] == ' ';
    d->begun = d->begun || n > 0;
    for (size_t i = skip; i < n; i++)
        written += take(d, (unsigned char)bytes[i], out + written);
    return written;
}

size_t dn_decode_end(dn_decoder *d, char *out)
{
    size_t n = d->n_rest > 0 ? put_replacement(out) : 0;
    *d = (dn_decoder){.tokenizer = d->tokenizer};
    return n;
}
