"""The loss of ten steps as microsoft/dion's training script takes them from its configuration, float64: which class it makes
of `optimizer`, what it passes to it, which parameters go to the scalar optimizer, its learning rate step by step. Written
from what that script does, not from this repository's table of it; rules are those of family_oracle.py, the model is
gpt_oracle.py's.

    python3 script_oracle.py         writes script_losses.txt beside this file: "run", its settings, "losses" and numbers
"""
import fnmatch
import math

import numpy as np
import torch

import family_oracle as rules
from gpt_oracle import B, HERE, T, initial_parameters, loss_and_gradients, parameter_list, tokens

STEPS, WARMUP, WARMDOWN = 10, 0.25, 0.25
COMMON = {"num_iterations": STEPS, "warmup_ratio": WARMUP, "warmdown_ratio": WARMDOWN}
RUNS = [
    {"optimizer": "muon", "mu": 0.9},
    {"optimizer": "muon", "use_polar_express": True, "adjust_lr": "rms_norm", "scalar_opt": "adamw", "lr": 0.005},
    {"optimizer": "muon_reference"},
    {"optimizer": "normuon", "weight_decay": 0.1},
    {"optimizer": "dion2", "mu": 0.8, "ortho_fraction": 0.5, "scalar_opt": "adamw"},
    {"optimizer": "nordion2", "mu": 0.8, "ortho_fraction": 0.5},
    {"optimizer": "adamw", "lr": 0.002, "scalar_opt": "lion", "weight_decay": 0.1},
    {"optimizer": "normuon", "cautious": True, "weight_decay": 2.0},
    {"optimizer": "muon", "groups": [{"match": "*.attn.c_[qk].*", "rule": "sgd", "lr_scale": 0.5, "weight_decay": 0.3},
                                     {"match": "*.0.*", "rule": "dion2", "fraction": 0.25},
                                     {"match": "lm_head*", "rule": "adamw", "lr_scale": 0.125}]},
]


def factor(step):
    """Of the learning rate; the script rounds as Python does."""
    up, down = round(WARMUP * STEPS), round(WARMDOWN * STEPS)
    if step < up:
        return (step + 1) / up
    return 1.0 if step <= STEPS - down else (STEPS - step) / down


def settings_of(run):
    """Of every parameter: the rule, its options, its learning rate."""
    name, lr, mu = run["optimizer"], run.get("lr", 0.02), run.get("mu", 0.95)
    coefficients = "POLAR_EXPRESS" if run.get("use_polar_express") else "DION"
    passed = {  # class -> rule, and what the script passes to it
        "muon": (rules.muon, {"nesterov": True, "set": coefficients}),
        "muon_reference": (rules.muon, {"nesterov": True, "set": "KELLER"}),
        "normuon": (rules.normuon, {"nesterov": True, "set": coefficients}),
        "dion2": (rules.dion2, {"set": coefficients}),
        "nordion2": (rules.dion3, {"set": coefficients, "gram": True}),  # the same polynomial
        "adamw": (rules.adamw, {}),
    }
    rule, options = passed[name]
    options = {**rules.DEFAULTS, **options, "mu": mu, "weight_decay": run.get("weight_decay", 0.01),
               "fraction": run.get("ortho_fraction", 0.25), "adjust": run.get("adjust_lr", "spectral_norm").upper(),
               "cautious": run.get("cautious", False)}
    scalar = {"lion": rules.lion, "adamw": rules.adamw}["adamw" if name == "adamw" else run.get("scalar_opt", "lion")]
    found = {}
    for parameter, rows, cols, _ in parameter_list():
        own = dict(options, rows=rows, cols=cols)
        chosen, rate = rule, lr
        if ".h." not in parameter:  # embedding and head: no decay
            chosen, own["weight_decay"] = scalar, 0.0
        for group in run.get("groups", []):
            if fnmatch.fnmatchcase(parameter, group["match"]):
                chosen = {"sgd": rules.sgd, "dion2": rules.dion2, "adamw": rules.adamw}[group["rule"]]
                own["weight_decay"] = group.get("weight_decay", own["weight_decay"])
                own["fraction"] = group.get("fraction", own["fraction"])
                rate = lr * group.get("lr_scale", 1.0)
                if chosen is rules.dion2:
                    own["mu"] = 0.95  # ef_decay is the class's where the script makes no Dion2
                break
        if chosen is rules.lion and parameter == "lm_head.weight":
            rate /= math.sqrt(cols)
        found[parameter] = (chosen, own, rate)
    return found


def losses_of(run):
    weights, settings, states, losses = initial_parameters(), settings_of(run), {}, []
    rules.BETA1, rules.BETA2 = (0.95, 0.98) if run["optimizer"] == "muon_reference" else (0.9, 0.95)
    for name, (rule, o, _) in settings.items():
        shape = (o["rows"], o["cols"])
        states[name] = {"t": 0, "m": np.zeros(shape), "v": np.zeros(shape if rule is rules.adamw else o["rows"])}
    for step in range(STEPS):
        loss, gradients = loss_and_gradients(weights, tokens(4000 + step), tokens(5000 + step))
        losses.append(float(loss))
        for name, (rule, o, rate) in settings.items():
            rules.LR = rate * factor(step)
            states[name]["x"] = weights[name].numpy().copy()
            rule(states[name], gradients[name].numpy() / (B * T), o)
            weights[name] = torch.tensor(states[name]["x"])
    return losses


def shown(value):
    if isinstance(value, list):
        return "[" + ", ".join("{" + ", ".join(f"{k}: '{v}'" if isinstance(v, str) else f"{k}: {v}"
                                               for k, v in group.items()) + "}" for group in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


if __name__ == "__main__":
    with open(HERE / "script_losses.txt", "w") as file:
        for run in RUNS:
            file.write("run\n" + "".join(f"{key}={shown(value)}\n" for key, value in {**COMMON, **run}.items()))
            file.write("losses " + " ".join(loss.hex() for loss in losses_of(run)) + "\n")
