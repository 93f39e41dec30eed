/* Watching over running workers until the last has ended, and finding out why. */
#ifndef LAUNCH_WATCH_H
#define LAUNCH_WATCH_H

#include "launch/crew.h"

/**
 * Returns when every worker has ended, or those that remain are past help (dn_crew_end kills them). signals
 * is a signalfd of those that stop a run; of spec the deadline and who looks on are used. *stopped_by is the
 * first of the signals that came, or 0. Errors: as dn_launch.
 */
dn_status dn_watch(dn_crew *crew, int signals, const dn_launch_spec *spec, int *stopped_by) DN_MUST_USE;

#endif
