/* One clock: monotonic, in seconds as double (differences are good to nanoseconds for months of uptime). */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

/** Seconds since an arbitrary fixed moment; never goes back. */
double dn_clock_s(void);

#endif
