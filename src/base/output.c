#include "base/output.h"

#include "base/fail.h"

#include <errno.h>

dn_status dn_flush_named(FILE *out, const char *name, int error)
{
    errno = 0; /* of an earlier failed write only the mark is left */
    if (fflush(out) == 0 && !ferror(out))
        return DN_OK;
    error = error ? error : errno;
    return error ? dn_fail_errno(DN_ERR_IO, error, "cannot write %s", name)
                 : dn_fail(DN_ERR_IO, "cannot write %s", name);
}

dn_status dn_flush(FILE *out)
{
    return dn_flush_named(out, "the output", 0);
}
