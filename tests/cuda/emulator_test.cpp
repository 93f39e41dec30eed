/*
 * What the emulator must not let pass: kernels that are sound, and the same with one fault each, which must
 * end the process with a line that names it; in the three orders of threads.
 */
#include "compute/cuda/portable.h"

#include <functional>
#include <map>
#include <signal.h>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

enum fault {
    SOUND,
    NO_BARRIER,      /* between writing partial sums and reading them */
    EARLY_WRITE,     /* partial sums are overwritten by the second sum before all have read the first */
    DIVERGENT,       /* a barrier that some threads do not reach */
    OTHER_BARRIER,   /* threads at two barriers at once */
    RETURNED,        /* some return before a barrier */
    WARP_DIVERGENT,  /* a shuffle in half a warp */
    NO_WARP_BARRIER, /* lanes exchange by shared memory */
    BEYOND_SHARED,
    BEYOND_DYNAMIC,
    BEYOND_ROW, /* of device memory */
    UNWRITTEN,  /* shared memory that nobody wrote */
    /* of copies and tensor cores */
    NO_WAIT,      /* for copies, but a barrier */
    SHORT_WAIT,   /* the group that is read may still be on its way */
    NO_MEETING,   /* each has waited for its own copies, but not for the others */
    EARLY_COPY,   /* to what others still read */
    COPY_WRITTEN, /* what a copy will fill */
    UNALIGNED,
    COPY_LEFT, /* a thread returns before its copies have arrived */
    HALF_WARP, /* multiplies tiles */
    SWAPPED    /* two registers of a fragment */
};

enum { THREADS = 128, WARPS = THREADS / DN_WARP };

static __device__ double warp_sum(double x)
{
    for (int d = DN_WARP / 2; d > 0; d /= 2)
        x += __shfl_xor_sync(DN_WHOLE_WARP, x, d);
    return x;
}

/* sums[row] = the sum of a row [n] times that of its squares, by warps, then by shared memory. */
template <int FAULT> __global__ void sum_rows(double *sums, const float *x, int n)
{
    DN_SHARED(double, part, WARPS);
    DN_DYNAMIC_SHARED(float, own);
    unsigned t = threadIdx.x, warp = t / DN_WARP, lane = t % DN_WARP;
    const float *row = x + (size_t)blockIdx.x * n;
    if (FAULT == RETURNED && t >= 64)
        return;
    double sum = 0, squares = 0, both = 0;
    for (int i = (int)t; i < n + (FAULT == BEYOND_ROW); i += THREADS)
        sum += row[i];
    own[t] = (float)sum;
    if (FAULT == BEYOND_DYNAMIC && t == 5)
        own[THREADS] = 1;
    if (FAULT != NO_WARP_BARRIER)
        __syncwarp();
    sum = own[warp * DN_WARP + (lane + 1) % DN_WARP];
    for (int i = (int)t; i < n; i += THREADS)
        squares += (double)row[i] * row[i];
    if (FAULT == WARP_DIVERGENT) {
        if (lane < 16)
            sum = warp_sum(sum);
    } else
        sum = warp_sum(sum);
    squares = warp_sum(squares);
    if (lane == 0 && !(FAULT == UNWRITTEN && warp == 2))
        part[warp] = sum;
    if (FAULT == OTHER_BARRIER && t >= 64)
        __syncthreads();
    else if (FAULT != NO_BARRIER)
        __syncthreads();
    for (int w = 0; w < WARPS + (FAULT == BEYOND_SHARED && t == 7); w++)
        both += part[w];
    if (FAULT != EARLY_WRITE)
        __syncthreads();
    if (lane == 0)
        part[warp] = squares;
    __syncthreads();
    double second = 0;
    for (int w = 0; w < WARPS; w++)
        second += part[w];
    if (FAULT == DIVERGENT && t < 40)
        __syncthreads();
    if (t == 0)
        sums[blockIdx.x] = both * second;
}

/* Bytes of whole 256, as CUDA aligns: what is behind the last row has no access. */
enum { ROWS = 3, N = 384 };
static float value(int i)
{
    return (float)(i % 17) / 8 - 1;
}

template <int FAULT> static std::vector<double> run_sums()
{
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    float *x = (float *)standin_guarded(ROWS * N * sizeof *x);
    double *sums = (double *)standin_guarded(ROWS * sizeof *sums);
    for (int i = 0; i < ROWS * N; i++)
        x[i] = value(i);
    DN_LAUNCH(sum_rows<FAULT>, ROWS, THREADS, THREADS * sizeof(float), stream, sums, x, (int)N);
    bool early = !std::isnan(sums[0]); /* nothing runs before somebody waits */
    cudaStreamQuery(stream);
    std::vector<double> got(sums, sums + ROWS);
    if (early)
        got[0] = NAN;
    cudaStreamDestroy(stream);
    standin_release(x);
    standin_release(sums);
    return got;
}

