/* The emulator: fibers, barriers, and who touched shared memory. */
#include "emulator.h"

#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <vector>
#if defined __x86_64__ && !defined EMULATOR_UCONTEXT
#define OWN_SWITCH 1
#else
#define OWN_SWITCH 0
#include <ucontext.h>
#endif

namespace emulator
{
block here;

void fault(const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "emulator: %s, block (%u,%u,%u), thread %u: %s\n", here.kernel, here.index.x,
            here.index.y, here.index.z, here.current, text);
    abort();
}

/* ---- fibers ---- */

enum { STACK_BYTES = 128 << 10 };

/* A switch of our own where it is short: that of ucontext asks the kernel for the signal mask, twice, and a
 * test of one kernel has a million of them. */
#if OWN_SWITCH
struct context {
    void *stack;
};

extern "C" void emulator_switch(void **from, void *to);
__asm__(".text\n"
        ".globl emulator_switch\n"
        ".hidden emulator_switch\n"
        ".type emulator_switch,@function\n"
        "emulator_switch:\n"
        "    pushq %rbp\n"
        "    pushq %rbx\n"
        "    pushq %r12\n"
        "    pushq %r13\n"
        "    pushq %r14\n"
        "    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n"
        "    popq %r14\n"
        "    popq %r13\n"
        "    popq %r12\n"
        "    popq %rbx\n"
        "    popq %rbp\n"
        "    ret\n"
        ".size emulator_switch,.-emulator_switch\n"
        ".section .note.GNU-stack,\"\",@progbits\n"
        ".text\n");

static void switch_to(context *from, context *to)
{
    emulator_switch(&from->stack, to->stack);
}

/* Six registers and where to go on; at a call the stack is 8 beyond a multiple of 16. */
static void prepare(context *c, char *stack, void (*start)())
{
    void **top = (void **)(void *)(stack + STACK_BYTES) - 2;
    *top = (void *)start;
    c->stack = top - 6;
    memset(c->stack, 0, 6 * sizeof *top);
}
#else
struct context {
    ucontext_t machine;
};

static void switch_to(context *from, context *to)
{
    swapcontext(&from->machine, &to->machine);
}

static void prepare(context *c, char *stack, void (*start)())
{
    getcontext(&c->machine);
    c->machine.uc_stack.ss_sp = stack;
    c->machine.uc_stack.ss_size = STACK_BYTES;
    makecontext(&c->machine, start, 0);
}
#endif

/* A fiber runs one thread of a block after another; between them, and while it waits, the scheduler runs. */
struct fiber {
    context own;
    bool begun;
};

enum state { NEW, READY, AT_BLOCK, AT_WARP, RETURNED };

struct thread {
    fiber *on; /* NULL: not begun, or returned */
    state is;
    uint64_t epoch; /* waits until the block's, or the warp's, is another one */
};

/* Of 16 bytes, on its way to shared memory. */
enum { COPIED = 16 };
struct copy {
    uint64_t group;
    const char *name;
    size_t element;
    void *to;
    shadow *of;
    const void *from;
};

struct machine {
    context scheduler;
    fiber fibers[MAX_THREADS], *unused[MAX_THREADS];
    unsigned n_unused;
    char *stacks;
    thread threads[MAX_THREADS];
    void (*body)(void *);
    void *closure;
    unsigned n_at_block, n_at_warp[MAX_WARPS];
    place block_place, warp_place[MAX_WARPS];
    slot slots[2][MAX_THREADS];
    std::vector<copy> copies[MAX_THREADS];
    uint64_t committed[MAX_THREADS]; /* groups of copies */
    enum { RISING, FALLING, SHUFFLED } order;
    uint64_t random;

