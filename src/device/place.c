#include "device/place.h"

#include "device/device.h"
#include "topo/gpus.h"

#include <stdlib.h>
#include <string.h>

void dn_device_place(const char *device, dn_topo *topo)
{
    int nodes[DN_MAX_RANKS];
    if (strcmp(device, dn_device_cuda.name) != 0 || !dn_topo_machine(topo)->this_system)
        return;
    setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID", false);
    if (strcmp(getenv("CUDA_DEVICE_ORDER"), "PCI_BUS_ID") == 0)
        dn_topo_prefer(topo, nodes, dn_topo_gpu_nodes("", getenv("CUDA_VISIBLE_DEVICES"), nodes, DN_MAX_RANKS));
}
