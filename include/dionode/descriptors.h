/** Standard input, output and error of a process that was started without some of them. */
#ifndef DIONODE_DESCRIPTORS_H
#define DIONODE_DESCRIPTORS_H

#include "dionode/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens /dev/null on each of the descriptors 0, 1 and 2 that is closed. Otherwise the next file, or the shared
 * memory of a run, would get such a number, and whatever is printed would be written into it. Each is opened
 * the wrong way round, input for writing and the others for reading: a read or a write still fails, so that
 * output that went nowhere is an error to whoever checks it.
 *
 * dn_launch, dn_comm_join and whatever creates files call it themselves; a program calls it first thing in
 * main(). Costs three system calls where nothing is closed. Thread-safe. Errors: DN_ERR_SYSTEM, one is closed
 * and there is no /dev/null.
 */
DN_API dn_status dn_descriptors_occupy(void) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
