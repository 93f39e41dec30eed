#include "shm/wait.h"

#include "base/clock.h"
#include "base/pause.h"
#include "shm/control.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <math.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SPINNING_S     0.0005 /* at most: a wake-up costs 30 to 60 us, so sleep late, but soon */
#define LEAST_SPIN_S   0.00002 /* where that was in vain, wait after wait */
#define N_PAUSES       100    /* between two looks at the clock: some microseconds */
#define N_YIELDS       16     /* measured */
#define LONG_YIELD_S   0.001  /* whoever had the core all that time may have no part in these waits, */
#define N_RESTS        1000   /* of which so many then sleep at once, if it was so again and again */
#define SLEEP_NS       50000000 /* a lost wake-up costs this much, no more */
#define BRIEF_NS       50000    /* where other nodes are to be answered, */
#define N_POLLS        4        /* before it sleeps */
#define SLICE_S        0.02     /* where none are: between signs of life of who sleeps until some time */
#define LONGEST_STEP_S 0.2      /* between two checks; longer, and this process was not running */

typedef enum { NOT_YET, REACHED, ABORTED } outcome;

/* The load of *word pairs with the store in dn_wait_post. */
static outcome poll_word(const dn_world *world, const _Atomic uint64_t *word, uint64_t want)
{
    if (dn_control_aborted(world))
        return ABORTED;
    return atomic_load_explicit(word, memory_order_acquire) >= want ? REACHED : NOT_YET;
}

/* Where each rank has cores: the awaited one is about to write, unless it is late, or does not run on a busy machine: then spinning
 * takes its time, and is given half as long next time. sched_yield would hand this core to whatever else the machine does, for a time
 * slice of milliseconds; a sleeper that is woken comes back at once. */
static outcome spin(const dn_world *world, const _Atomic uint64_t *word, uint64_t want)
{
    static _Thread_local double patience_s = SPINNING_S;
    double start_s = dn_clock_s();
    outcome seen = NOT_YET;
    do {
        for (int i = 0; seen == NOT_YET && i < N_PAUSES; i++) {
            dn_pause();
            seen = poll_word(world, word, want);
        }
        dn_control_poll(world);
    } while (seen == NOT_YET && dn_clock_s() - start_s < patience_s);
    patience_s = seen == NOT_YET ? fmax(patience_s / 2, LEAST_SPIN_S) : fmin(patience_s * 2, SPINNING_S);
    return seen;
}

/* Where ranks share cores: the awaited one may need this core. So may a program that has nothing to do with them, which keeps it
 * for a time slice: seen by how long that took. Another rank that computes takes as long at times, so the first long yield costs one
 * wait its yields, the next two, and so on; each wait with short ones alone halves that. */
static outcome yield(const dn_world *world, const _Atomic uint64_t *word, uint64_t want)
{
    static _Thread_local int n_rests, next_rests = 1;
    if (n_rests > 0) {
        n_rests--;
        return NOT_YET;
    }
    outcome seen = NOT_YET;
    double before_s = dn_clock_s();
    for (int i = 0; seen == NOT_YET && n_rests == 0 && i < N_YIELDS; i++) {
        sched_yield();
        dn_control_poll(world);
        seen = poll_word(world, word, want);
        double now_s = dn_clock_s();
        n_rests = now_s - before_s > LONG_YIELD_S ? next_rests : 0;
        before_s = now_s;
    }
    next_rests = n_rests == 0 ? next_rests / 2 + 1 : next_rests < N_RESTS / 2 ? 2 * next_rests : N_RESTS;
    return seen;
}

void dn_wait_register(void)
{
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0);
}

