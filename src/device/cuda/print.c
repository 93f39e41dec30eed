/* The GPUs of this machine, as `dionode topo` shows them. */
#include "device/cuda/cuda.h"
#include "device/cuda/row.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* The first line of a file that the kernel has about a device on the PCI bus; empty if it has none. */
static void read_line(const char *address, const char *name, char *text, int bytes)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/%s", address, name);
    FILE *file = fopen(path, "r");
    if (!file || !fgets(text, bytes, file))
        *text = '\0';
    text[strcspn(text, "\n")] = '\0';
    if (file)
        fclose(file);
}

static const char *link_between(int a, int b)
{
    int reaches = 0, is_native = 0;
    (void)cudaDeviceCanAccessPeer(&reaches, a, b);
    if (!reaches)
        return "none";
    /* Atomics go over NVLink, and not over PCIe. */
    (void)cudaDeviceGetP2PAttribute(&is_native, cudaDevP2PAttrNativeAtomicSupported, a, b);
    return is_native ? "NVLink" : "PCIe";
}

void dn_gpu_print(FILE *out)
{
    int n = 0;
    (void)cudaGetDeviceCount(&n);
    for (int gpu = 0; gpu < n; gpu++) {
        struct cudaDeviceProp about;
        char address[32] = "", node[16], cpus[256];
        if (cudaGetDeviceProperties(&about, gpu) != cudaSuccess)
            continue;
        (void)cudaDeviceGetPCIBusId(address, sizeof address, gpu);
        for (char *c = address; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        read_line(address, "numa_node", node, sizeof node);
        read_line(address, "local_cpulist", cpus, sizeof cpus);
        fprintf(out, "GPU %-6d %s, %.1f GiB, at %s", gpu, about.name, (double)about.totalGlobalMem / 0x1p30,
                address);
        if (*node && *node != '-') /* -1: the firmware does not say */
            fprintf(out, ", node %s of the system", node);
        if (*cpus)
            fprintf(out, ", CPUs %s", cpus);
        for (int other = 0; other < n; other++)
            if (other != gpu)
                fprintf(out, ", to %d %s", other, link_between(gpu, other));
        fputc('\n', out);
    }
}
