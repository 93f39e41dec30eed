#include "support/tests.h"

#include <stdio.h>
#include <string.h>

static tests_file *files;

void tests_register(tests_file *file)
{
    file->next = files;
    files = file;
}

int main(int argc, char **argv)
{
    for (const tests_file *file = files; argc > 1 && file; file = file->next)
        if (strcmp(file->name, argv[1]) == 0)
            return file->run(argc, argv);
    fprintf(stderr, "Usage: %s NAME, one of:", argv[0]);
    for (const tests_file *file = files; file; file = file->next)
        fprintf(stderr, " %s", file->name);
    fprintf(stderr, "\n");
    return 2;
}
