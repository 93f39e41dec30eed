/* The devices there are, and the one of this process. */
#include "device/device.h"

#include "base/fail.h"
#include "base/module.h"
#include "device/devices.h"
#include "device/module.h"

#include <stdio.h>
#include <string.h>

#define ROW(name) &dn_device_##name,
static const dn_device *const devices[] = {DN_DEVICES(ROW) NULL};
static const dn_device *selected = &dn_device_cpu;

const dn_device *const *dn_device_all(void)
{
    return devices;
}

/* The row that the device's module has. */
static dn_status open_module(const dn_device *device, const dn_device **row)
{
    char name[64];
    const void *table;
    snprintf(name, sizeof name, "%s%s", device->module, DN_REAL == DN_F64 ? "-f64" : "");
    DN_TRY(dn_module_open(name, DN_DEVICE_MODULE_SYMBOL, DN_DEVICE_MODULE_VERSION,
                          "take device: cpu; docs/gpu.md says what there is for GPUs", &table));
    const dn_device_module *module = table;
    if (module->real_bytes != sizeof(dn_real))
        return dn_fail(DN_ERR_SYSTEM, "libdionode-%s.so is of another version of Dionode: rebuild it", name);
    static const dn_device_services services = {.fail = dn_fail, .fold = dn_fold_on_host};
    DN_TRY(module->start(&services));
    *row = module->device;
    return DN_OK;
}

dn_status dn_device_select(const char *name)
{
    char names[256] = "";
    for (const dn_device *const *device = devices; *device; device++) {
        if (strcmp((*device)->name, name) == 0) {
            return (*device)->module ? open_module(*device, &selected) : (selected = *device, DN_OK);
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
