#include "device/device.h"
#include "support/tests.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static tests_file *files;

void tests_register(tests_file *file)
{
    file->next = files;
    files = file;
}

/* DIONODE_DEVICE: the device that all tests run on. */
int main(int argc, char **argv)
{
    const char *device = getenv("DIONODE_DEVICE");
    if (device && dn_device_select(device, false) != DN_OK) {
        fprintf(stderr, "%s\n", dn_error_message());
        return 2;
    }
    for (const tests_file *file = files; argc > 1 && file; file = file->next)
        if (strcmp(file->name, argv[1]) == 0)
            return file->run(argc, argv);
    fprintf(stderr, "Usage: %s NAME, one of:", argv[0]);
    for (const tests_file *file = files; file; file = file->next)
        fprintf(stderr, " %s", file->name);
    fprintf(stderr, "\n");
    return 2;
}
