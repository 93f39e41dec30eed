/* A command whose output cannot be written has failed. */
#include "cli/cli.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool cli_flush_output(void)
{
    errno = 0; /* an earlier failed write has left only the error flag */
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    fprintf(stderr, "dionode: cannot write the output%s%s\n", errno ? ": " : "",
            errno ? strerror(errno) : "");
    return false;
}

/* An earlier failure keeps its exit status. */
static void check_output(int status, void *unused)
{
    (void)unused;
    if (status == 0 && !cli_flush_output())
        _exit(dn_status_exit(DN_ERR_IO));
}

void cli_check_output_at_exit(void)
{
    if (on_exit(check_output, NULL) == 0)
        return;
    fprintf(stderr, "dionode: no memory\n");
    exit(dn_status_exit(DN_ERR_MEMORY));
}
