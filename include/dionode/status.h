/**
 * What a call that can fail returns, and how to read why it failed.
 *
 * Every such function returns a dn_status: DN_OK (0) or a negative code. The code says which kind of failure
 * it was; dn_error_message() says what, where and what to do, in one line. A program built on the library
 * turns a code into its exit status with dn_status_exit(), so that scripts see the same numbers from every
 * command.
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
    DN_ERR_PEER = -7,       /* another worker died                                    exit 7 */
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
 * The one-line message of the last failure on the calling thread: what, where, what to do. Empty string if
 * nothing failed yet. Valid until the next failing call on this thread; owned by the library.
 */
DN_API const char *dn_error_message(void);

/**
 * "Did you mean": of n names - *names is the first, each next pointer to one lies `stride` bytes further on - the one
 * with the fewest edits (insert, delete, replace a character) from word; NULL if each takes more than half as many as
 * word has letters.
 */
DN_API const char *dn_nearest_name(const char *word, const char *const *names, size_t n, size_t stride);

/** How loud a line of the library is. */
typedef enum dn_log_level { DN_LOG_INFO, DN_LOG_WARNING } dn_log_level;

/** Receives one line (no newline at its end). context is what was given to dn_log_set(). */
typedef void (*dn_log_fn)(void *context, dn_log_level level, const char *line);

/**
 * Where the library's own notices go; until called they are dropped. fn NULL drops them again. The library
 * never writes to stderr or stdout itself and never exits. Call before other threads use the library.
 */
DN_API void dn_log_set(dn_log_fn fn, void *context);

#ifdef __cplusplus
}
#endif

#endif
