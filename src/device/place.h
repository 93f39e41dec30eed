/* Where a launcher puts workers that will take a device. */
#ifndef DEVICE_PLACE_H
#define DEVICE_PLACE_H

#include "dionode/topo.h"

/**
 * Deals the places of the plan anew so that workers run beside the GPUs that they will take, if `device` is CUDA and the plan is of this
 * system; else all stay. CUDA is not asked: workers are told to number GPUs by their places on the bus, as is done here, in
 * CUDA_DEVICE_ORDER, unless the user numbers them otherwise: then all stay, too. For the launcher, before there are workers.
 */
void dn_device_place(const char *device, dn_topo *topo);

#endif