    machine()
    {
        random = 1;
        stacks = (char *)mmap(NULL, (size_t)MAX_THREADS * STACK_BYTES, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (stacks == MAP_FAILED)
            abort();
        for (n_unused = 0; n_unused < MAX_THREADS; n_unused++)
            unused[n_unused] = &fibers[n_unused];
    }
    ~machine()
    {
        munmap(stacks, (size_t)MAX_THREADS * STACK_BYTES);
    }
};
static machine *m;

static void enter(unsigned t)
{
    here.current = t;
    here.thread = {t % here.size.x, t / here.size.x % here.size.y, t / here.size.x / here.size.y};
}

static void to_scheduler(fiber *f)
{
    switch_to(&f->own, &m->scheduler);
}

static void fiber_main()
{
    for (;;) {
        m->body(m->closure);
        if (!m->copies[here.current].empty())
            fault("returns, and has not waited for its copy to %s[%zu]", m->copies[here.current][0].name,
                  m->copies[here.current][0].element);
        fiber *own = m->threads[here.current].on;
        m->threads[here.current].is = RETURNED;
        to_scheduler(own);
    }
}

static void resume(unsigned t)
{
    thread *x = &m->threads[t];
    if (!x->on) {
        x->on = m->unused[--m->n_unused];
        if (!x->on->begun)
            prepare(&x->on->own, m->stacks + (x->on - m->fibers) * (size_t)STACK_BYTES, fiber_main);
        x->on->begun = true;
    }
    x->is = READY;
    enter(t);
    switch_to(&m->scheduler, &x->on->own);
    if (x->is == RETURNED) {
        m->unused[m->n_unused++] = x->on;
        x->on = NULL;
    }
}

/* ---- barriers ---- */

static void wait(state at, uint64_t epoch)
{
    thread *x = &m->threads[here.current];
    x->is = at;
    x->epoch = epoch;
    to_scheduler(x->on);
}

static bool same(place a, place b)
{
    return a.line == b.line && strcmp(a.file, b.file) == 0;
}

void block_barrier(place at)
{
    if (m->n_at_block > 0 && !same(at, m->block_place))
        fault("waits at the barrier of %s:%d, and others at that of %s:%d", at.file, at.line,
              m->block_place.file, m->block_place.line);
    m->block_place = at;
    if (++m->n_at_block < here.n) {
        wait(AT_BLOCK, here.epoch);
        return;
    }
    m->n_at_block = 0;
    here.epoch++;
    here.last_barrier = at;
}

void warp_barrier(place at)
{
    unsigned w = here.current / WARP;
    if (m->n_at_warp[w] > 0 && !same(at, m->warp_place[w]))
        fault("waits with its warp at %s:%d, and other lanes at %s:%d", at.file, at.line,
              m->warp_place[w].file, m->warp_place[w].line);
    m->warp_place[w] = at;
    if (++m->n_at_warp[w] < WARP) {
        wait(AT_WARP, here.warp_epoch[w]);
        return;
    }
    m->n_at_warp[w] = 0;
    here.warp_epoch[w]++;
}

/* Two exchanges by turns: when a lane writes for the second one, all have read the last but one. */
slot *exchange_slots()
{
    unsigned w = here.current / WARP;
    return &m->slots[here.warp_epoch[w] % 2][w * WARP];
}

/* ---- a block ---- */

static bool can_run(unsigned t)
{
    const thread *x = &m->threads[t];
    return x->is == NEW || (x->is == AT_BLOCK && x->epoch != here.epoch) ||
           (x->is == AT_WARP && x->epoch != here.warp_epoch[t / WARP]);
}

/* Nothing can go on: names one that waits, and what for. */
[[noreturn]] static void stuck()
{
    unsigned returned = 0, waiting = 0;
    state found = RETURNED;
    for (unsigned t = 0; t < here.n; t++) {
        state is = m->threads[t].is;
        returned += is == RETURNED;
        if (is != RETURNED && found != AT_WARP) { /* what a warp waits for, its block waits for, too */
            waiting = t;
            found = is;
        }
    }
    bool by_block = found == AT_BLOCK;
    place at = by_block ? m->block_place : m->warp_place[waiting / WARP];
    enter(waiting);
    fault("waits at %s:%d, where not all of its %s arrive; %u threads of %u have returned", at.file, at.line,
          by_block ? "block" : "warp", returned, here.n);
}

static void run_block()
{
    unsigned turn[MAX_THREADS];
    here.number++;
    here.epoch++;
    m->n_at_block = 0;
    for (unsigned t = 0; t < here.n; t++) {
        m->threads[t] = {NULL, NEW, 0};
        m->committed[t] = 0;
        turn[t] = m->order == machine::FALLING ? here.n - 1 - t : t;
    }
    for (unsigned w = 0; w < here.n / WARP; w++) {
        m->n_at_warp[w] = 0;
        here.warp_epoch[w]++;
    }
    for (unsigned left = here.n; left > 0;) {
        bool some = false;
        for (unsigned i = here.n; m->order == machine::SHUFFLED && i > 1; i--) {
            m->random = m->random * 6364136223846793005u + 1442695040888963407u;
            unsigned j = (unsigned)(m->random >> 33) % i, own = turn[i - 1];
            turn[i - 1] = turn[j];
            turn[j] = own;
        }
        for (unsigned i = 0; i < here.n; i++) {
            unsigned t = turn[i];
            if (!can_run(t))
                continue;
            some = true;
            resume(t);
            left -= m->threads[t].is == RETURNED;
        }
        if (!some)
            stuck();
    }
}

void run_grid(const char *kernel, dim3 grid, dim3 size, size_t dynamic_bytes, void (*body)(void *),
              void *closure)
{
    const char *order = getenv("DIONODE_CUDA_ORDER");
    static machine own;
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&lock);
    m = &own;
    m->order = !order || strcmp(order, "rising") == 0 ? machine::RISING
               : strcmp(order, "falling") == 0        ? machine::FALLING
                                                      : machine::SHUFFLED;
    m->body = body;
    m->closure = closure;
    here.kernel = kernel;
    here.grid = grid;
    here.size = size;
    here.n = size.x * size.y * size.z;
    here.last_barrier = {kernel, 0};
    here.current = 0;
    if (here.n % WARP != 0 || here.n > MAX_THREADS)
        fault("a block has whole warps, at most %d threads, and not %u", MAX_THREADS, here.n);
    size_t words = dynamic_bytes / 4;
    here.dynamic_bytes = dynamic_bytes;
    here.dynamic = (char *)aligned_alloc(128, (dynamic_bytes + 128) / 128 * 128);
    here.dynamic_shadow = (shadow *)calloc(words + 1, sizeof(shadow));
    if (!here.dynamic || !here.dynamic_shadow)
        abort();
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                here.index = {x, y, z};
                memset(here.dynamic, 0xff, dynamic_bytes);
                run_block();
            }
    free(here.dynamic);
    free(here.dynamic_shadow);
    pthread_mutex_unlock(&lock);
}

