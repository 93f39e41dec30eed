/* The functions of the row (device/device.h), by file. */
#ifndef DEVICE_CUDA_ROW_H
#define DEVICE_CUDA_ROW_H

#include "device/device.h"

/* ---- memory.c ---- */
void *dn_gpu_take(size_t bytes);
void dn_gpu_give_back(void *memory);
uint64_t dn_gpu_room(void);
void *dn_gpu_lend(const void *handle);

/* ---- print.c ---- */
void dn_gpu_print(FILE *out);

/* ---- peers.c ---- */
/** As the row has it. *distance: where the heap is to begin behind the host's, and where it does. */
dn_status dn_gpu_map_heap(const dn_device_heap *asked, ptrdiff_t *distance, bool *mapped);
void dn_gpu_unmap_heap(const char *first);

/* ---- descriptors.c ---- */
/** Collective. Gives `own` to all others and takes theirs: descriptors [n], which the caller closes; that of the own rank stays as it is.
 * objection: as in agree; with one on any rank, which all then have, nothing is given, or not all is there. Errors: those of a
 * barrier; DN_ERR_SYSTEM: a rank that was connected does not answer. */
dn_status dn_gpu_pass_descriptors(const dn_device_heap *asked, int own, int *descriptors,
                                  char objection[DN_OBJECTION_BYTES]);

/* ---- stream.c ---- */
dn_status dn_gpu_open(dn_stream *stream);
void dn_gpu_close(dn_stream *stream);
void *dn_gpu_keep(dn_stream *stream, size_t bytes);
void dn_gpu_call(dn_stream *stream, void (*run)(dn_stream *stream, void *arguments),
                 void (*deliver)(void *arguments), void *arguments);
void dn_gpu_copy(dn_stream *stream, void *to, const void *from, size_t bytes);
void dn_gpu_clear(dn_stream *stream, void *to, size_t bytes);
void dn_gpu_fold(dn_stream *stream, const dn_fold *fold);
dn_status dn_gpu_sync(dn_stream *stream);
void dn_gpu_drain(dn_stream *stream);
dn_event dn_gpu_record(dn_stream *stream);
void dn_gpu_wait(dn_stream *stream, dn_event event);
bool dn_gpu_passed(dn_event event);

/* ---- compute/cuda/fold.cu ---- */
void dn_gpu_fold_kernel(dn_stream *stream, const dn_fold *fold);

/* compute/cuda/table.c */
extern const struct dn_kernels dn_cuda_kernels;
const struct dn_kernels *dn_cuda_mixed_kernels(void);
extern const size_t dn_cuda_kernels_bytes;

#endif
