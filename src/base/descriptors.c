#include "dionode/descriptors.h"

#include "base/fail.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* open() gives the lowest number that is free: this one, as those below are taken. Where another thread came
 * first it is taken too, and the one we got is too many. */
static dn_status occupy(int number, int flags)
{
    if (fcntl(number, F_GETFD) >= 0 || errno != EBADF)
        return DN_OK;
    int got = open("/dev/null", flags);
    if (got < 0)
        return dn_fail_errno(DN_ERR_SYSTEM, errno,
                             "descriptor %d is closed, and /dev/null cannot be opened in its place", number);
    if (got != number)
        close(got);
    return DN_OK;
}

dn_status dn_descriptors_occupy(void)
{
    DN_TRY(occupy(STDIN_FILENO, O_WRONLY));
    DN_TRY(occupy(STDOUT_FILENO, O_RDONLY));
    return occupy(STDERR_FILENO, O_RDONLY);
}
