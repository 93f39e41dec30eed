"""Every architecture with every rule and with every strategy, on a mesh of all axes against one rank. All names are the registries'
own, so what is new there is tried here. In the short tier a few that differ in kind, each with a rule and a strategy of its own."""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from runs import FULL, PROGRAM, assignments, case, choices, expect, lossless, of_replicas, rules, run, tap  # noqa: E402

CONFIG = os.environ["CONFIG"]
PRECISION = "double" if os.path.exists(PROGRAM + "-f64") else "float"  # sanitizers build one of them
ARCHITECTURES = choices("architecture")
STRATEGIES = of_replicas()  # those that rules have


def verify(*settings, mesh="dp=2,fs=2,tp=2", ranks=8):
    done = run([PROGRAM, "verify", CONFIG, "-n", str(ranks), "--mesh", mesh, "--precision", PRECISION, "--steps", "3", "mlp_bias=true",
                *settings], limit_s=600)
    return [] if done.returncode == 0 else [f"{settings}: {done.returncode}: {done.stdout[-1500:]}{done.stderr}"]


@case
def each_architecture_holds_with_every_rule():
    pairs = [(name, rule) for name in ARCHITECTURES for rule in rules()]
    if not FULL:
        pairs = list(zip(("gpt2", "gemma", "mlp"), ("soap", "dion", "dion3")))
    failed = [line for name, rule in pairs for line in verify(f"architecture={name}", f"optimizer={rule}")]
    expect(not failed, "\n".join(failed))


@case
def each_architecture_holds_with_every_strategy():
    pairs = [(name, strategy) for name in ARCHITECTURES for strategy in STRATEGIES]
    if not FULL:
        pairs = list(zip(("gpt2", "gemma", "mlp"), ("demo", "powersgd", "streaming")))
    settings = {strategy: assignments(lossless(CONFIG, strategy)) for strategy in {strategy for _, strategy in pairs}}
    failed = [line for name, strategy in pairs
              for line in verify(f"architecture={name}", f"strategy={strategy}", *settings[strategy], mesh="dp=2,fs=1,tp=2", ranks=4)]
    expect(not failed, "\n".join(failed))


tap()
