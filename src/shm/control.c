#include "shm/control.h"

#include "base/clock.h"
#include "base/fail.h"
#include "base/printable.h"

#include <limits.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define TELLING_S 1 /* from a rank's claim of the failure to its message; longer, and it is dead */

/* ---- failure ---- */

void dn_control_wake(dn_world *world, int rank)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    atomic_fetch_add_explicit(&slot->wakes, 1, memory_order_release); /* pairs with the load in sleep_once */
    syscall(SYS_futex, &slot->wakes, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

bool dn_world_abort(dn_world *world, const dn_failure *failure)
{
    dn_abort_record *record = &world->control->abort;
    uint32_t empty = DN_ABORT_EMPTY;
    if (!atomic_compare_exchange_strong_explicit(&record->word, &empty, DN_ABORT_CLAIMED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return false;
    record->status = failure->status;
    record->rank = failure->rank;
    record->signal = failure->signal;
    record->step = failure->step;
    memcpy(record->message, failure->message, sizeof record->message);
    record->message[sizeof record->message - 1] = '\0';
    /* Release: pairs with the acquire in dn_world_failure. */
    atomic_store_explicit(&record->word, DN_ABORT_PUBLISHED, memory_order_release);
    for (int rank = 0; rank < world->n_ranks; rank++)
        dn_control_wake(world, rank);
    return true;
}

dn_failure dn_world_failure(const dn_world *world)
{
    dn_abort_record *record = &world->control->abort;
    dn_failure failure = {.status = DN_OK};
    uint32_t word = atomic_load_explicit(&record->word, memory_order_acquire);
    /* Claim and message are a few stores apart, unless the claimer was killed in between; or a busy machine runs others first. */
    const struct timespec brief = {.tv_nsec = 100000};
    double start_s = word == DN_ABORT_CLAIMED ? dn_clock_s() : 0;
    while (word == DN_ABORT_CLAIMED && dn_clock_s() - start_s < TELLING_S) {
        nanosleep(&brief, NULL);
        word = atomic_load_explicit(&record->word, memory_order_acquire);
    }
    if (word == DN_ABORT_EMPTY)
        return failure;
    if (word == DN_ABORT_CLAIMED) {
        failure = (dn_failure){.status = DN_ERR_PEER, .rank = -1};
        strcpy(failure.message, "a rank failed and was killed before it could report why");
        return failure;
    }
    failure = (dn_failure){.status = (dn_status)record->status,
                           .rank = record->rank,
                           .signal = record->signal,
                           .step = record->step};
    memcpy(failure.message, record->message, sizeof failure.message - 1);
    dn_printable(failure.message);
    if (word != DN_ABORT_PUBLISHED || failure.status > DN_ERR_ARG || failure.status < DN_ERR_UNCAUGHT ||
        failure.rank < -1 || failure.rank >= world->n_ranks) { /* no rank of this run has written that */
        failure = (dn_failure){.status = DN_ERR_PEER, .rank = -1};
        strcpy(failure.message,
               "the shared memory of the run was overwritten: a worker writes out of bounds");
    }
    return failure;
}

dn_status dn_control_fail_peer(const dn_world *world)
{
    dn_failure failure = dn_world_failure(world);
    return dn_fail(DN_ERR_PEER, "the run has failed: %s", failure.message);
}

bool dn_world_failed(const dn_world *world)
{
    return dn_control_aborted(world);
}

dn_status dn_world_check(const dn_world *world)
{
    return dn_control_aborted(world) ? dn_control_fail_peer(world) : DN_OK;
}

/* ---- stop request ---- */

void dn_world_request_stop(dn_world *world, int signal)
{
    atomic_store_explicit(&world->control->stop, signal, memory_order_relaxed);
}

int dn_world_stop_requested(const dn_world *world)
{
    return atomic_load_explicit(&world->control->stop, memory_order_relaxed);
}

void dn_world_request_save(dn_world *world)
{
    atomic_fetch_add_explicit(&world->control->saves, 1, memory_order_relaxed);
}

uint32_t dn_world_saves_requested(const dn_world *world)
{
    return atomic_load_explicit(&world->control->saves, memory_order_relaxed);
}

void dn_world_report_saved(dn_world *world, uint64_t step)
{
    atomic_store_explicit(&world->control->saved, 1 + step, memory_order_relaxed);
}

bool dn_world_saved(const dn_world *world, uint64_t *step)
{
    uint64_t saved = atomic_load_explicit(&world->control->saved, memory_order_relaxed);
    *step = saved - 1;
    return saved > 0;
}

/* ---- the state table ---- */

void dn_control_set_waiting(dn_world *world, int rank, int awaited, const _Atomic uint64_t *word,
                            uint64_t want)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    uint64_t at = (uint64_t)((const char *)word - (const char *)world->control);
    atomic_store_explicit(&slot->waiting_at, at, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_want, want, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_since_ns, (uint64_t)(dn_clock_s() * 1e9), memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_for, 1 + awaited, memory_order_relaxed);
}

/* A word of the segment. The copy of another process's page has the rest of the segment in its file only;
 * what cannot be read there (any more) counts as reached. */
__attribute__((no_sanitize("thread"))) static uint64_t word_at(const dn_world *world, uint64_t at)
{
    uint64_t word;
    if (world->is_copy)
        return pread(world->descriptor, &word, sizeof word, (off_t)at) == (ssize_t)sizeof word ? word
                                                                                               : UINT64_MAX;
    return atomic_load_explicit((const _Atomic uint64_t *)((const char *)world->control + at),
                                memory_order_relaxed);
}

/* The rank that `rank` waits for, -1 for none. A sleeper whose word has the value, but that has not run since
 * (it may have been stopped), waits for none. Values from shared memory are checked before they are used. The
 * word may lie in memory that was released and is written anew by now: whatever is read does no harm, as the
 * failed rank is looked up again, so the race detector is told not to check. */
__attribute__((no_sanitize("thread"))) static int awaited_by(const dn_world *world, int rank)
{
    const dn_control *control = world->control;
    const dn_rank_slot *slot = &control->slots[rank];
    int32_t waiting_for = atomic_load_explicit(&slot->waiting_for, memory_order_relaxed);
    uint64_t at = atomic_load_explicit(&slot->waiting_at, memory_order_relaxed);
    uint64_t want = atomic_load_explicit(&slot->waiting_want, memory_order_relaxed);
    if (waiting_for < 1 || waiting_for > world->n_ranks || at % 8 != 0 || at > world->bytes - 8)
        return -1;
    return word_at(world, at) < want ? waiting_for - 1 : -1;
}

int dn_control_failed_rank(const dn_world *world, int rank)
{
    for (int hops = 0; hops < world->n_ranks; hops++) {
        int next = awaited_by(world, rank);
        if (next < 0)
            return rank;
        rank = next;
    }
    return rank;
}

/* A copy of one row, read field by field: not atomic against a tick. */
typedef struct row {
    uint64_t step, sequence;
    double waiting_s;
    int pid, waiting_for; /* -1: for nobody */
    char phase[DN_PHASE_CHARS + 1];
} row;

static row read_row(const dn_world *world, int rank)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    row r = {.step = atomic_load_explicit(&slot->step, memory_order_relaxed),
             .sequence = dn_control_barriers(world, rank),
             .pid = atomic_load_explicit(&slot->pid, memory_order_relaxed),
             .waiting_for = awaited_by(world, rank)};
    uint64_t since = atomic_load_explicit(&slot->waiting_since_ns, memory_order_relaxed);
    r.waiting_s = dn_clock_s() - 1e-9 * (double)since;
    for (int i = 0; i < DN_PHASE_WORDS; i++) {
        uint64_t word = atomic_load_explicit(&slot->phase[i], memory_order_relaxed);
        memcpy(r.phase + 8 * i, &word, sizeof word);
    }
    dn_printable(r.phase);
    return r;
}

void dn_world_tick(dn_world *world, int rank, uint64_t step, const char *phase)
{
    atomic_store_explicit(&world->control->slots[rank].step, step, memory_order_relaxed);
    dn_world_enter(world, rank, phase);
}

void dn_world_enter(dn_world *world, int rank, const char *phase)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    uint64_t words[DN_PHASE_WORDS] = {0};
    memcpy(words, phase, strnlen(phase, sizeof words));
    for (int i = 0; i < DN_PHASE_WORDS; i++)
        atomic_store_explicit(&slot->phase[i], words[i], memory_order_relaxed);
    dn_world_touch(world, rank);
    dn_control_poll(world);
}

