/* Activations of an MLP. */
#ifndef COMPUTE_ACTIVATION_H
#define COMPUTE_ACTIVATION_H

/* max(h, 0)^2;  h sigma(h), sigma(h) = 1/(1 + e^-h);  h sigma(2c (h + 0.044715 h^3)), c = sqrt(2/pi), which is GELU by
 * tanh (Hendrycks and Gimpel, arXiv:1606.08415);  h Phi(h), Phi the normal distribution. Kernels named activation_ and
 * glu_ take all but the first, which has kernels of its own: they work in place. */
typedef enum dn_activation { DN_ACTIVATION_UNSET, DN_RELU2, DN_SILU, DN_GELU_TANH, DN_GELU_ERF } dn_activation;

#define DN_ACTIVATION_NAMES "relu2|silu|gelu_tanh|gelu" /* of configurations, in that order */

#endif
