#include "dionode/train.h"

#include "device/device.h"

void dn_train_print_gpus(FILE *out)
{
    dn_device_print_all(out);
}
