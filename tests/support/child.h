/* One function in a child process. An assertion in a child is swallowed: the parent asserts on what it gets.
 */
#ifndef SUPPORT_CHILD_H
#define SUPPORT_CHILD_H

#include <sys/wait.h>
#include <unistd.h>

/* Wait status of a child that runs fn and exits with what it returns; SIGALRM ends it after 10 seconds. */
static inline int child_run(int (*fn)(void *), void *context)
{
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(10);
        _exit(fn(context));
    }
    if (pid > 0)
        waitpid(pid, &status, 0);
    return status;
}

#endif
