/*
 * What of the stream goes over each boundary of stages: how many of a position's C numbers.
 *
 *     threshold   C - floor(eta C), at least one: those that reach the eta-quantile of their position (Gupta et al., arXiv 2010.08899)
 *     topk        C / ratio, AdaTopK's (Tang et al., arXiv 2410.12707): R_e seconds of a dense message over link e, o bytes of a
 *                 kept number over those of one, r what the slowest link is to save:  ratio_e = max(1, o r R_e / max R)
 *
 * so that all compressed links take R_e o / ratio_e = max R / r, but for latencies, which no message saves.
 */
#ifndef PIPE_RATIOS_H
#define PIPE_RATIOS_H

#include "dionode/status.h"

#include <stddef.h>

#define DN_CHANNEL_NAMES "dense|threshold|topk"
typedef enum dn_channel_choice { DN_CHANNEL_DENSE, DN_CHANNEL_THRESHOLD, DN_CHANNEL_TOPK } dn_channel_choice;

void dn_pipe_ratios(const double *seconds, size_t n, double saving, double overhead, double *ratio);

/** kept [n]; 0: all, as they are. Errors: DN_ERR_CONFIG: a ratio that keeps none of C. */
dn_status dn_pipe_kept(dn_channel_choice choice, double quantile, double saving, const double *seconds, size_t n, size_t C,
                       size_t *kept) DN_MUST_USE;

#endif
