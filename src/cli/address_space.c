/*
 * OpenBLAS's constructor asks for a buffer and, where a limit on address space (ulimit -v, RLIMIT_AS) refuses
 * it, asks again for ever: no command would come as far as main(). So the program looks before the
 * constructors of its libraries run, which is what .preinit_array is for; only an executable may have one.
 */
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* The buffer, and what constructors take beside it: with 192 MiB some limits still hang. */
#define NEEDED ((size_t)256 << 20)

static __attribute__((no_sanitize("address", "undefined"))) void check_address_space(int argc, char **argv,
                                                                                     char **envp)
{
    static const char message[] =
        "dionode: the limit on address space (ulimit -v) leaves no room for OpenBLAS's buffers: "
        "allow 1 GB or more (ulimit -v unlimited), or limit memory by a cgroup instead\n";
    struct rlimit limit;
    if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    void *room = mmap(NULL, NEEDED, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED) {
        ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
        (void)ignored; /* there is nobody else to tell */
        _exit(6);
    }
    munmap(room, NEEDED);
}

__attribute__((section(".preinit_array"),
               used)) static void (*const before_libraries)(int, char **, char **) = check_address_space;
