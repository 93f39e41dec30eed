/*
 * Limits under which no line of ours would be reached, or the kernel would kill without a word; checked first,
 * before the constructors of the program's libraries run, in .preinit_array, which only an executable can have.
 *
 * Address space and data (ulimit -v, ulimit -d, or a system without overcommit): OpenBLAS's constructor
 * allocates a buffer and, if that is refused, retries for ever. The stack (ulimit -s): what overruns it is a
 * segmentation fault; threads have stacks as large as the limit, too.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The buffer, and what other constructors allocate: with 256 MiB some limits still hang. */
#define NEEDED ((size_t)320 << 20)

/* A small training run passes with 100 KiB, and faults with 80. */
#define STACK_NEEDED ((size_t)256 << 10)

#define PLAIN static __attribute__((no_sanitize("address", "undefined"))) void

PLAIN refuse(const char *message, size_t bytes)
{
    ssize_t ignored = write(STDERR_FILENO, message, bytes);
    (void)ignored;
    _exit(6);
}

PLAIN check_limits(int argc, char **argv, char **envp)
{
    static const char memory[] =
        "dionode: the limits on address space and data (ulimit -v, -d) are too small for OpenBLAS's buffers: "
        "allow 1 GB or more (or unlimited), or limit memory by a cgroup instead\n";
    static const char stack[] = "dionode: the limit on the stack (ulimit -s) is too small: allow 256 kB or more\n";
    /* Writable and private, so that it counts as data. No page is touched. */
    void *buffer = mmap(NULL, NEEDED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED)
        refuse(memory, sizeof memory - 1);
    munmap(buffer, NEEDED);
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) == 0 && limit.rlim_cur < STACK_NEEDED)
        refuse(stack, sizeof stack - 1);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char **, char **) = check_limits;
