/*
 * The GPU of this process: what the module's files share; its host code (device/cuda/) and its kernels
 * (compute/cuda/), which are C++. Nothing else includes it.
 *
 * A stream's queue is a stream of CUDA, with page-locked memory that queued calls keep until the next sync:
 * their arguments, which kernels read, and their results, which kernels write and a sync delivers.
 */
#ifndef DEVICE_CUDA_CUDA_H
#define DEVICE_CUDA_CUDA_H

#include "device/module.h"

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- for kernels ---- */

cudaStream_t dn_gpu_stream(const dn_stream *s);

/** Before a launch: notes the kernel's name for messages. False if the stream has failed: nothing is to be
 * launched. */
bool dn_gpu_begin(dn_stream *s, const char *kernel);
/** After it: an error of the launch becomes the stream's. */
void dn_gpu_end(dn_stream *s);
/** Of a call of CUDA's: an error becomes the stream's. False if it is one. */
bool dn_gpu_went_well(dn_stream *s, cudaError_t error, const char *what);
/** A call that cannot be done; the sync says so. */
void dn_gpu_refuse(dn_stream *s, const char *kernel, const char *why);

/** A copy of host memory that a kernel may read until the next sync; NULL of NULL. Page-locked: for what is
 * read once. */
const void *dn_gpu_given(dn_stream *s, const void *host, size_t bytes);
/** The same on the device, in `room` of at least that size: for what many threads read. */
const void *dn_gpu_table(dn_stream *s, void *room, const void *host, size_t bytes);

/** Memory that a kernel writes, of which the next sync copies `bytes` to the host's. */
void *dn_gpu_result(dn_stream *s, void *host, size_t bytes);
/** The same of a number that is added to the host's. */
double *dn_gpu_sum(dn_stream *s, double *host);
/** Memory that a kernel writes, and what is called with it at the next sync; deliver's context, of so many
 * bytes, is copied. */
void *dn_gpu_delivered(dn_stream *s, size_t bytes, void (*deliver)(const void *results, const void *context),
                       const void *context, size_t context_bytes);

/** Device memory of at least so many bytes, 256-byte aligned, contents undefined, the stream's until its next
 * call of this. NULL if there is none: the stream has failed. */
void *dn_gpu_scratch(dn_stream *s, size_t bytes);

/** Room for a pointer to what a file of compute/cuda keeps for the stream: NULL at first; destroyed with it.
 */
void **dn_gpu_kept_with(dn_stream *s, void (*destroy)(void *kept));

/* ---- the module's own ---- */

extern dn_device_services dn_gpu_library;
#define dn_gpu_fail dn_gpu_library.fail

/** From now on this thread's calls of CUDA are of this process's GPU. */
cudaError_t dn_gpu_take_hold(void);
/** How many GPUs before it this process has passed over, as they could not be taken. */
int dn_gpu_n_passed_over(void);

/** DN_ERR_MEMORY or DN_ERR_SYSTEM with CUDA's name of the error: "what: name (sentence)". */
dn_status dn_gpu_failed(cudaError_t error, const char *what);

/** Whether this process has stopped waiting for the GPU, which may compute for ever: nothing is freed any
 * more, as that would wait, too, and the process ends without CUDA's own clearing up. */
bool dn_gpu_is_lost(void);

#ifdef __cplusplus
}
#endif

#endif
