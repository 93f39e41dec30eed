/* Preloaded: OpenBLAS says that it was built with POSIX threads. */
int openblas_get_parallel(void);

int openblas_get_parallel(void)
{
    return 1;
}
