/* Scaling of orthonormal updates, so that one learning rate serves matrices of all shapes. */
#ifndef OPTIM_ADJUST_H
#define OPTIM_ADJUST_H

#include "dionode/optim.h"

/** Factor on the learning rate of the update, but not of the decay, for a matrix of global shape [rows,
 * cols]. */
double dn_adjust_factor(dn_adjust adjust, size_t rows, size_t cols);

#endif
