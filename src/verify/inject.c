#include "dionode/verify.h"

#include "base/inject.h"

dn_status dn_verify_inject(const char *name)
{
    return dn_inject_plant(name);
}

void dn_verify_inject_list(FILE *out)
{
    dn_inject_list(out);
}
