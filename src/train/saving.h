/* A checkpoint that a thread of rank 0 brings from a draft in memory to the disk, while training goes on. */
#ifndef TRAIN_SAVING_H
#define TRAIN_SAVING_H

#include "checkpoint/checkpoint.h"
#include "shm/world.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct dn_saving {
    dn_checkpoint_draft *draft;
    dn_comm *comm;   /* is told what is saved; borrowed */
    const char *dir; /* borrowed */
    uint64_t step;
    bool best;  /* becomes best.safetensors, too */
    bool asked; /* for, by a signal: whoever ends it says so */
    bool busy;
    bool threaded; /* else there was no thread to be had, and it is over */
    pthread_t thread;
    atomic_uint_fast64_t pieces; /* that the disk has taken */
    dn_status status;            /* when it is over */
    char message[DN_MESSAGE_MAX];
} dn_saving;

/** Begins, with the first six fields set, in a saving that is not busy; takes the draft. */
void dn_saving_begin(dn_saving *saving);

/** Whether it is over, and not busy any more: status and message say what became of it then (errors: those of
 * dn_checkpoint_finish and dn_checkpoint_set_best). With a tick (not NULL) it waits until it is, and calls tick whenever the
 * disk has taken some more. */
bool dn_saving_over(dn_saving *saving, void (*tick)(void *), void *context);

#endif
