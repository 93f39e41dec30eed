/* Monitoring running workers until the last has ended, and finding the cause of a failure. */
#ifndef LAUNCH_MONITOR_H
#define LAUNCH_MONITOR_H

#include "launch/workers.h"

/**
 * Returns when every worker has ended, or when the remaining ones do not exit by themselves (dn_workers_end
 * kills them). signals is a signalfd of the signals that stop a run; of spec only deadline_s and progress
 * are used. *stopped_by is the first of these signals to arrive, or 0. Errors: as dn_launch.
 */
dn_status dn_monitor(dn_workers *workers, int signals, const dn_launch_spec *spec,
                     int *stopped_by) DN_MUST_USE;

#endif
