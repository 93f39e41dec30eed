/*
 * What a loop executes between two looks at what another thread or process is about to write. It keeps the core, which sched_yield would
 * hand to whatever else the machine does for a time slice of milliseconds, but leaves its other hardware thread more of it.
 */
#ifndef BASE_PAUSE_H
#define BASE_PAUSE_H

static inline void dn_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

#endif
