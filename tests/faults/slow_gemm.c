/* Matrix products that take half a second and compute nothing, for whoever preloads this. Each adds a line to the
 * file PRODUCTS when it begins: the rank. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

__attribute__((visibility("default"))) void cblas_sgemm(void);

void cblas_sgemm(void)
{
    const char *path = getenv("PRODUCTS"), *rank = getenv("RANK");
    char line[8] = "?\n";
    if (rank && strlen(rank) == 1)
        line[0] = rank[0];
    int file = path ? open(path, O_WRONLY | O_APPEND | O_CREAT, 0600) : -1;
    if (file < 0 || write(file, line, 2) != 2)
        _exit(99);
    close(file);
    nanosleep(&(struct timespec){.tv_nsec = 500000000}, NULL);
}