void dn_world_touch(dn_world *world, int rank)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    uint64_t progress = atomic_load_explicit(&slot->progress, memory_order_relaxed);
    atomic_store_explicit(&slot->progress, progress + 1, memory_order_relaxed);
}

int dn_world_launcher(const dn_world *world)
{
    return world->control->launcher;
}

void dn_world_set_pid(dn_world *world, int rank, int pid)
{
    atomic_store_explicit(&world->control->slots[rank].pid, pid, memory_order_relaxed);
}

int dn_world_pid(const dn_world *world, int rank)
{
    return atomic_load_explicit(&world->control->slots[rank].pid, memory_order_relaxed);
}

void dn_world_leave(dn_world *world, int rank)
{
    atomic_store_explicit(&world->control->slots[rank].left, 1, memory_order_relaxed);
}

/* Called after the process has ended, so that all its stores are visible. */
bool dn_world_has_left(const dn_world *world, int rank)
{
    return atomic_load_explicit(&world->control->slots[rank].left, memory_order_relaxed) != 0;
}

void dn_world_set_domain(dn_world *world, int rank, int domain)
{
    atomic_store_explicit(&world->control->slots[rank].domain, domain, memory_order_relaxed);
}

int dn_world_domain(const dn_world *world, int rank)
{
    return atomic_load_explicit(&world->control->slots[rank].domain, memory_order_relaxed);
}

