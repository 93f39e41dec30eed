/* Runs faults_program in a process group of its own, reads what it says, and checks that nothing is left of
 * it. All waits are bounded; all assertions are made in the test process. */
#ifndef FAULTS_DRIVER_H
#define FAULTS_DRIVER_H

#include "support/tests.h"

#include <sys/types.h>

#define MAX_WORKERS 8

typedef struct run {
    pid_t launcher; /* also the process group */
    int output;     /* pipe */
    int n_workers;
    pid_t pids[MAX_WORKERS]; /* once ready */
    double delays_s[MAX_WORKERS]; /* of each, and of the launcher, as note_delays found them */
    double launcher_delay_s;
    char text[1 << 16];      /* all output so far */
    size_t length;
} run;

extern const char *program; /* path of faults_program: the first argument of the test */

int setup(void **state);    /* *state = a run */
int teardown(void **state); /* ends whatever a failed test left */

void start(run *r, const char *fault, int n_workers, const char *deadline_s);
/* Waits, for 10 s, for n lines that start with a word; returns the last of them. */
const char *await_lines(run *r, const char *word, int n);
/* Waits until all workers have met, and notes their pids. */
void await_ready(run *r);

typedef struct result {
    int status, signal, leaks;
    const char *message;
} result;
/* Waits for the launcher's verdict and its end. Asserts that its exit status agrees, that it left nothing
 * behind, and that no process is left. */
result await_end(run *r);
/* Asserts that within a second no process that descends from the launcher is left, and no name in /dev/shm. */
void nothing_is_left(run *r);

double now_s(void);
/* Notes how long each process was kept from running so far. */
void note_delays(run *r);
/* Of the survivors of `dead`, the last one's time of leaving its loop, less the time since note_delays in which it
 * or the launcher was kept from running; after asserting that each did with DN_ERR_PEER. */
double last_out_s(run *r, int dead);

#define RUN(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
