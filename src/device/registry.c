/* The devices there are, and the one of this process. */
#include "device/device.h"

#include "base/fail.h"
#include "device/devices.h"

#include <stdio.h>
#include <string.h>

#define ROW(name) &dn_device_##name,
static const dn_device *const devices[] = {DN_DEVICES(ROW) NULL};
static const dn_device *selected = &dn_device_cpu;

const dn_device *const *dn_device_all(void)
{
    return devices;
}

dn_status dn_device_select(const char *name)
{
    char names[256] = "";
    for (const dn_device *const *device = devices; *device; device++) {
        if (strcmp((*device)->name, name) == 0) {
            selected = *device;
            return DN_OK;
        }
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "", (*device)->name);
    }
    return dn_fail(DN_ERR_ARG, "no device named \"%s\": there are %s", name, names);
}

const dn_device *dn_device_selected(void)
{
    return selected;
}
