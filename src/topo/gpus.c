#include "topo/gpus.h"

#include "topo/topo.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* A number in a file of a device; `missing` without it. */
static long read_number(const char *device, const char *name, long missing)
{
    char path[PATH_MAX];
    long value = missing;
    FILE *file = snprintf(path, sizeof path, "%s/%s", device, name) < (int)sizeof path ? fopen(path, "re") : NULL;
    if (file && fscanf(file, "%li", &value) != 1)
        value = missing;
    if (file)
        fclose(file);
    return value;
}

/* All GPUs of NVIDIA: display controllers (class 03) of that vendor. */
static int list_all(const char *root, int *nodes, int max)
{
    char folder[PATH_MAX], device[PATH_MAX + 300];
    struct dirent **entries;
    int n = 0;
    if (snprintf(folder, sizeof folder, "%s/sys/bus/pci/devices", root) >= (int)sizeof folder)
        return 0;
    int n_entries = scandir(folder, &entries, NULL, alphasort);
    for (int i = 0; i < n_entries; i++) {
        snprintf(device, sizeof device, "%s/%s", folder, entries[i]->d_name);
        if (n < max && read_number(device, "vendor", 0) == 0x10de && read_number(device, "class", 0) >> 16 == 3)
            nodes[n++] = (int)read_number(device, "numa_node", -1);
        free(entries[i]);
    }
    if (n_entries >= 0)
        free(entries);
    return n;
}

int dn_topo_gpu_nodes(const char *root, const char *visible, int *nodes, int max)
{
    int all[DN_MAX_RANKS], n_all = list_all(root, all, DN_MAX_RANKS), n = 0;
    for (int i = 0; !visible && i < n_all && i < max; i++)
        nodes[n++] = all[i];
    while (visible && *visible && n < max) {
        char *end;
        long number = strtol(visible, &end, 10);
        if (end == visible || (*end && *end != ','))
            return 0;
        if (number < 0 || number >= n_all) /* as for CUDA, the list ends there */
            return n;
        nodes[n++] = all[number];
        visible = *end ? end + 1 : end;
    }
    return n;
}

/* The first place from `from` on that lies in the node; -1: none. */
static int find_place(const dn_topo *topo, int from, int node)
{
    for (int i = from; node >= 0 && i < topo->n_workers; i++) {
        hwloc_obj_t at = dn_topo_node(topo, &topo->placements[i].place);
        if (at && (int)at->os_index == node)
            return i;
    }
    return -1;
}

/* Worker by worker the place that is wanted comes forward, and those in between go one back. */
void dn_topo_prefer(dn_topo *topo, const int *nodes, int n)
{
    for (int rank = 0; n > 0 && rank < topo->n_workers; rank++) {
        int found = find_place(topo, rank, nodes[rank % n]);
        if (found < 0)
            continue;
        dn_placement wanted = topo->placements[found];
        for (int i = found; i > rank; i--)
            topo->placements[i] = topo->placements[i - 1];
        topo->placements[rank] = wanted;
    }
    for (int rank = 0; rank < topo->n_workers; rank++)
        topo->placements[rank].place.rank = rank;
}
