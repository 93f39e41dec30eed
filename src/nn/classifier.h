/* The memory of a head of classes, for code that reads its scores. */
#ifndef NN_CLASSIFIER_H
#define NN_CLASSIFIER_H

#include "nn/layer.h"

#define DN_CLASSIFIER_NAME "score" /* as Hugging Face's models that classify sequences call it */

typedef struct dn_classifier_kept {
    dn_norm norm;
    dn_buf *x;      /* [B,C]: the labelled rows of the stream, and their gradient */
    dn_buf *scores; /* [B,classes] */
} dn_classifier_kept;

#endif
