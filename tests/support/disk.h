/*
 * A disk that is full when the test says so, a file system without nameless files, syncs that are counted.
 * The program that disk.c is linked into defines the system calls itself, so the library under test, linked into it
 * too, calls these.
 */
#ifndef SUPPORT_DISK_H
#define SUPPORT_DISK_H

#include <stdbool.h>
#include <stdint.h>

extern struct disk {
    int64_t room;         /* bytes that can still be written; -1: as many as the real disk takes */
    int64_t free_claimed; /* what statvfs says is free; -1: the truth */
    bool no_nameless;     /* O_TMPFILE is refused */
    int syncs;            /* calls of fsync; the disk itself is left alone, it may be busy */
} disk;

#endif
