/* Failing with a message: the code is returned, the line is kept per thread (dionode/status.h). */
#ifndef BASE_FAIL_H
#define BASE_FAIL_H

#include "dionode/status.h"

/**
 * Records the line (printf format; no newline, no program name) and returns status, so that
 * `return dn_fail(DN_ERR_DATA, "%s: wrong magic", path);` is a whole failure path. Overwrites the previous
 * line. Arguments may hold any text: control characters are shown as '?', here and in dn_log.
 */
DN_MUST_USE dn_status dn_fail(dn_status status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** As dn_fail, with ": " and strerror(error) appended. */
DN_MUST_USE dn_status dn_fail_errno(dn_status status, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** The receiver that dn_log_set set, and its context. */
dn_log_fn dn_log_get(void **context);

/** Sends one line (printf format) to the log (dn_log_set). */
void dn_log(dn_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Returns early with the code of a failing call. */
#define DN_TRY(expression)                                                                                   \
    do {                                                                                                     \
        dn_status try_status_ = (expression);                                                                \
        if (try_status_ != DN_OK)                                                                            \
            return try_status_;                                                                              \
    } while (0)

#endif