/*
 * c [16,16] = a [16,K] b [16,K]^T of bfloat16, a tile of 16 columns after the other: while one is multiplied,
 * the next is on its way to the other half of shared memory. A warp has 8 columns of c; a thread copies 16
 * bytes of a tile: half a row.
 */
enum { TILES = 3, PAIRS = 8, TILE = 32 * PAIRS, LD = TILES * PAIRS }; /* 32 rows: of a, and of b */

template <int FAULT> __global__ void multiply(float *c, const uint32_t *a, const uint32_t *b)
{
    DN_SHARED(uint32_t, tiles, 2 * TILE);
    unsigned t = threadIdx.x, warp = t / DN_WARP, lane = t % DN_WARP, group = lane / 4, pair = lane % 4;
    const uint32_t *from =
        (warp == 0 ? a : b) + lane / 2 * LD + lane % 2 * 4 + (FAULT == UNALIGNED && t == 9);
    float d[4] = {};
    DN_COPY_ASYNC(tiles + 4 * t, from, true);
    DN_COMMIT_COPIES();
    for (int i = 0; i < TILES; i++) {
        auto own = tiles + i % 2 * TILE, next = tiles + (i + 1) % 2 * TILE;
        if (i + 1 < TILES)
            DN_COPY_ASYNC(next + 4 * t, from + (i + 1) * PAIRS, true);
        else if (FAULT == COPY_LEFT)
            DN_COPY_ASYNC(next + 4 * t, from, false);
        DN_COMMIT_COPIES();
        if (FAULT == COPY_WRITTEN)
            next[4 * t] = 0;
        if (FAULT == SHORT_WAIT)
            DN_WAIT_FOR_COPIES(2);
        else if (FAULT != NO_WAIT)
            DN_WAIT_FOR_COPIES(1);
        if (FAULT != NO_MEETING)
            __syncthreads();
        auto of_a = own + group * PAIRS + pair, of_b = own + (16 + 8 * warp + group) * PAIRS + pair;
        uint32_t left[4] = {of_a[0], of_a[8 * PAIRS], of_a[4], of_a[8 * PAIRS + 4]},
                 right[2] = {of_b[0], of_b[4]};
        if (FAULT == SWAPPED)
            std::swap(left[1], left[2]);
        if (FAULT != HALF_WARP || lane < 16)
            DN_MULTIPLY_TILES(d, left, right);
        if (FAULT != EARLY_COPY)
            __syncthreads();
    }
    for (int i = 0; i < 4; i++)
        c[(group + i / 2 * 8) * 16 + 8 * warp + 2 * pair + i % 2] = d[i];
}

/* Whole numbers up to 8, whose upper half is all of a float; all sums are exact. */
static float factor(int row, int k)
{
    return (float)((row * 5 + k * 3) % 17 - 8);
}

static uint32_t pair_of(int row, int k)
{
    uint32_t bits[2];
    float both[2] = {factor(row, k), factor(row, k + 1)};
    memcpy(bits, both, sizeof bits);
    return bits[0] >> 16 | (bits[1] & 0xffff0000);
}

/* How many numbers of c are wrong. */
template <int FAULT> static int run_product()
{
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    uint32_t *x = (uint32_t *)standin_guarded(32 * LD * sizeof *x);
    float *c = (float *)standin_guarded(256 * sizeof *c);
    for (int i = 0; i < 32 * LD; i++)
        x[i] = pair_of(i / LD, i % LD * 2);
    DN_LAUNCH(multiply<FAULT>, 1, 2 * DN_WARP, 0, stream, c, x, x + 16 * LD);
    cudaStreamQuery(stream);
    int wrong = 0;
    for (int i = 0; i < 256; i++) {
        float sum = 0;
        for (int k = 0; k < 2 * LD; k++)
            sum += factor(i / 16, k) * factor(16 + i % 16, k);
        wrong += c[i] != sum;
    }
    cudaStreamDestroy(stream);
    standin_release(x);
    standin_release(c);
    return wrong;
}

/* Runs it in a child; what it wrote to stderr, and how it ended: a signal, or 256 plus its status. */
static std::string in_child(const std::function<int()> &body, int *end)
{
    int ends[2], status;
    if (pipe(ends) != 0)
        abort();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        close(ends[0]);
        signal(SIGSEGV, SIG_DFL);
        _exit(body());
    }
    close(ends[1]);
    std::string text;
    char some[512];
    for (ssize_t n; (n = read(ends[0], some, sizeof some)) > 0;)
        text.append(some, (size_t)n);
    close(ends[0]);
    if (waitpid(child, &status, 0) != child)
        abort();
    *end = WIFSIGNALED(status) ? WTERMSIG(status) : 256 + WEXITSTATUS(status);
    return text;
}

