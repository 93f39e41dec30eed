/*
 * OpenBLAS's constructor allocates a buffer and, if a limit (ulimit -v, ulimit -d, or a system without
 * overcommit) refuses it, retries for ever: no command would reach main(). So the program checks first,
 * before the constructors of its libraries run, in .preinit_array, which only an executable can have.
 */
#include <sys/mman.h>
#include <unistd.h>

/* The buffer, and what other constructors allocate: with 256 MiB some limits still hang. */
#define NEEDED ((size_t)320 << 20)

static __attribute__((no_sanitize("address", "undefined"))) void check_address_space(int argc, char **argv,
                                                                                     char **envp)
{
    static const char message[] =
        "dionode: the limits on address space and data (ulimit -v, -d) are too small for OpenBLAS's buffers: "
        "allow 1 GB or more (or unlimited), or limit memory by a cgroup instead\n";
    /* Writable and private, so that it counts as data. No page is touched. */
    void *buffer = mmap(NULL, NEEDED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (buffer == MAP_FAILED) {
        ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
        (void)ignored;
        _exit(6);
    }
    munmap(buffer, NEEDED);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char **, char **) = check_address_space;
