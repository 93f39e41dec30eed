/* A GPU, as far as the library knows it: its row is in the module (device/cuda/, compute/cuda/). */
#include "device/device.h"

const dn_device dn_device_cuda = {
    .name = "cuda",
    .help = "a GPU of NVIDIA for each worker, by a module",
    .module = "cuda",
    .narrows = true,
};
