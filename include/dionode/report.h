/** What runs have measured, for people and for other programs. */
#ifndef DIONODE_REPORT_H
#define DIONODE_REPORT_H

#include "dionode/status.h"

#include <stddef.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * One page, at `path`, of the n runs' metrics, laid over each other: losses, learning rates, speed, time by phase, bytes
 * by axis, norms. runs [n]: folders with a metrics.jsonl. The page needs nothing from elsewhere and holds no script.
 * Errors: DN_ERR_DATA a run without a metrics.jsonl or a line in it, or one that is no line of metrics; DN_ERR_IO;
 * DN_ERR_MEMORY.
 */
DN_API dn_status dn_report_write_page(const char *const *runs, size_t n, const char *path) DN_MUST_USE;

/** The same metrics as comma-separated values: a line of names - run, step and all that any run has - and a line a step;
 * what a step does not have is empty. Numbers read back to the same bits. Errors as above. */
DN_API dn_status dn_report_write_csv(const char *const *runs, size_t n, FILE *out) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
