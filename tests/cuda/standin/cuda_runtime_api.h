/*
 * CUDA's runtime on a CPU, for tests: the calls that Dionode makes, by their names, as strict as CUDA may be.
 *
 * - Nothing queued is done until somebody asks whether it is; copies read the host's memory then, not before.
 * - Streams go on in the worst order that events allow, by DIONODE_CUDA_ORDER: `rising`: all that can be done
 * of the stream made first, then of the next; `falling`: the other way round; `shuffled`: at random.
 * - Device memory ends where a page without access begins. It is the host's all the same, and says so
 * (cudaPointerAttributes).
 * - There are as many GPUs as DIONODE_STANDIN_GPUS says, 1 without.
 *
 * Streams belong to the thread that made them, whose GPU is that of its process: each thread has to say so.
 */
#ifndef STANDIN_CUDA_RUNTIME_API_H
#define STANDIN_CUDA_RUNTIME_API_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned nx = 1, unsigned ny = 1, unsigned nz = 1) : x(nx), y(ny), z(nz)
    {
    }
};
struct uint3 {
    unsigned x, y, z;
};
extern "C" {
#endif

typedef enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInsufficientDriver = 35,
    cudaErrorDevicesUnavailable = 46,
    cudaErrorNoDevice = 100,
    cudaErrorNotReady = 600,
    cudaErrorIllegalAddress = 700
} cudaError_t;

typedef struct standin_stream *cudaStream_t;
typedef struct standin_event *cudaEvent_t;

enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2, cudaHostAllocDefault = 0 };
typedef enum cudaMemcpyKind { cudaMemcpyDefault = 4 } cudaMemcpyKind;
typedef enum cudaMemoryType {
    cudaMemoryTypeUnregistered,
    cudaMemoryTypeHost,
    cudaMemoryTypeDevice
} cudaMemoryType;
typedef struct cudaPointerAttributes {
    cudaMemoryType type;
    int device;
    void *devicePointer, *hostPointer;
} cudaPointerAttributes;
typedef void (*cudaHostFn_t)(void *);
enum cudaDriverEntryPointQueryResult {
    cudaDriverEntryPointSuccess = 0,
    cudaDriverEntryPointSymbolNotFound = 1
};
enum { cudaEnableDefault = 0, cudaHostRegisterDefault = 0 };

const char *cudaGetErrorName(cudaError_t error);
const char *cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError(void);

cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetDeviceCount(int *n);
struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
};
enum cudaDeviceP2PAttr { cudaDevP2PAttrNativeAtomicSupported = 3 };
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *about, int device);
cudaError_t cudaDeviceGetPCIBusId(char *address, int bytes, int device);
cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer);
cudaError_t cudaDeviceGetP2PAttribute(int *value, enum cudaDeviceP2PAttr name, int device, int peer);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaGetDevice(int *device);
cudaError_t cudaMemGetInfo(size_t *available, size_t *total);

cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *memory);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *memory);
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *out, const void *p);

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamQuery(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventDestroy(cudaEvent_t event);

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *context);

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned flags);
cudaError_t cudaHostUnregister(void *memory);
/* Of the driver's calls (cuda.h). */
cudaError_t cudaGetDriverEntryPointByVersion(const char *name, void **out, unsigned version,
                                             unsigned long long flags,
                                             enum cudaDriverEntryPointQueryResult *found);

/* ---- the stand-in's own ---- */

/** Notes memory that was made elsewhere. */
void standin_register(void *memory, size_t bytes, bool on_device);
void standin_unregister(void *memory);

/** Queues run(own), then free(own). */
void standin_queue(cudaStream_t stream, void (*run)(void *), void (*free_own)(void *), void *own);
/** Memory of exactly so many bytes before a page without access, or NULL; standin_release gives it back. */
void *standin_guarded(size_t bytes);
void standin_release(void *memory);
/** Whether this call fails: DIONODE_STANDIN_FAULT is "memory:N", "launch:N" or "copy:N", the N-th allocation, launch or
 * copy of the process; "illegal:N" or "hang:N": the N-th kernel accesses what is not there, or does not end; "lost:N": the
 * N-th does not end, and the GPU of that number (@R, or 0) cannot be taken by workers that are started anew; "board:N": the
 * N-th mapping is of other memory; "access:N": access to the N-th of other processes is refused; "export:N": so is the N-th
 * memory that others shall map; "accept:N": so is the N-th connection of another process; "driver:1", "gpu:1", "room:1":
 * there is no driver, no GPU, or next to no memory. Behind it "@R": in the process of local rank R only. standin_failed:
 * what cudaGetLastError will say. */
bool standin_fails(const char *fault);
cudaError_t standin_failed(cudaError_t error);
/** Whether a kernel is queued that dies, or does not end, instead of the one that is launched. */
bool standin_launch_goes_wrong(cudaStream_t stream);
#ifdef __cplusplus

/** Queues a kernel: the emulator's. A launch that CUDA refuses is an error of cudaGetLastError. */
void standin_launch(cudaStream_t stream, const char *kernel, dim3 grid, dim3 block, size_t bytes,
                    void (*run)(void *), void (*free_own)(void *), void *own);
}
#endif

#endif
