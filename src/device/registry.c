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
static dn_status open_module(const dn_device *device, bool debug, const dn_device **row)
{
    char name[64];
    const void *table;
    snprintf(name, sizeof name, "%s%s", device->module, DN_REAL == DN_F64 ? "-f64" : "");
    DN_TRY(dn_module_open(name, DN_DEVICE_MODULE_SYMBOL, DN_DEVICE_MODULE_VERSION,
                          "take device: cpu; docs/gpu.md says what there is for GPUs", &table));
    const dn_device_module *module = table;
    if (module->real_bytes != sizeof(dn_real))
        return dn_fail(DN_ERR_SYSTEM, "libdionode-%s.so is of another version of Dionode: rebuild it", name);
    const dn_device_services services = {
        .fail = dn_fail, .log = dn_log, .fold = dn_fold_on_host, .wait = dn_device_wait, .debug = debug};
    DN_TRY(module->start(&services));
    *row = module->device;
    return DN_OK;
}

dn_status dn_device_select(const char *name, bool debug)
{
    char names[256] = "";
    for (const dn_device *const *device = devices; *device; device++) {
        if (strcmp((*device)->name, name) == 0) {
            return (*device)->module ? open_module(*device, debug, &selected) : (selected = *device, DN_OK);
        }
        size_t length = strlen(names);
        snprintf(names + length, sizeof names - length, "%s%s", length ? ", " : "", (*device)->name);
    }
    return dn_fail(DN_ERR_ARG, "no device named \"%s\": there are %s", name, names);
}

void dn_device_print_all(FILE *out)
{
    for (const dn_device *const *device = devices; *device; device++) {
        const dn_device *row = NULL;
        if ((*device)->module && open_module(*device, false, &row) == DN_OK)
            row->print(out);
    }
}

static size_t expected;

void dn_device_expect(size_t bytes)
{
    expected = bytes;
}

size_t dn_device_expected(void)
{
    return expected;
}

const dn_device *dn_device_selected(void)
{
    return selected;
}
