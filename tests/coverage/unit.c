/* Linked into every program and library of a coverage build: says to flush.c, if it is loaded, how its counters are
 * written. Each has its own. */
void __gcov_dump(void);
void coverage_register(void (*dump)(void)) __attribute__((weak));

__attribute__((constructor)) static void tell(void)
{
    if (coverage_register)
        coverage_register(__gcov_dump);
}
