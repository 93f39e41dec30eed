/*
 * CMocka, and how the tests of a file are found. All files of a suite are linked into one program for each precision;
 * `unit_f32 topo_quota` runs the tests of topo_quota.c, in a process of their own.
 */
#ifndef SUPPORT_TESTS_H
#define SUPPORT_TESTS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct tests_file {
    const char *name;
    int (*run)(int argc, char **argv);
    struct tests_file *next;
} tests_file;

void tests_register(tests_file *file);

/* Stands where a program of its own would have main(), and gets the arguments of the process: argv[1] is the name. */
#define TESTS(name)                                                                                          \
    static int tests_of_##name(int argc, char **argv);                                                       \
    __attribute__((constructor)) static void register_tests_of_##name(void)                                  \
    {                                                                                                        \
        static tests_file file = {#name, tests_of_##name, NULL};                                             \
        tests_register(&file);                                                                               \
    }                                                                                                        \
    static int tests_of_##name(int argc, char **argv)

#endif
