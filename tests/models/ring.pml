/*
 * The ring of shm/ring.c: a producer that looks at the tail only when the one it remembers leaves no room, and then waits
 * until half of the ring is empty; a consumer that looks at the number in the next slot; and bytes beside the ring that may
 * change once their message was popped. Either side may die; the other then ends too. Waiting is by looking (the sleep is
 * in barrier.pml).
 *
 * Mistakes to be found:
 *   TOO_FULL    the producer lets one message more into the ring than it has slots
 *   POP_EARLY   the consumer pops before it has read the bytes that the message points to
 *   NUMBER_FIRST  a message's number is visible before the rest of it
 */
#define SLOTS    2
#ifndef MESSAGES
#define MESSAGES 5
#endif
#define PARCELS  3 /* places for bytes beside the ring, used in turn */

#ifdef TOO_FULL
#define ROOM (SLOTS + 1)
#else
#define ROOM SLOTS
#endif

byte tail;
byte number[SLOTS], parcel_of[SLOTS];
byte parcel[PARCELS]; /* the bytes: the number of the message they belong to */
bool failed;

proctype producer()
{
    byte own, seen, used;
    do
    :: own == MESSAGES -> break
    :: own < MESSAGES ->
        if
        :: true
        :: failed = true; goto ended
        fi;
        /* The parcel is free once its last message was popped. */
        used = (own >= PARCELS -> own - PARCELS + 1 : 0);
        if
        :: seen >= used
        :: seen < used ->
            (failed || tail >= used);
            if
            :: tail >= used -> seen = tail
            :: else -> goto ended
            fi
        fi;
        parcel[own % PARCELS] = own + 1;
        if
        :: own - seen < ROOM
        :: own - seen >= ROOM ->
            (failed || own - tail <= SLOTS / 2);
            if
            :: own - tail <= SLOTS / 2 -> seen = tail
            :: else -> goto ended
            fi
        fi;
#ifdef NUMBER_FIRST
        number[own % SLOTS] = own + 1;
#endif
        parcel_of[own % SLOTS] = own % PARCELS;
#ifndef NUMBER_FIRST
        number[own % SLOTS] = own + 1;
#endif
        own++
    od;
ended:
    skip
}

proctype consumer()
{
    byte own, at;
    do
    :: own == MESSAGES -> break
    :: own < MESSAGES ->
        if
        :: true
        :: failed = true; goto ended
        fi;
        (failed || number[own % SLOTS] > own);
        if
        :: number[own % SLOTS] > own
        :: else -> goto ended
        fi;
        assert(number[own % SLOTS] == own + 1);
        at = parcel_of[own % SLOTS];
#ifdef POP_EARLY
        tail = own + 1;
#endif
        assert(parcel[at] == own + 1);
        assert(number[own % SLOTS] == own + 1);
        own++;
#ifndef POP_EARLY
        tail = own
#endif
    od;
ended:
    skip
}

init
{
    atomic { run producer(); run consumer() }
}
