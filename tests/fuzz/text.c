/* Text, plain or compressed, in two files: the first two bytes say where the first ends. */
#include "fuzz/fuzz.h"

#include "data/text.h"

#include <stdlib.h>

enum { MOST = 1 << 18 }; /* bytes that are read: a small file may hold more than memory does */

/* What there is to read, a piece at a time; at most MOST bytes. */
static dn_status read_pieces(const char *const files[2], size_t piece, uint8_t *out, size_t *n)
{
    dn_text text;
    size_t got = piece;
    *n = 0;
    dn_status status = dn_text_open(files, 2, &text);
    if (status != DN_OK)
        return status;
    while (status == DN_OK && got == piece && *n + piece <= MOST) {
        status = dn_text_read(&text, out + *n, piece, &got);
        FUZZ_EXPECT(got <= piece, "%zu bytes of the %zu asked for", got, piece);
        *n += got;
    }
    if (status == DN_OK && got < piece)
        FUZZ_EXPECT(dn_text_done(&text) <= text.total, "%zu of %zu bytes consumed",
                    (size_t)dn_text_done(&text), (size_t)text.total);
    dn_text_close(&text);
    return status;
}

static void run(const uint8_t *data, size_t size)
{
    fuzz_input input = {data, size};
    size_t first = fuzz_take(&input, 2), n, n_again;
    first = first < input.size ? first : input.size;
    const char *files[] = {fuzz_file("a", input.data, first),
                           fuzz_file("b", input.data + first, input.size - first)};
    uint8_t *large = calloc(1, MOST), *small = calloc(1, MOST);
    FUZZ_EXPECT(large && small, "no memory");
    dn_status status = read_pieces(files, MOST, large, &n);
    if (status != DN_OK)
        FUZZ_EXPECT_FAILURE(status, DN_ERR_DATA);
    dn_status again = read_pieces(files, 1 << 10, small, &n_again);
    FUZZ_EXPECT(status == again, "at once %d, in pieces %d: %s", status, again, dn_error_message());
    for (size_t i = 0; i < n && i < n_again; i++)
        FUZZ_EXPECT(large[i] == small[i], "byte %zu is %d at once and %d in pieces", i, large[i], small[i]);
    free(large);
    free(small);
}

const fuzz_target fuzz_text = {"text", run, 500};
