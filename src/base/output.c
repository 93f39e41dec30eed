#include "base/output.h"

#include "base/fail.h"

#include <errno.h>

dn_status dn_flush(FILE *out)
{
    errno = 0; /* of an earlier failed write only the mark is left */
    if (fflush(out) == 0 && !ferror(out))
        return DN_OK;
    return errno ? dn_fail_errno(DN_ERR_IO, errno, "cannot write the output")
                 : dn_fail(DN_ERR_IO, "cannot write the output");
}