void dn_world_set_node(dn_world *world, int rank, int node)
{
    atomic_store_explicit(&world->control->slots[rank].node, node, memory_order_relaxed);
}

int dn_world_node(const dn_world *world, int rank)
{
    return atomic_load_explicit(&world->control->slots[rank].node, memory_order_relaxed);
}

int dn_world_n_nodes(const dn_world *world)
{
    int n = 0;
    for (int rank = 0; rank < world->n_ranks; rank++)
        n = dn_world_node(world, rank) >= n ? dn_world_node(world, rank) + 1 : n;
    return n;
}

dn_rank_state dn_world_state(const dn_world *world, int rank)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    dn_rank_state state = {
        .progress = atomic_load_explicit(&slot->progress, memory_order_relaxed),
        .step = atomic_load_explicit(&slot->step, memory_order_relaxed),
        .waiting_at = atomic_load_explicit(&slot->waiting_at, memory_order_relaxed),
        .waiting_want = atomic_load_explicit(&slot->waiting_want, memory_order_relaxed),
        .waiting_since_ns = atomic_load_explicit(&slot->waiting_since_ns, memory_order_relaxed),
        .waiting_for = atomic_load_explicit(&slot->waiting_for, memory_order_relaxed),
        .pid = atomic_load_explicit(&slot->pid, memory_order_relaxed),
        .left = atomic_load_explicit(&slot->left, memory_order_relaxed),
    };
    for (int i = 0; i < DN_PHASE_WORDS; i++)
        state.phase[i] = atomic_load_explicit(&slot->phase[i], memory_order_relaxed);
    return state;
}

void dn_world_set_state(dn_world *world, int rank, const dn_rank_state *state)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    for (int i = 0; i < DN_PHASE_WORDS; i++)
        atomic_store_explicit(&slot->phase[i], state->phase[i], memory_order_relaxed);
    atomic_store_explicit(&slot->step, state->step, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_at, state->waiting_at, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_want, state->waiting_want, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_since_ns, state->waiting_since_ns, memory_order_relaxed);
    atomic_store_explicit(&slot->waiting_for, state->waiting_for, memory_order_relaxed);
    atomic_store_explicit(&slot->pid, state->pid, memory_order_relaxed);
    atomic_store_explicit(&slot->left, state->left, memory_order_relaxed);
    atomic_store_explicit(&slot->progress, state->progress, memory_order_relaxed);
}

uint64_t dn_world_step(const dn_world *world, int rank)
{
    return atomic_load_explicit(&world->control->slots[rank].step, memory_order_relaxed);
}

uint64_t dn_world_progress(const dn_world *world, int rank)
{
    dn_rank_slot *slot = &world->control->slots[rank];
    return atomic_load_explicit(&slot->progress, memory_order_relaxed) + dn_control_barriers(world, rank);
}

dn_status dn_control_fail_timeout(dn_world *world, int waiter, int failed_rank)
{
    row r = read_row(world, failed_rank);
    dn_failure failure = {.status = DN_ERR_TIMEOUT, .rank = failed_rank, .step = r.step};
    const size_t bytes = sizeof failure.message;
    size_t used = (size_t)snprintf(
        failure.message, bytes,
        "worker %d (pid %d) made no progress for %g s at step %llu in '%s' while worker %d waited; "
        "raise timeout_s if it was only slow. All ranks: ",
        failed_rank, r.pid, world->control->deadline_s, (unsigned long long)r.step, r.phase, waiter);
    for (int rank = 0; rank < world->n_ranks && used < bytes; rank++) { /* as far as they fit */
        char waits[32] = "";
        r = read_row(world, rank);
        if (r.waiting_for >= 0)
            snprintf(waits, sizeof waits, " waits for %d", r.waiting_for);
        used += (size_t)snprintf(failure.message + used, bytes - used, "%s%d '%s' step %llu%s",
                                 rank ? ", " : "", rank, r.phase, (unsigned long long)r.step, waits);
    }
    if (!dn_world_abort(world, &failure))
        return dn_control_fail_peer(world);
    return dn_fail(DN_ERR_TIMEOUT, "%s", failure.message);
}

void dn_world_print(const dn_world *world, FILE *out)
{
    const bool nodes = dn_world_n_nodes(world) > 1;
    fprintf(out, "%srank      pid     step  %-*s  barriers  waits for\n", nodes ? "node  " : "", DN_PHASE_CHARS, "phase");
    for (int rank = 0; rank < world->n_ranks; rank++) {
        row r = read_row(world, rank);
        if (nodes)
            fprintf(out, "%4d  ", dn_world_node(world, rank));
        fprintf(out, "%4d %8d %8llu  %-*s  %8llu", rank, r.pid, (unsigned long long)r.step, DN_PHASE_CHARS,
                r.phase, (unsigned long long)r.sequence);
        if (r.waiting_for >= 0)
            fprintf(out, "  %d, for %.1f s", r.waiting_for, r.waiting_s);
        fprintf(out, "\n");
    }
}
