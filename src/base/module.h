/* Modules: shared objects that are opened when a run asks for them, so that nobody else needs what they are
 * built on. */
#ifndef BASE_MODULE_H
#define BASE_MODULE_H

#include "dionode/status.h"

/** Opens libdionode-NAME.so, which stays open: in the folder that DIONODE_MODULES names, beside this library
 * or program, or where it was installed. *table = its symbol; the first member of a table is an int, its
 * version. remedy: what to do where there is no module, for the message. Errors: DN_ERR_SYSTEM: there is
 * none, or none that can be opened, or of another version. */
dn_status dn_module_open(const char *name, const char *symbol, int version, const char *remedy,
                         const void **table) DN_MUST_USE;

#endif
