/* What replicas make of sparse messages, each replica's largest entries: entry by entry the mean over those that sent it, or over
 * all. What demo and sparseloco share. */
#ifndef STRATEGY_MERGE_H
#define STRATEGY_MERGE_H

#include "strategy/strategy.h"

enum { DN_OVER_SENDERS, DN_OVER_ALL };

extern const dn_key dn_option_demo_mean;

typedef struct dn_merge {
    dn_codec_config config;      /* of topk */
    size_t n;                    /* numbers that a message is of */
    bool over_senders;
    dn_buf *sum, *counts, *work; /* [n], [n], [dn_merge_work]; the caller's */
} dn_merge;

/** Of each tile a share is sent. With a share of 1 all are senders: a 0, too, which no message has. Memory is left to set. */
dn_merge dn_merge_of(const dn_tiling *tiling, double share, dn_option_value wire, dn_option_value over);

/** Bytes of a message. */
size_t dn_merge_bytes(const dn_merge *merge);
/** Numbers of work. */
size_t dn_merge_work(const dn_merge *merge);

/** Takes in one message after another, the first of which is replica 0's. */
void dn_merge_add(dn_stream *s, const dn_merge *merge, const dn_message *message);

/** The sum becomes the mean. */
void dn_merge_finish(dn_stream *s, const dn_merge *merge, int n_replicas);

#endif
