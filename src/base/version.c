#include "dionode/version.h"

const char *dn_version(void)
{
    return DN_VERSION;
}