static int n_tests, n_failed;

static void report(bool passed, const std::string &name, const std::string &why)
{
    printf("%s %d - %s\n", passed ? "ok" : "not ok", ++n_tests, name.c_str());
    if (!passed) {
        n_failed++;
        printf("# %s\n", why.c_str());
    }
}

/* The kernel with this fault ends the process by this signal; its line has these words. */
template <int FAULT>
static void expect_caught(const char *order, const char *name, int signal, const char *words)
{
    int end;
    std::string text = in_child(
        [] { return FAULT >= NO_WAIT ? run_product<FAULT>() : (int)run_sums<FAULT>().size() - ROWS; }, &end);
    bool sanitizer = text.find("AddressSanitizer") != std::string::npos; /* ends the process in its own way */
    bool caught =
        (end == signal && text.find(words) != std::string::npos) || (signal == SIGSEGV && sanitizer);
    report(caught, std::string(name) + ", " + order,
           "ended by " + std::to_string(end) + " with \"" + text + "\", not by " + std::to_string(signal) +
               " with \"" + words + "\"");
}

static void expect_right(const char *order)
{
    std::vector<double> got = run_sums<SOUND>();
    bool right = true;
    std::string why;
    for (int row = 0; row < ROWS; row++) {
        double sum = 0, squares = 0; /* all are multiples of 2^-6: exact in any order */
        for (int i = row * N; i < (row + 1) * N; i++) {
            sum += value(i);
            squares += value(i) * value(i);
        }
        right = right && got[row] == sum * squares;
        why += std::to_string(got[row]) + " for " + std::to_string(sum * squares) + "; ";
    }
    report(right, std::string("a sound kernel is right, ") + order, why);
}

/* An unwritten element is not-a-number, and so is the result. */
static void expect_poison(const char *order)
{
    double got = run_sums<UNWRITTEN>()[1];
    report(std::isnan(got), std::string("shared memory that nobody wrote shows, ") + order,
           std::to_string(got) + " is a number");
}

static void expect_product(const char *order)
{
    int wrong = run_product<SOUND>(), swapped = run_product<SWAPPED>();
    report(wrong == 0, std::string("a product by tensor cores is right, ") + order,
           std::to_string(wrong) + " of 256 are not");
    report(swapped > 0, std::string("exchanged registers of a fragment show, ") + order,
           "all numbers are right");
}

/* Each thread takes the next place: a race in device memory, which nothing but the order shows. */
__global__ void take_places(unsigned *places, unsigned *n)
{
    places[(*n)++] = threadIdx.x;
}

static void expect_threads_in_order(const std::string &order)
{
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    unsigned *places = (unsigned *)standin_guarded((THREADS + 1) * sizeof *places), n_rising = 0, n_falling = 0;
    unsigned n_seen[THREADS] = {}, n_once = 0;
    places[THREADS] = 0;
    DN_LAUNCH(take_places, 1, THREADS, 0, stream, places, places + THREADS);
    cudaStreamQuery(stream);
    for (unsigned t = 0; t < THREADS; t++) {
        n_rising += places[t] == t;
        n_falling += places[t] == THREADS - 1 - t;
        n_once += ++n_seen[places[t] % THREADS] == 1;
    }
    bool rising = n_rising == THREADS, falling = n_falling == THREADS;
    report(n_once == THREADS && rising == (order == "rising") && falling == (order == "falling"), "threads run " + order,
           std::to_string(n_rising) + " are where they would be rising, " + std::to_string(n_falling) + " falling");
    cudaStreamDestroy(stream);
    standin_release(places);
}

__global__ void append(unsigned *all, unsigned digit)
{
    if (threadIdx.x == 0)
        *all = 10 * *all + digit;
}

/* What two streams did, of two kernels each: digits 1 and 2 of the one, 3 and 4 of the other, which may have to wait for 1. */
static unsigned order_of_streams(bool with_event)
{
    cudaStream_t one, other;
    cudaEvent_t event;
    cudaStreamCreateWithFlags(&one, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking);
    cudaEventCreateWithFlags(&event, cudaEventDisableTiming);
    unsigned *all = (unsigned *)standin_guarded(sizeof *all);
    *all = 0;
    DN_LAUNCH(append, 1, DN_WARP, 0, one, all, 1u);
    cudaEventRecord(event, one);
    DN_LAUNCH(append, 1, DN_WARP, 0, one, all, 2u);
    if (with_event)
        cudaStreamWaitEvent(other, event, 0);
    DN_LAUNCH(append, 1, DN_WARP, 0, other, all, 3u);
    DN_LAUNCH(append, 1, DN_WARP, 0, other, all, 4u);
    cudaStreamQuery(one);
    cudaStreamQuery(other);
    unsigned found = *all;
    cudaEventDestroy(event);
    cudaStreamDestroy(one);
    cudaStreamDestroy(other);
    standin_release(all);
    return found;
}

