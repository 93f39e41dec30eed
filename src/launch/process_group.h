/* The process group of a worker: the worker and what it starts. */
#ifndef LAUNCH_PROCESS_GROUP_H
#define LAUNCH_PROCESS_GROUP_H

#include <stdbool.h>
#include <sys/types.h>

/** Whether a process of this group is alive; zombies do not count, unless /proc cannot be read. */
bool dn_process_group_lives(pid_t group);

#endif
