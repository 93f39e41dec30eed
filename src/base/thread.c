#include "base/thread.h"

#include <signal.h>

int dn_thread_start(pthread_t *thread, void *(*body)(void *), void *context)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int error = pthread_create(thread, NULL, body, context);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return error;
}
