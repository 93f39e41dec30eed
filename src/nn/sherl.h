/* SHERL's side module (arXiv:2407.07523): what is learned from the outputs of frozen layers, of which nothing else is kept. */
#ifndef NN_SHERL_H
#define NN_SHERL_H

#include "nn/layer.h"

#define DN_SHERL_NAME "sherl." /* its parameters' names begin so */

#endif
