/* Links between the stages of a pipeline, one for all boundaries or each its own: emulated (comm/link.h), or how long messages take. */
#ifndef PIPE_LINKS_H
#define PIPE_LINKS_H

#include "comm/link.h"

typedef struct dn_pipe_links {
    dn_link of[DN_MAX_RANKS]; /* between stage s and s + 1 */
} dn_pipe_links;

/** Parses "1Gbit:1ms", or "1Gbit:1ms,100Mbit:5ms" with one for each of n boundaries; n < 0: of any number. Empty: no links. Errors: DN_ERR_CONFIG
 * "key: ...". */
dn_status dn_pipe_links_parse(const char *text, const char *key, int n, dn_pipe_links *out) DN_MUST_USE;

/** The same of "0.002", or "0.002,0.01": seconds [DN_MAX_RANKS]. Empty: they stay as they are. Errors: DN_ERR_CONFIG "key: ...". */
dn_status dn_pipe_link_times_parse(const char *text, const char *key, int n, double *seconds) DN_MUST_USE;

#endif
