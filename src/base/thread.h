/* Threads of the library's own. */
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>

/** As pthread_create, with all signals blocked: they are for the program's threads. 0, or the errno. */
int dn_thread_start(pthread_t *thread, void *(*body)(void *), void *context);

#endif
