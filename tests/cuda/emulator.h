/*
 * Runs CUDA kernels on a CPU, to find faults with: blocks one after another, the threads of a block as
 * fibers, in one of three orders (DIONODE_CUDA_ORDER: rising, falling, shuffled). What CUDA leaves undefined
 * ends the process, with a line that says where:
 *
 * - threads of a block wait at different barriers, or wait for some that have returned; lanes of a warp
 * likewise
 * - two threads access the same shared memory, one of them writes, and no barrier is between
 * - shared memory is accessed beyond its end
 * - shared memory is accessed that a copy fills (DN_COPY_ASYNC) for which its thread has not waited, or a thread returns before it has
 *
 * Shared memory is not-a-number at the start of each block. Each thread of the host may launch: it has fibers
 * of its own.
 *
 * A kernel is queued on a stream of the stand-in (standin/) by DN_LAUNCH. How kernels are written:
 * compute/cuda/portable.h.
 */
#ifndef CUDA_EMULATOR_H
#define CUDA_EMULATOR_H

#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tuple>

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)

namespace emulator
{
enum { WARP = 32, MAX_THREADS = 1024, MAX_WARPS = MAX_THREADS / WARP };

struct place {
    const char *file;
    int line;
};

/* What is the same for all threads of a block, or asked for by many. */
struct block {
    const char *kernel;
    dim3 grid, size;
    uint3 index;
    unsigned n;
    uint64_t number; /* of this block among all that were run: shared memory is of one block */
    unsigned current;
    uint3 thread;                          /* index of the current thread */
    uint64_t epoch, warp_epoch[MAX_WARPS]; /* barriers passed; never go back */
    place last_barrier;
    char *dynamic;
    struct shadow *dynamic_shadow;
    size_t dynamic_bytes;
};
extern block here;

/** Ends the process with a line: what is wrong in the kernel that runs. */
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Returns when all threads of the block, or lanes of the warp, are at this place. */
void block_barrier(place at);
void warp_barrier(place at);
/** Memory for what each lane of the warp gives, for one exchange. */
struct slot {
    uint64_t words[3];
};
slot *exchange_slots();

/** Runs a grid; body is called once a thread. */
void run_grid(const char *kernel, dim3 grid, dim3 size, size_t dynamic_bytes, void (*body)(void *),
              void *closure);

/* ---- shared memory ---- */

/* Who touched 4 bytes of it last, and when. Several readers are kept as one: of a warp, or of the block. */
struct access {
    uint64_t epoch, warp_epoch; /* epoch 0: nobody */
    uint16_t thread, warp;      /* SEVERAL */
};
enum { SEVERAL = 0xffff };
struct shadow {
    access written, read;
    unsigned filled_by; /* a copy of this thread, plus 1, is on its way */
};

void note_read_word(const char *name, size_t element, shadow *of);
void note_write_word(const char *name, size_t element, shadow *of);

/* Most accesses are reads of what nobody writes before the next barrier, by a thread that others have joined. */
inline void note_read(const char *name, size_t element, shadow *of, size_t words)
{
    for (size_t i = 0; i < words; i++)
        if (of[i].written.epoch == here.epoch || of[i].read.epoch != here.epoch || of[i].read.warp != SEVERAL || of[i].filled_by)
            note_read_word(name, element, &of[i]);
}

inline void note_write(const char *name, size_t element, shadow *of, size_t words)
{
    for (size_t i = 0; i < words; i++)
        note_write_word(name, element, &of[i]);
}

/* An element, where it is read or written. */
template <class T> struct element {
    T *at;
    shadow *of;
    const char *name;
    size_t index;

    operator T() const
    {
        note_read(name, index, of, sizeof(T) / 4);
        return *at;
    }
    T operator=(T x) const
    {
        note_write(name, index, of, sizeof(T) / 4);
        return *at = x;
    }
    T operator=(const element &other) const
    {
        return *this = (T)other;
    }
    T operator+=(T x) const
    {
        return *this = (T)(*this) + x;
    }
    T operator-=(T x) const
    {
        return *this = (T)(*this) - x;
    }
    T operator*=(T x) const
    {
        return *this = (T)(*this) * x;
    }
};

/* Elements of shared memory, as a pointer has them. */
template <class T> struct view {
    T *start; /* of all, from which `first` counts */
    shadow *of;
    const char *name;
    size_t n, first;

    element<T> operator[](size_t i) const
    {
        size_t at = first + i;
        if (at >= n)
            fault("%s[%zu] is accessed, and has %zu elements", name, at, n);
        return {start + at, of + at * (sizeof(T) / 4), name, at};
    }
    view operator+(size_t elements) const
    {
        return {start, of, name, n, first + elements};
    }
    element<T> operator*() const
    {
        return (*this)[0];
    }
};

/* An array that is declared; poisoned at a block's first access. */
template <class T, size_t N> struct array {
    static_assert(sizeof(T) % 4 == 0, "accesses are noted by 4 bytes");
    alignas(16) T elements[N];
    shadow of[N * (sizeof(T) / 4)];
    uint64_t number;
    const char *name;

    view<T> all()
    {
        if (number != here.number)
            memset((void *)elements, 0xff, sizeof elements);
        number = here.number;
        return {elements, of, name, N, 0};
    }
    element<T> operator[](size_t i)
    {
        return all()[i];
    }
    view<T> operator+(size_t n)
    {
        return all() + n;
    }
    operator view<T>()
    {
        return all();
    }
};

template <class T> view<T> dynamic(const char *name)
{
    static_assert(sizeof(T) % 4 == 0, "accesses are noted by 4 bytes");
    return {(T *)(void *)here.dynamic, here.dynamic_shadow, name, here.dynamic_bytes / sizeof(T), 0};
}

/* ---- copies from device memory that a thread does not wait for at once ---- */

/** 16 bytes; from NULL: zeros. They are not-a-number until the thread has waited, and are its writes then. */
void begin_copy(const char *name, size_t element, void *to, shadow *of, const void *from, place at);
void commit_copies();
/** For all groups of this thread but the last n. */
void wait_for_copies(unsigned n);

template <class T> void copy_async(view<T> to, const T *from, bool there, place at)
{
    static_assert(sizeof(T) == 4, "a copy is of four elements");
    size_t element = to.first;
    (void)to[3]; /* beyond the end? */
    begin_copy(to.name, element, &to.start[element], to.of + element, there ? from : NULL, at);
}

/* ---- warps ---- */

template <class T> T exchange(T x, unsigned from, unsigned mask, place at)
{
    static_assert(sizeof(T) <= sizeof(uint64_t), "a shuffle moves at most 8 bytes");
    if (mask != 0xffffffffu)
        fault("%s:%d: a shuffle of some lanes", at.file, at.line);
    slot *slots = exchange_slots();
    memcpy(&slots[here.current % WARP], &x, sizeof x);
    warp_barrier(at);
    T y;
    memcpy(&y, &slots[from % WARP], sizeof y);
    return y;
}

/* A bit of each lane. */
inline unsigned ballot(bool flag, unsigned mask, place at)
{
    unsigned bits = 0;
    if (mask != 0xffffffffu)
        fault("%s:%d: a ballot of some lanes", at.file, at.line);
    slot *slots = exchange_slots();
    slots[here.current % WARP].words[0] = flag;
    warp_barrier(at);
    for (unsigned lane = 0; lane < WARP; lane++)
        bits |= (unsigned)slots[lane].words[0] << lane;
    return bits;
}

/** What DN_MULTIPLY_TILES does. */
void multiply_tiles(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], place at);

