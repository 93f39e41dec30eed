/* The CPU quota of this process's control groups. hwloc knows their cpusets only. */
#ifndef TOPO_QUOTA_H
#define TOPO_QUOTA_H

/**
 * CPU seconds per second that the process may use: the smallest quota of its own control group and all its
 * ancestors; 0 if none has a limit. root is prepended to /proc/self/cgroup and /sys/fs/cgroup ("" for the
 * running system; tests build a tree of their own).
 *
 * Version 2: cpu.max is "QUOTA PERIOD" or "max PERIOD". Version 1: cpu.cfs_quota_us (-1 = none) over
 * cpu.cfs_period_us. In a container the group's path may not be visible from inside; its files then lie at
 * the root of the mount, which is always looked at. Source: Linux, admin-guide/cgroup-v2.rst and
 * scheduler/sched-bwc.rst.
 */
double dn_quota_read(const char *root);

#endif
