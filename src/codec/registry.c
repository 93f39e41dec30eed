#include "codec/codec.h"
#include "codec/codecs.h" /* DN_CODECS(X): made of the lists in meson.build */

#include <string.h>

#define DECLARE(name) extern const dn_codec dn_codec_##name;
#define ADDRESS(name) &dn_codec_##name,

DN_CODECS(DECLARE)

static const dn_codec *const codecs[] = {DN_CODECS(ADDRESS)};

const dn_codec *dn_codec_find(const char *name)
{
    for (size_t i = 0; i < sizeof codecs / sizeof *codecs; i++)
        if (strcmp(codecs[i]->name, name) == 0)
            return codecs[i];
    return NULL;
}