/* ---- launching ---- */

/* A kernel with its arguments, which have their values when it is queued. */
template <class F, class... A> struct launch_of {
    const char *kernel;
    dim3 grid, size;
    size_t bytes;
    F f;
    std::tuple<A...> arguments;

    static void call(void *own)
    {
        launch_of *x = (launch_of *)own;
        std::apply(x->f, x->arguments);
    }
    static void run(void *own)
    {
        const launch_of *x = (launch_of *)own;
        run_grid(x->kernel, x->grid, x->size, x->bytes, call, own);
    }
    static void free(void *own)
    {
        delete (launch_of *)own;
    }
};

template <class F, class... A>
void launch(const char *kernel, dim3 grid, dim3 size, size_t bytes, cudaStream_t stream, F f, A... arguments)
{
    typedef launch_of<F, A...> queued;
    standin_launch(stream, kernel, grid, size, bytes, queued::run, queued::free,
                   new queued{kernel, grid, size, bytes, f, std::tuple<A...>(arguments...)});
}
} // namespace emulator

#define threadIdx emulator::here.thread
#define blockIdx  emulator::here.index
#define blockDim  emulator::here.size
#define gridDim   emulator::here.grid

#define EMULATOR_HERE              (emulator::place{__FILE__, __LINE__})
#define __syncthreads()            emulator::block_barrier(EMULATOR_HERE)
#define __syncwarp(...)            emulator::warp_barrier(EMULATOR_HERE)
#define __shfl_sync(mask, x, lane) emulator::exchange(x, lane, mask, EMULATOR_HERE)
#define __shfl_xor_sync(mask, x, lane)                                                                       \
    emulator::exchange(x, (emulator::here.current % emulator::WARP) ^ (lane), mask, EMULATOR_HERE)

#define __ballot_sync(mask, flag) emulator::ballot(flag, mask, EMULATOR_HERE)
#define __popc(bits)              __builtin_popcount(bits)
#define cospi(x)                  cos(3.14159265358979323846 * (x))
#define sincospi(x, s, c)                                                                                    \
    (void)(*(s) = sin(3.14159265358979323846 * (x)), *(c) = cos(3.14159265358979323846 * (x)))

#define DN_LAUNCH(kernel, grid, block, bytes, stream, ...)                                                   \
    emulator::launch(#kernel, grid, block, bytes, stream, [=](auto... given_) { kernel(given_...); }, __VA_ARGS__)
#define DN_MULTIPLY_TILES(d, a, b)      emulator::multiply_tiles(d, a, b, EMULATOR_HERE)
#define DN_COPY_ASYNC(to, from, there)  emulator::copy_async(to, from, there, EMULATOR_HERE)
#define DN_COMMIT_COPIES()              emulator::commit_copies()
#define DN_WAIT_FOR_COPIES(n)           emulator::wait_for_copies(n)
#define DN_SHARED(T, id, n)                                                                                  \
    static emulator::array<T, n> id;                                                            \
    id.name = #id
#define DN_ALLOW_SHARED(kernel, bytes) ((void)(bytes))
#define DN_DYNAMIC_SHARED(T, id)       const emulator::view<T> id = emulator::dynamic<T>(#id)

#endif
