/* Watching over running workers until the last has ended, and finding out why. */
#ifndef LAUNCH_MONITOR_H
#define LAUNCH_MONITOR_H

#include "launch/workers.h"

/**
 * Returns when every worker has ended, or those that remain are past help (dn_workers_end kills them).
 * signals is a signalfd of those that stop a run; of spec the deadline and who looks on are used. *stopped_by
 * is the first of the signals that came, or 0. Errors: as dn_launch.
 */
dn_status dn_monitor(dn_workers *workers, int signals, const dn_launch_spec *spec,
                     int *stopped_by) DN_MUST_USE;

#endif
