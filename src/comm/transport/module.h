/* Opening a transport's module: only here, and only when a run asks for it. */
#ifndef COMM_TRANSPORT_MODULE_H
#define COMM_TRANSPORT_MODULE_H

#include "comm/transport/transport.h"
#include "dionode/status.h"

/** Opens libdionode-NAME.so, which stays open: in the folder that DIONODE_MODULES names, beside this library or program, or
 * where it was installed. Errors: DN_ERR_SYSTEM: there is none, or none that can be opened, or of another version. */
dn_status dn_transport_open(const char *name, const dn_transport **out) DN_MUST_USE;

#endif
