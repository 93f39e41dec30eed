/*
 * What reads bytes from outside, given any bytes. A target is a function of the bytes alone: no clock, no
 * random numbers, nothing kept from one call to the next that could change what the next one does, all memory
 * freed.
 *
 * One program holds all targets. Built with clang -fsanitize=fuzzer it looks for inputs itself (libfuzzer.c),
 * with any compiler it goes through those that are kept, and through mutations of them (replay.c).
 */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct fuzz_target {
    const char *name;
    void (*run)(const uint8_t *data, size_t size);
    int n_mutations; /* that a replay makes: as many as take about a second under sanitizers */
} fuzz_target;

extern const fuzz_target fuzz_checkpoint, fuzz_foreign, fuzz_jsonl, fuzz_mesh, fuzz_metrics, fuzz_override, fuzz_plan, fuzz_ring,
    fuzz_shards, fuzz_stat, fuzz_text, fuzz_tokenizer, fuzz_yaml;

/** The target of that name; NULL if there is none. */
const fuzz_target *fuzz_find(const char *name);

/** Aborts with file, line and a printf line unless the condition holds. */
#define FUZZ_EXPECT(condition, ...)                                                                          \
    do {                                                                                                     \
        if (!(condition))                                                                                    \
            fuzz_fail(__FILE__, __LINE__, __VA_ARGS__);                                                      \
    } while (0)
void fuzz_fail(const char *file, int line, const char *format, ...)
    __attribute__((noreturn, format(printf, 3, 4)));

/** Aborts unless a failure has one of the expected kinds (ended by DN_OK) and one line of printable text. */
void fuzz_expect_failure(dn_status status, const dn_status *expected);
#define FUZZ_EXPECT_FAILURE(status, ...) fuzz_expect_failure(status, (const dn_status[]){__VA_ARGS__, DN_OK})

/** Writes a file of that name into the folder that FUZZ_FOLDER names and returns its path, which is good
 * until the fourth next call. */
const char *fuzz_file(const char *name, const void *data, size_t size);

/* Takes values from the front of an input; behind its end there are zeros. */
typedef struct fuzz_input {
    const uint8_t *data;
    size_t size;
} fuzz_input;

uint64_t fuzz_take(fuzz_input *input, size_t n_bytes); /* little-endian, of 1 to 8 bytes */

#endif
