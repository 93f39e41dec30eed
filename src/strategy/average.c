/* Gradients are averaged in every step: replicas train as one rank does. */
#include "strategy/strategy.h"

const dn_strategy dn_strategy_average = {
    .name = "average",
    .help = "whole gradients are averaged in every step",
};
