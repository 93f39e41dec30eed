/*
 * What other ranks read of a device's memory that only its owner's device reaches. Each rank has a proxy, a thread that copies
 * chunks of its arena on the device to the same place of its arena on the host, where all read them, when another rank asks
 * for them: the others need not know beforehand who reads what, and the owner computes meanwhile.
 */
#ifndef COMM_PROXY_H
#define COMM_PROXY_H

#include "dionode/status.h"
#include "shm/world.h"

typedef struct dn_proxy dn_proxy;

/** Of this process, which is `rank`; world: borrowed. Others may ask behind the next barrier. If the thread fails, the world does.
 * Errors: DN_ERR_SYSTEM, DN_ERR_MEMORY. */
dn_status dn_proxy_start(dn_world *world, int rank, dn_proxy **out) DN_MUST_USE;
/** All have their answers. NULL is a no-op. */
void dn_proxy_stop(dn_proxy **proxy);

/** Waits until what rank `owner` has on its device at [offset, offset + bytes) of its arena is in its arena on the host. By one thread
 * of a rank at a time. Errors: those of dn_wait_reach. */
dn_status dn_proxy_ask(const dn_proxy *proxy, int owner, uint64_t offset, size_t bytes) DN_MUST_USE;

#endif
