#include "shm/wait.h"

#include "base/clock.h"
#include "shm/control.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define N_YIELDS       16     /* where ranks share cores; measured */
#define YIELDING_S     0.0005 /* where each has its own: a wake-up costs 30 to 60 us, so sleep late, but soon */
#define SLEEP_NS       50000000 /* a lost wake-up costs this much, no more */
#define LONGEST_STEP_S 0.2      /* between two looks at the clock; more means that we did not run */

typedef enum { NOT_YET, REACHED, ABORTED } outcome;

static void pause_core(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* seq_cst for the handshake in sleep_once; on x86 and ARM it costs what acquire costs. The load of *word
 * pairs with the store in dn_wait_post. */
static outcome look(const dn_world *world, const _Atomic uint64_t *word, uint64_t want)
{
    if (dn_control_aborted(world))
        return ABORTED;
    return atomic_load_explicit(word, memory_order_seq_cst) >= want ? REACHED : NOT_YET;
}

static outcome spin_then_yield(const dn_world *world, const _Atomic uint64_t *word, uint64_t want)
{
    uint32_t n_pauses = world->control->n_pauses;
    outcome seen = look(world, word, want);
    for (uint32_t i = 0; seen == NOT_YET && i < n_pauses; i++) {
        pause_core();
        seen = look(world, word, want);
    }
    bool crowded = dn_world_crowded(world);
    double start_s = seen == NOT_YET ? dn_clock_s() : 0;
    for (int i = 0; seen == NOT_YET && (crowded ? i < N_YIELDS : dn_clock_s() - start_s < YIELDING_S); i++) {
        sched_yield();
        seen = look(world, word, want);
    }
    return seen;
}

/* Against a lost wake-up four steps are seq_cst: we count ourselves, then look; the writer writes, then reads
 * the count. One of the two must see the other. What wakes also changes the futex word, so a wake between our
 * look and our sleep makes the sleep return at once; acquire, so that who has read the changed word sees why
 * it was changed. tests/models/check_orders.py searches what these orders allow, and weaker ones.
 *
 * The word is shared: no FUTEX_PRIVATE_FLAG. */
static outcome sleep_once(dn_rank_slot *slot, const dn_world *world, const _Atomic uint64_t *word,
                          uint64_t want)
{
    const struct timespec limit = {.tv_nsec = SLEEP_NS};
    uint32_t wakes = atomic_load_explicit(&slot->wakes, memory_order_acquire);
    atomic_fetch_add_explicit(&slot->sleepers, 1, memory_order_seq_cst);
    if (look(world, word, want) == NOT_YET)
        syscall(SYS_futex, &slot->wakes, FUTEX_WAIT, wakes, &limit, NULL, 0);
    atomic_fetch_sub_explicit(&slot->sleepers, 1, memory_order_relaxed);
    return look(world, word, want);
}

/* How long the one in the way has made no progress. */
typedef struct patience {
    double last_look_s;
    double idle_s;
    int failed_rank;
    uint64_t progress;
} patience;

static bool runs_out(patience *p, const dn_world *world, int awaited)
{
    double now = dn_clock_s();
    double step = now - p->last_look_s;
    int failed_rank = dn_control_failed_rank(world, awaited);
    uint64_t progress =
        atomic_load_explicit(&world->control->slots[failed_rank].progress, memory_order_relaxed);
    if (failed_rank != p->failed_rank || progress != p->progress)
        p->idle_s = 0;
    else
        p->idle_s += step < LONGEST_STEP_S ? step : LONGEST_STEP_S;
    p->last_look_s = now;
    p->failed_rank = failed_rank;
    p->progress = progress;
    return p->idle_s >= world->control->deadline_s;
}

static dn_status sleep_until(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word,
                             uint64_t want, outcome *seen)
{
    patience left = {.last_look_s = dn_clock_s(), .failed_rank = -1};
    dn_rank_slot *slot = &world->control->slots[awaited];
    while ((*seen = sleep_once(slot, world, word, want)) == NOT_YET)
        if (runs_out(&left, world, awaited))
            return dn_control_fail_timeout(world, rank, left.failed_rank);
    return DN_OK;
}

dn_status dn_wait_reach(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word, uint64_t want)
{
    dn_status status = DN_OK;
    outcome seen = spin_then_yield(world, word, want);
    if (seen == NOT_YET) {
        dn_control_set_waiting(world, rank, awaited, word, want);
        status = sleep_until(world, rank, awaited, word, want, &seen);
        dn_control_set_waiting(world, rank, -1, word, want);
    }
    return seen == ABORTED ? dn_control_fail_peer(world) : status;
}

void dn_wait_post(dn_world *world, int rank, _Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_seq_cst);
    if (atomic_load_explicit(&world->control->slots[rank].sleepers, memory_order_seq_cst) > 0)
        dn_control_wake(world, rank);
}
