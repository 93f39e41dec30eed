#include "train/saving.h"

#include "base/fail.h"
#include "base/thread.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#define LOOK_NS 50000000 /* between two looks at what a thread has done that is waited for */

static void count_piece(void *context)
{
    dn_saving *s = context;
    atomic_fetch_add_explicit(&s->pieces, 1, memory_order_relaxed);
}

static dn_status bring_to_disk(dn_saving *s)
{
    DN_TRY(dn_checkpoint_finish(&s->draft, count_piece, s));
    dn_comm_report_saved(s->comm, s->step);
    return s->best ? dn_checkpoint_set_best(s->dir, s->step) : DN_OK;
}

static void *bring_and_note(void *context)
{
    dn_saving *s = context;
    s->status = bring_to_disk(s);
    if (s->status != DN_OK)
        snprintf(s->message, sizeof s->message, "%s", dn_error_message());
    return NULL;
}

void dn_saving_begin(dn_saving *s)
{
    s->busy = true;
    s->threaded = dn_thread_start(&s->thread, bring_and_note, s) == 0;
    if (!s->threaded)
        bring_and_note(s);
}

bool dn_saving_over(dn_saving *s, void (*tick)(void *), void *context)
{
    uint_fast64_t seen = 0;
    int result = s->threaded ? pthread_tryjoin_np(s->thread, NULL) : 0;
    while (result != 0 && tick) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_NS;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        result = pthread_timedjoin_np(s->thread, NULL, &until);
        uint_fast64_t pieces = atomic_load_explicit(&s->pieces, memory_order_relaxed);
        if (pieces != seen)
            tick(context);
        seen = pieces;
    }
    s->busy = result != 0;
    return !s->busy;
}
