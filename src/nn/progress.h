/* How a pass over a micro-batch is watched. */
#ifndef NN_PROGRESS_H
#define NN_PROGRESS_H

#include "dionode/status.h"

#include <stdbool.h>

/* Called on the way through a pass. together: after a layer, which all ranks of the mesh pass equally often, so
 * that a collective has its place here; otherwise after a chunk of the head, of which ranks with fewer rows have
 * fewer. A pass ends with the first status that is not DN_OK, as on a failure of its own. */
typedef dn_status dn_progress_fn(void *context, bool together);

#endif