/* ---- who touched shared memory ---- */

/* Whether the current thread and that access are not ordered by a barrier. */
static bool unordered(const access &a)
{
    unsigned w = here.current / WARP;
    if (a.epoch != here.epoch || a.thread == here.current)
        return false;
    return a.warp != w || a.warp_epoch == here.warp_epoch[w];
}

static access now()
{
    unsigned w = here.current / WARP;
    return {here.epoch, here.warp_epoch[w], (uint16_t)here.current, (uint16_t)w};
}

[[noreturn]] static void race(const char *name, size_t element, const char *what, const access &other,
                              const char *before)
{
    char who[48] = "others";
    if (other.thread != SEVERAL)
        snprintf(who, sizeof who, "thread %u", other.thread);
    fault("%s %s[%zu], which %s %s, and there is no barrier between since %s:%d", what, name, element, who,
          before, here.last_barrier.file, here.last_barrier.line);
}

static void expect_filled(const char *name, size_t element, const char *what, const shadow *of)
{
    if (of->filled_by)
        fault("%s %s[%zu], which a copy of thread %u fills that has not been waited for", what, name, element,
              of->filled_by - 1);
}

void note_read_word(const char *name, size_t element, shadow *of)
{
    expect_filled(name, element, "reads", of);
    if (unordered(of->written))
        race(name, element, "reads", of->written, "wrote");
    access own = now(), *last = &of->read;
    if (last->epoch == own.epoch) {
        if (last->warp != own.warp)
            own.warp = own.thread = SEVERAL;
        else if (last->warp_epoch == own.warp_epoch && last->thread != own.thread)
            own.thread = SEVERAL;
    }
    *last = own;
}