static void expect_streams_in_order(const std::string &order)
{
    enum { TRIES = 32 };
    std::map<unsigned, int> free_ones, ordered; /* how often each was seen */
    for (int i = 0; i < TRIES; i++) {
        free_ones[order_of_streams(false)]++;
        unsigned found = order_of_streams(true);
        ordered[found / 1000 == 1 ? found : 0]++; /* 1 is before 3 */
    }
    bool right = order == "rising"    ? free_ones[1234] == TRIES && ordered[1234] == TRIES
                 : order == "falling" ? free_ones[3412] == TRIES && ordered[1342] == TRIES
                                      : free_ones[1324] && free_ones[3142] && ordered[1324] && ordered[1342] && !ordered[0];
    report(right, "streams overtake each other where no event forbids it, " + order,
           "the first way is " + std::to_string(free_ones.begin()->first) + ", and with an event " + std::to_string(ordered.begin()->first));
}

static void expect_launches_checked()
{
    cudaStream_t stream;
    cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    double *sums = NULL;
    float *x = NULL;
    DN_LAUNCH(sum_rows<SOUND>, 0, THREADS, 0, stream, sums, x, 1);
    cudaError_t empty = cudaGetLastError();
    DN_LAUNCH(sum_rows<SOUND>, dim3(1, 70000), THREADS, 0, stream, sums, x, 1);
    cudaError_t high = cudaGetLastError();
    DN_LAUNCH(sum_rows<SOUND>, 1, 2048, 0, stream, sums, x, 1);
    cudaError_t wide = cudaGetLastError();
    cudaStreamDestroy(stream);
    report(empty == cudaErrorInvalidConfiguration && high == empty && wide == empty &&
               cudaGetLastError() == cudaSuccess,
           "launches that CUDA refuses are errors",
           std::to_string(empty) + ", " + std::to_string(high) + ", " + std::to_string(wide));
}

int main()
{
    for (const char *order : {"rising", "falling", "shuffled"}) {
        setenv("DIONODE_CUDA_ORDER", order, 1);
        expect_threads_in_order(order);
        expect_streams_in_order(order);
        expect_right(order);
        expect_poison(order);
        expect_caught<NO_BARRIER>(order, "a removed barrier", SIGABRT, "there is no barrier between");
        expect_caught<EARLY_WRITE>(order, "an early overwrite", SIGABRT, "there is no barrier between");
        expect_caught<DIVERGENT>(order, "a divergent barrier", SIGABRT, "where not all of its block arrive");
        expect_caught<OTHER_BARRIER>(order, "two barriers at once", SIGABRT, "and others at that of");
        expect_caught<RETURNED>(order, "threads that return before a barrier", SIGABRT,
                                "64 threads of 128 have returned");
        expect_caught<WARP_DIVERGENT>(order, "a shuffle of half a warp", SIGABRT,
                                      "where not all of its warp arrive");
        expect_caught<NO_WARP_BARRIER>(order, "a warp's barrier removed", SIGABRT,
                                       "there is no barrier between");
        expect_caught<BEYOND_SHARED>(order, "beyond an array of shared memory", SIGABRT,
                                     "part[4] is accessed");
        expect_caught<BEYOND_DYNAMIC>(order, "beyond dynamic shared memory", SIGABRT, "own[128] is accessed");
        expect_caught<BEYOND_ROW>(order, "a read past the end of device memory", SIGSEGV, "");
        expect_product(order);
        expect_caught<NO_WAIT>(order, "a copy that nobody waits for", SIGABRT, "has not been waited for");
        expect_caught<SHORT_WAIT>(order, "waiting for too few copies", SIGABRT, "has not been waited for");
        expect_caught<NO_MEETING>(order, "copies of others without a barrier", SIGABRT, "there is no barrier between");
        expect_caught<EARLY_COPY>(order, "an early copy", SIGABRT, "there is no barrier between");
        expect_caught<COPY_WRITTEN>(order, "writing what a copy fills", SIGABRT, "has not been waited for");
        expect_caught<UNALIGNED>(order, "an unaligned copy", SIGABRT, "is not aligned to 16 bytes");
        expect_caught<COPY_LEFT>(order, "a copy that is left behind", SIGABRT, "has not waited for its copy");
        expect_caught<HALF_WARP>(order, "a product by half a warp", SIGABRT,
                                 "where not all of its warp arrive");
    }
    expect_launches_checked();
    printf("1..%d\n", n_tests);
    return n_failed != 0;
}
