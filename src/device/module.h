/*
 * What a device's module and the library know of each other. A module is built of this tree and for one
 * precision, includes its headers and links nothing of it: libdionode-NAME.so for float,
 * libdionode-NAME-f64.so for double.
 */
#ifndef DEVICE_MODULE_H
#define DEVICE_MODULE_H

#include "device/device.h"

#define DN_DEVICE_MODULE_VERSION 5
#define DN_DEVICE_MODULE_SYMBOL  "dn_device_of_module"

/* What a module needs of the library: dn_fail and dn_log (base/fail.h), dn_fold_on_host, dn_device_wait; and
 * whether it is to wait for each kernel. */
typedef struct dn_device_services {
    dn_status (*fail)(dn_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));
    void (*log)(dn_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));
    void (*fold)(const dn_fold *fold);
    dn_status (*wait)(dn_awaited (*look)(void *context), void *context);
    bool debug;
} dn_device_services;

typedef struct dn_device_module {
    int version; /* DN_DEVICE_MODULE_VERSION */
    size_t real_bytes;
    const dn_device *device;
    /* Takes hold of the device for this process. Called before anything else, and again when it is selected
     * again. Errors: the device's. */
    dn_status (*start)(const dn_device_services *services);
} dn_device_module;

#endif
