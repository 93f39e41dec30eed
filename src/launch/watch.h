/* Watching over running workers until the last has ended, and finding out why. */
#ifndef LAUNCH_WATCH_H
#define LAUNCH_WATCH_H

#include "launch/crew.h"

/**
 * Returns when every worker has ended, or those that remain are past help (dn_crew_end kills them). signals
 * is a signalfd of those that stop a run; deadline_s as in dn_launch_spec. *stopped_by is the first of them
 * that came, or 0. Errors: as dn_launch.
 */
dn_status dn_watch(dn_crew *crew, int signals, double deadline_s, int *stopped_by) DN_MUST_USE;

#endif
