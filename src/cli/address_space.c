/*
 * OpenBLAS's constructor asks for a buffer and, where a limit (ulimit -v, ulimit -d, or a system that promises no
 * more memory than it has) refuses it, asks again for ever: no command would come as far as main(). So the program
 * asks first, before the constructors of its libraries run, which is what .preinit_array is for; only an executable
 * may have one.
 */
#include <sys/mman.h>
#include <unistd.h>

/* The buffer, and what constructors take beside it: with 256 MiB some limits still hang. */
#define NEEDED ((size_t)320 << 20)

static __attribute__((no_sanitize("address", "undefined"))) void check_address_space(int argc, char **argv,
                                                                                     char **envp)
{
    static const char message[] =
        "dionode: the limits on address space and data (ulimit -v, -d) leave no room for OpenBLAS's buffers: "
        "allow 1 GB or more (or unlimited), or limit memory by a cgroup instead\n";
    /* Writable and private, as only that counts as data. No page is touched. */
    void *room = mmap(NULL, NEEDED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
        (void)ignored; /* there is nobody else to tell */
        _exit(6);
    }
    munmap(room, NEEDED);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char **, char **) = check_address_space;
