#include "base/printable.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static bool is_harmless(uint32_t code)
{
    return code >= 0x20 && !(code >= 0x7f && code <= 0x9f) && !(code >= 0xd800 && code <= 0xdfff) &&
           !(code >= 0x2028 && code <= 0x202e) && !(code >= 0x2066 && code <= 0x2069) && code <= 0x10ffff;
}

/* Bytes of the harmless character at s; 0 if there is none. */
static size_t harmless_bytes(const unsigned char *s)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800,
                                     0x10000}; /* by number of bytes: longer forms are not valid */
    size_t n = s[0] < 0x80 ? 1 : s[0] < 0xc0 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf8 ? 4 : 0;
    uint32_t code = n == 1 ? s[0] : s[0] & (0xffu >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((s[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (s[i] & 0x3f);
    }
    return code >= least[n] && is_harmless(code) ? n : 0;
}

void dn_printable(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at;) {
        size_t n = harmless_bytes(at);
        if (n == 0)
            *at = '?';
        at += n ? n : 1;
    }
}
