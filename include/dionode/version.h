/**
 * Which dionode this is, and what may change from one to the next.
 *
 * Versions are MAJOR.MINOR.PATCH. The shared library is named after the first two, libdionode.so.0.2, so that two
 * of them can be installed side by side and a program always gets the one that it was built with:
 *
 * - another PATCH changes no function, type or constant of these headers; a program needs no new build;
 * - another MINOR, until there is a 1.0, may add, change and remove, and CHANGELOG.md says what. Structs then grow:
 *   fields come and go, and an added one means what was done before where it is 0. So a program that is built anew
 *   goes on as it was if it begins each struct with the function for that (dn_config_init, dn_optim_defaults,
 *   dn_verify_defaults, ...) or names the fields that it sets and leaves the others 0.
 *
 * What the library exports is listed (debian/libdionode0.2.symbols), and a test holds it to the list.
 */
#ifndef DIONODE_VERSION_H
#define DIONODE_VERSION_H

#include "dionode/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The version of the library that this process runs with, as "0.2.0"; static storage. */
DN_API const char *dn_version(void);

#ifdef __cplusplus
}
#endif

#endif
