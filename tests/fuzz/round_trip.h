/* A configuration that was accepted: what it is written as must read back to the same. */
#ifndef FUZZ_ROUND_TRIP_H
#define FUZZ_ROUND_TRIP_H

#include "dionode/config.h"

void fuzz_round_trip(const dn_config *config);

#endif
