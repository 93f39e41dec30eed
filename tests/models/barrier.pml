/*
 * The barrier of shm/barrier.c with the sleep of shm/wait.c and a launcher that tells of deaths: members meet, look,
 * sleep on the event count of whom they wait for, are woken by a post or by the failure of the world. One member
 * may die at any step. Sleeps end by being woken only (really they also end after 50 ms), so a lost wake shows as
 * a process that never ends.
 *
 * A post may stay in its member's store buffer until the count of sleepers was read, unless a sleeper's fence empties it.
 * Otherwise memory here is sequentially consistent; what a weaker order would do at the handshake is planted by hand:
 *   NO_FENCE    the sleeper does not fence
 *   WEAK_COUNT  the sleeper looks before it is counted (its fetch_add, or its look at the word)
 *   WEAK_WAKES  the sleeper looks before it reads the futex word (that load)
 *   WEAK_RAISE  the futex word is raised before what it announces is visible (its fetch_add)
 * and mistakes:
 *   ONE_LINE    a member has one line instead of two
 *   NO_WAKE     a failure is written down and nobody is woken
 */
#ifndef N
#define N        2
#endif
#define NOBODY   N
#define LINE(member, k) ((member) * 2 + PARITY(k))

#ifdef ONE_LINE
#define PARITY(k) 0
#else
#define PARITY(k) ((k) % 2)
#endif

#ifndef MEETINGS
#define MEETINGS 3
#endif

byte sequence[2 * N];
byte payload[2 * N];
byte stored[N]; /* the number that is in a member's store buffer; 0: none */
byte wakes[N], sleepers[N];
byte asleep_on[N] = NOBODY; /* queue of the futex: on whose word a member sleeps */
bool failed;                /* abort word */
bool died;
byte n_ended;

/* What FUTEX_WAKE does. */
inline futex_wake(r)
{
    d_step {
        for (i : 0 .. N - 1) {
            if
            :: asleep_on[i] == r -> asleep_on[i] = NOBODY
            :: else
            fi
        }
        i = 0
    }
}

inline drain(r)
{
    if
    :: stored[r] > 0 -> sequence[LINE(r, stored[r])] = stored[r]; stored[r] = 0
    :: else
    fi
}

/* fence_all: MEMBARRIER_CMD_GLOBAL_EXPEDITED. */
inline fence_all()
{
    d_step {
        for (i : 0 .. N - 1) { drain(i) }
        i = 0
    }
}

inline may_die()
{
    if
    :: atomic { !died -> died = true; goto ended }
    :: true
    fi
}

inline post(k)
{
    payload[LINE(me, k)] = k;
    may_die();
#ifdef WEAK_RAISE
    wakes[me]++;
    sequence[LINE(me, k)] = k;
    n = sleepers[me];
#else
    if
    :: sequence[LINE(me, k)] = k
    :: stored[me] = k
    fi;
    may_die();
    n = sleepers[me];
    d_step { drain(me) };
#endif
    if
    :: n > 0 ->
#ifndef WEAK_RAISE
        wakes[me]++;
#endif
        futex_wake(me)
    :: else
    fi;
    n = 0
}

inline sleep_once(other, k)
{
#ifdef WEAK_COUNT
    w = wakes[other];
    reached = sequence[LINE(other, k)] >= k;
    sleepers[other]++;
#elif defined(WEAK_WAKES)
    sleepers[other]++;
    reached = failed || sequence[LINE(other, k)] >= k;
    w = wakes[other];
#else
    w = wakes[other];
    sleepers[other]++;
#ifndef NO_FENCE
    fence_all();
#endif
    reached = failed;
    reached = reached || sequence[LINE(other, k)] >= k;
#endif
    may_die();
    if
    :: !reached ->
        atomic {
            if
            :: wakes[other] == w -> asleep_on[me] = other
            :: else
            fi
        }
        (asleep_on[me] == NOBODY)
    :: else
    fi;
    d_step { sleepers[other]--; w = 0; reached = false }
}

proctype member(byte me)
{
    byte k, j, other, n, w, i;
    bool reached;
    for (k : 1 .. MEETINGS) {
        post(k);
        for (j : 1 .. N - 1) {
            other = (me + j) % N;
            do
            :: failed -> goto ended
            :: !failed && sequence[LINE(other, k)] >= k -> break
            :: !failed && sequence[LINE(other, k)] < k -> sleep_once(other, k)
            od
        }
        /* Everybody came, and what they brought is there. */
        for (j : 0 .. N - 1) {
            assert(payload[LINE(j, k)] == k)
        }
        j = 0;
        other = 0
    }
ended:
    atomic { asleep_on[me] = NOBODY; n_ended++ }
}

proctype launcher()
{
    byte r, i;
    if
    :: died ->
#ifdef WEAK_RAISE
        for (r : 0 .. N - 1) { wakes[r]++ }
        failed = true;
#else
        failed = true;
#ifndef NO_WAKE
        for (r : 0 .. N - 1) { wakes[r]++ }
#endif
#endif
#ifndef NO_WAKE
        for (r : 0 .. N - 1) { futex_wake(r) }
#endif
    :: n_ended == N
    fi
}

init
{
    byte r;
    atomic {
        for (r : 0 .. N - 1) { run member(r) }
        run launcher()
    }
}
