/* Where GPUs are, as the kernel tells it; CUDA is not asked, which a launcher must not initialize. */
#ifndef TOPO_GPUS_H
#define TOPO_GPUS_H

#include "dionode/topo.h"

/**
 * Operating-system numbers of the NUMA nodes that GPUs of NVIDIA hang on, -1 where the firmware does not say, into
 * nodes [max]: by their addresses on the PCI bus, which is CUDA's order under CUDA_DEVICE_ORDER=PCI_BUS_ID. visible, the value
 * of CUDA_VISIBLE_DEVICES, picks from them; NULL: all. Returns how many; 0 too if visible names them otherwise than by numbers.
 * root is prepended to /sys ("" for the running system; tests build a tree of their own).
 */
int dn_topo_gpu_nodes(const char *root, const char *visible, int *nodes, int max);

/** Deals the places of the plan anew: worker i gets one in the node nodes[i % n], [n], as long as there are such; other workers
 * get the rest in order. n 0: all stay. */
void dn_topo_prefer(dn_topo *topo, const int *nodes, int n);

#endif
