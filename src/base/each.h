/* DN_EACH(M, a, b, ...) is M(a) M(b) ..., of 1 to 16 arguments. */
#ifndef BASE_EACH_H
#define BASE_EACH_H

#define DN_EACH_1(M, x)       M(x)
#define DN_EACH_2(M, x, ...)  M(x) DN_EACH_1(M, __VA_ARGS__)
#define DN_EACH_3(M, x, ...)  M(x) DN_EACH_2(M, __VA_ARGS__)
#define DN_EACH_4(M, x, ...)  M(x) DN_EACH_3(M, __VA_ARGS__)
#define DN_EACH_5(M, x, ...)  M(x) DN_EACH_4(M, __VA_ARGS__)
#define DN_EACH_6(M, x, ...)  M(x) DN_EACH_5(M, __VA_ARGS__)
#define DN_EACH_7(M, x, ...)  M(x) DN_EACH_6(M, __VA_ARGS__)
#define DN_EACH_8(M, x, ...)  M(x) DN_EACH_7(M, __VA_ARGS__)
#define DN_EACH_9(M, x, ...)  M(x) DN_EACH_8(M, __VA_ARGS__)
#define DN_EACH_10(M, x, ...) M(x) DN_EACH_9(M, __VA_ARGS__)
#define DN_EACH_11(M, x, ...) M(x) DN_EACH_10(M, __VA_ARGS__)
#define DN_EACH_12(M, x, ...) M(x) DN_EACH_11(M, __VA_ARGS__)
#define DN_EACH_13(M, x, ...) M(x) DN_EACH_12(M, __VA_ARGS__)
#define DN_EACH_14(M, x, ...) M(x) DN_EACH_13(M, __VA_ARGS__)
#define DN_EACH_15(M, x, ...) M(x) DN_EACH_14(M, __VA_ARGS__)
#define DN_EACH_16(M, x, ...) M(x) DN_EACH_15(M, __VA_ARGS__)

#define DN_EACH_PICK(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, picked, ...) picked
#define DN_EACH(M, ...)                                                                                      \
    DN_EACH_PICK(__VA_ARGS__, DN_EACH_16, DN_EACH_15, DN_EACH_14, DN_EACH_13, DN_EACH_12, DN_EACH_11,        \
                 DN_EACH_10, DN_EACH_9, DN_EACH_8, DN_EACH_7, DN_EACH_6, DN_EACH_5, DN_EACH_4, DN_EACH_3,    \
                 DN_EACH_2, DN_EACH_1, 0)                                                                    \
    (M, __VA_ARGS__)

#endif