/* Every thread of all processes that have registered executes a full memory barrier at some moment of this call. */
static void fence_all(void)
{
    (void)syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

/* Against a lost wake-up: the sleeper counts itself, then reads the word; the writer writes the word, then reads the
 * count. One of the two must see the other, so nothing may be reordered between the two steps of either. Writers write
 * often, and a fence would hold them up until another processor has given up the line; so the sleeper, who has time, fences
 * for both. (A kernel before 4.16 cannot: there a wake-up may be lost while a store waits in its processor, some
 * nanoseconds, and costs SLEEP_NS.) A wake also changes the futex word, so a wake between the read and the sleep makes the
 * sleep return at once; acquire, so that whoever reads the changed word sees why it was changed.
 * tests/models/check_orders.py explores what these orders, and weaker ones, allow.
 *
 * The word is shared: no FUTEX_PRIVATE_FLAG. */
static outcome sleep_once(dn_rank_slot *slot, const dn_world *world, const _Atomic uint64_t *word,
                          uint64_t want)
{
    const struct timespec limit = {.tv_nsec = world->poll ? BRIEF_NS : SLEEP_NS};
    uint32_t wakes = atomic_load_explicit(&slot->wakes, memory_order_acquire);
    atomic_fetch_add_explicit(&slot->sleepers, 1, memory_order_relaxed);
    fence_all();
    if (poll_word(world, word, want) == NOT_YET)
        syscall(SYS_futex, &slot->wakes, FUTEX_WAIT, wakes, &limit, NULL, 0);
    atomic_fetch_sub_explicit(&slot->sleepers, 1, memory_order_relaxed);
    dn_control_poll(world);
    return poll_word(world, word, want);
}

/* How long the blocking rank has made no progress. */
typedef struct stall {
    double last_check_s;
    double idle_s;
    int failed_rank;
    uint64_t progress;
} stall;

static bool no_progress(stall *p, const dn_world *world, int awaited)
{
    double now = dn_clock_s();
    double step = now - p->last_check_s;
    int failed_rank = dn_control_failed_rank(world, awaited);
    uint64_t progress =
        atomic_load_explicit(&world->control->slots[failed_rank].progress, memory_order_relaxed);
    if (failed_rank != p->failed_rank || progress != p->progress)
        p->idle_s = 0;
    else
        p->idle_s += step < LONGEST_STEP_S ? step : LONGEST_STEP_S;
    p->last_check_s = now;
    p->failed_rank = failed_rank;
    p->progress = progress;
    return p->idle_s >= world->control->deadline_s;
}

dn_status dn_wait_reach(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word, uint64_t want)
{
    dn_status status = DN_OK;
    outcome seen = poll_word(world, word, want);
    if (seen == NOT_YET)
        seen = dn_world_crowded(world) ? yield(world, word, want) : spin(world, word, want);
    if (seen == NOT_YET) {
        stall stalled = {.last_check_s = dn_clock_s(), .failed_rank = -1};
        dn_control_set_waiting(world, rank, awaited, word, want);
        while (status == DN_OK &&
               (seen = sleep_once(&world->control->slots[awaited], world, word, want)) == NOT_YET)
            if (no_progress(&stalled, world, awaited))
                status = dn_control_fail_timeout(world, rank, stalled.failed_rank);
        dn_control_set_waiting(world, rank, -1, word, want);
    }
    if (seen == ABORTED)
        dn_control_poll(world); /* other nodes learn of it */
    return seen == ABORTED ? dn_control_fail_peer(world) : status;
}

dn_status dn_wait_until(dn_world *world, int rank, int awaited, int (*done)(void *context), void *context)
{
    const _Atomic uint64_t *never = &world->control->slots[awaited].progress; /* reaches no UINT64_MAX */
    const struct timespec brief = {.tv_nsec = BRIEF_NS};
    stall stalled = {.failed_rank = -1};
    dn_status status = DN_OK;
    int is_done = 0;
    for (int i = 0; status == DN_OK && (is_done = done(context)) == 0; i++) {
        dn_control_poll(world);
        if (dn_control_aborted(world)) {
            dn_control_poll(world);
            status = dn_control_fail_peer(world);
        } else if (i < N_POLLS) {
            sched_yield();
        } else {
            if (i == N_POLLS) {
                stalled.last_check_s = dn_clock_s();
                dn_control_set_waiting(world, rank, awaited, never, UINT64_MAX);
            }
            nanosleep(&brief, NULL);
            if (no_progress(&stalled, world, awaited))
                status = dn_control_fail_timeout(world, rank, stalled.failed_rank);
        }
    }
    dn_control_set_waiting(world, rank, -1, never, UINT64_MAX);
    return is_done < 0 ? DN_ERR_SYSTEM : status;
}

double dn_wait_for_time(dn_world *world, int rank, double end_s)
{
    const double start_s = dn_clock_s(), slice_s = world->poll ? 1e-9 * BRIEF_NS : SLICE_S;
    double now_s = start_s;
    while (now_s < end_s && !dn_world_stop_requested(world) && !dn_control_aborted(world)) {
        double until = now_s + slice_s < end_s ? now_s + slice_s : end_s;
        struct timespec t = {.tv_sec = (time_t)until};
        t.tv_nsec = (long)(1e9 * (until - (double)t.tv_sec)) + 1;
        t.tv_sec += t.tv_nsec / 1000000000;
        t.tv_nsec %= 1000000000;
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
        dn_control_poll(world);
        dn_world_touch(world, rank);
        now_s = dn_clock_s();
    }
    return now_s - start_s;
}

void dn_wait_post(dn_world *world, int rank, _Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
    atomic_signal_fence(memory_order_seq_cst); /* the compiler keeps the order; the processor: sleep_once */
    if (atomic_load_explicit(&world->control->slots[rank].sleepers, memory_order_relaxed) > 0)
        dn_control_wake(world, rank);
}