void note_write_word(const char *name, size_t element, shadow *of)
{
    expect_filled(name, element, "writes", of);
    if (unordered(of->written))
        race(name, element, "writes", of->written, "wrote");
    if (unordered(of->read))
        race(name, element, "writes", of->read, "read");
    of->written = now();
}

/* ---- copies on their way ---- */

void begin_copy(const char *name, size_t element, void *to, shadow *of, const void *from, place at)
{
    if ((uintptr_t)from % COPIED || (uintptr_t)to % COPIED)
        fault("%s:%d: a copy to %s[%zu] that is not aligned to %d bytes", at.file, at.line, name, element,
              COPIED);
    for (size_t w = 0; w < COPIED / 4; w++) {
        note_write_word(name, element + w, &of[w]);
        of[w].filled_by = here.current + 1;
    }
    memset(to, 0xff, COPIED);
    m->copies[here.current].push_back({m->committed[here.current], name, element, to, of, from});
}

void commit_copies()
{
    m->committed[here.current]++;
}

void wait_for_copies(unsigned n)
{
    std::vector<copy> &own = m->copies[here.current];
    size_t done = 0;
    for (; done < own.size() && own[done].group + n < m->committed[here.current]; done++) {
        const copy &c = own[done];
        for (size_t w = 0; w < COPIED / 4; w++) {
            c.of[w].filled_by = 0;
            note_write_word(c.name, c.element + w, &c.of[w]);
        }
        if (c.from)
            memcpy(c.to, c.from, COPIED);
        else
            memset(c.to, 0, COPIED);
    }
    own.erase(own.begin(), own.begin() + (ptrdiff_t)done);
}

/* ---- tensor cores ---- */

static float half_of(uint32_t pair, unsigned high)
{
    uint32_t bits = high ? pair & 0xffff0000 : pair << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Where fragments lie, PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type". Products are
 * exact, and sums are rounded towards 0 (Fasi, Higham, Mikaitis and Pranesh, PeerJ Computer Science 7:e330,
 * 2021); in which order is not said: here in double, once for 16 products. */
void multiply_tiles(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], place at)
{
    slot *slots = exchange_slots();
    unsigned lane = here.current % WARP;
    memcpy(slots[lane].words, a, sizeof a);
    memcpy(slots[lane].words + 2, b, sizeof b);
    warp_barrier(at);
    for (unsigned i = 0; i < 4; i++) {
        unsigned row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
        double sum = (double)d[i];
        for (unsigned k = 0; k < 16; k++) {
            uint32_t of_a[4], of_b[2];
            memcpy(of_a, slots[row % 8 * 4 + k % 8 / 2].words, sizeof of_a);
            memcpy(of_b, slots[column * 4 + k % 8 / 2].words + 2, sizeof of_b);
            sum += (double)half_of(of_a[row / 8 + k / 8 * 2], k % 2) * (double)half_of(of_b[k / 8], k % 2);
        }
        d[i] = (float)sum;
        if (fabs((double)d[i]) > fabs(sum))
            d[i] = nextafterf(d[i], 0);
    }
}
} // namespace emulator

/* What CUDA asks of a launch: sizes that the chip has. */
void standin_launch(cudaStream_t stream, const char *kernel, dim3 grid, dim3 block, size_t bytes,
                    void (*run)(void *), void (*free_own)(void *), void *own)
{
    const unsigned most =
        65535; /* of grid.y and grid.z; of dynamic shared memory what every chip from sm_80 on has */
    size_t threads = (size_t)block.x * block.y * block.z, largest = 163 << 10;
    bool sound = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffff && grid.y <= most &&
                 grid.z <= most && threads > 0 && threads <= emulator::MAX_THREADS && block.z <= 64 &&
                 bytes <= largest;
    if (sound && standin_launch_goes_wrong(stream)) {
        free_own(own);
        return;
    }
    if (sound && !standin_fails("launch")) {
        standin_queue(stream, run, free_own, own);
        return;
    }
    (void)standin_failed(sound ? cudaErrorIllegalAddress : cudaErrorInvalidConfiguration);
    free_own(own);
}
