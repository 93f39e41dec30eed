/**
 * The floating-point type of parameters, gradients and optimizer state.
 *
 * float in the installed library. The same sources are also built with DN_REAL_DOUBLE, for tests that hold
 * the mathematics to machine precision. Sources that serve both are compiled once, with DN_REAL_EITHER: what would depend
 * on the type (its size, a number, DN_REAL) is then an error of the compiler.
 */
#ifndef DIONODE_REAL_H
#define DIONODE_REAL_H

#if defined DN_REAL_EITHER
typedef struct dn_real dn_real;
#elif defined DN_REAL_DOUBLE
typedef double dn_real;
#define DN_REAL_EPS 2.220446049250313e-16
#else
typedef float dn_real;
#define DN_REAL_EPS 1.1920928955078125e-07
#endif

#endif
