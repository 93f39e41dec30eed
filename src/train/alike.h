/* Ranks that another launcher started, each with a command line of its own and on a node with files of its own: whether all of them
 * do the same. What our launcher starts does. */
#ifndef TRAIN_ALIKE_H
#define TRAIN_ALIKE_H

#include "data/tokens.h"
#include "dionode/comm.h"
#include "dionode/config.h"

/** Collective: config as the rank was given it. Errors: DN_ERR_CONFIG on a rank whose keys are not rank 0's, which names them with
 * both values; those of the communicator. */
dn_status dn_alike_settings(const dn_config *config, dn_comm *comm) DN_MUST_USE;

/** Collective: the same of a command's options that are no keys, written out in any form. */
dn_status dn_alike_options(const char *options, dn_comm *comm) DN_MUST_USE;

/** Collective: the number of tokens and files, and a sample of tokens; of streams that differ elsewhere nothing is noticed. tokens NULL:
 * none, on all ranks. Errors: DN_ERR_DATA on all ranks; dn_tokens_read's; those of the communicator. */
dn_status dn_alike_data(const dn_tokens *tokens, size_t vocab_size, const char *what, dn_comm *comm) DN_MUST_USE;

#endif
