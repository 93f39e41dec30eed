/** Guarding against closed standard descriptors. */
#ifndef DIONODE_DESCRIPTORS_H
#define DIONODE_DESCRIPTORS_H

#include "dionode/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Opens /dev/null on each of the descriptors 0, 1 and 2 that is closed. Otherwise the next file or shared
 * memory segment to be opened would get that number, and output would be written into it. Each is opened in
 * the opposite direction, input for writing and outputs for reading, so that reads and writes still fail and
 * lost output is noticed.
 *
 * dn_launch, dn_comm_join and functions that create files call it themselves; programs call it at the start
 * of main(). Three system calls if none is closed. Thread-safe. Errors: DN_ERR_SYSTEM if one is closed and
 * /dev/null cannot be opened.
 */
DN_API dn_status dn_descriptors_occupy(void) DN_MUST_USE;

#ifdef __cplusplus
}
#endif

#endif
