/**
 * Status codes, error messages and the log.
 *
 * Every function that can fail returns a dn_status: DN_OK (0) or a negative code for the kind of failure;
 * dn_error_message() has one line with the problem, its place and a remedy. dn_status_exit() maps a code to
 * the exit status that scripts see, the same for every command.
 */
#ifndef DIONODE_STATUS_H
#define DIONODE_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define DN_API      __attribute__((visibility("default")))
#define DN_MUST_USE __attribute__((warn_unused_result))
#else
#define DN_API
#define DN_MUST_USE
#endif

typedef enum dn_status {
    DN_OK = 0,
    DN_ERR_ARG = -1,        /* a caller's argument is out of its documented range     exit 1 */
    DN_ERR_CONFIG = -2,     /* configuration or command line: unknown key, bad size   exit 2 */
    DN_ERR_DATA = -3,       /* token data: missing, wrong magic, truncated, bad token exit 3 */
    DN_ERR_CHECKPOINT = -4, /* a checkpoint that is torn, damaged or of another model exit 4 */
    DN_ERR_IO = -5,         /* files: full disk, no permission, a folder in use       exit 5 */
    DN_ERR_MEMORY = -6,     /* not enough memory or shared memory                     exit 6 */
    DN_ERR_PEER = -7,       /* another worker failed or died                          exit 7 */
    DN_ERR_TIMEOUT = -8,    /* another worker is alive but did not answer in time     exit 8 */
    DN_ERR_NUMERIC = -9,    /* NaN or infinity where training cannot go on            exit 9 */
    DN_ERR_SYSTEM = -10,    /* the operating system refused something else            exit 10 */
    DN_ERR_UNCAUGHT = -11,  /* verify: no comparison caught the planted bug           exit 11 */
} dn_status;

/** Short name of a code, as "bad configuration". Never NULL; a static string. */
DN_API const char *dn_status_name(dn_status status);

/** Process exit status for a code: 0 for DN_OK, otherwise 1..11 as listed above. */
DN_API int dn_status_exit(dn_status status);

/**
 * The one-line message of the last failure on the calling thread: problem, place, remedy. Empty string if
 * nothing failed yet. Valid until the next failing call on this thread; owned by the library.
 */
DN_API const char *dn_error_message(void);

/**
 * For "did you mean": the name with the smallest edit distance (insert, delete, replace a character) to word,
 * of n names, the pointers to which lie `stride` bytes apart from `names` on. NULL if every distance exceeds
 * half the length of word.
 */
DN_API const char *dn_nearest_name(const char *word, const char *const *names, size_t n, size_t stride);

/** Severity of a log line. */
typedef enum dn_log_level { DN_LOG_INFO, DN_LOG_WARNING } dn_log_level;

/** Receives one line, without a newline. context is dn_log_set()'s. */
typedef void (*dn_log_fn)(void *context, dn_log_level level, const char *line);

/**
 * Sets the receiver of the library's log; without one (the initial state, and fn NULL) lines are dropped.
 * Functions print nothing themselves unless they say so, and never exit. Call before other threads use the
 * library.
 */
DN_API void dn_log_set(dn_log_fn fn, void *context);

#ifdef __cplusplus
}
#endif

#endif
