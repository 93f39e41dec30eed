#include "data/packing.h"

#include <string.h>

static const dn_packing packings[] = {
    {0, 3, "\x1f\x8b\x08", "gzip", "gunzip"},
    {0, 6, "\xfd" "7zXZ", "xz", "unxz"},
    {0, 4, "\x28\xb5\x2f\xfd", "Zstandard", "unzstd"},
    {4, 6, "1AY&SY", "bzip2", "bunzip2"},
    {0, 4, "PK\x03\x04", "zip", "unzip"},
    {0, 6, "7z\xbc\xaf\x27\x1c", "7-Zip", "7z x"},
    {0, 4, "\x04\x22\x4d\x18", "LZ4", "unlz4"},
    {0, 6, "\x93NUMPY", "NumPy", "numpy.load(FILE).tofile(OUT)"},
};

const dn_packing *dn_packing_of(const void *begin, size_t n)
{
    for (size_t i = 0; i < sizeof packings / sizeof *packings; i++) {
        const dn_packing *p = &packings[i];
        if (n >= p->at + p->n && memcmp((const char *)begin + p->at, p->magic, p->n) == 0)
            return p;
    }
    return NULL;
}
