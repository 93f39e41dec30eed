"""Steps on an emulated network between two pretended nodes take what is predicted of steps without one: 1 Gbit/s, 5 ms, to 10 %."""
import importlib.util
import os
import statistics
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "support"))
from nodes import MPI, need_mpi  # noqa: E402
from runs import PROGRAM, case, expect, tap  # noqa: E402

BENCH = os.path.join(os.path.dirname(__file__), "..", "..", "bench")
sys.path.insert(0, BENCH)  # of what it imports
spec = importlib.util.spec_from_file_location("nodes_link", os.path.join(BENCH, "nodes_link.py"))
bench = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bench)

LINK, TRIES = "1Gbit:5ms", 6
WAYS = ["", "optimizer=dion ortho_fraction=0.125 replicate_mesh_grad_sync=true", "strategy=powersgd", "strategy=demo",
        "strategy=diloco sync_every=5", "strategy=streaming sync_every=6 fragments=2 overlap=2 wire=fp4"]


@case
def the_longer_counts_of_what_a_step_awaited_without_a_network_and_what_the_network_takes():
    """20 ms on the network, as messages and bytes."""
    step = {"step_s": 0.1, "overlap_s": 0, "overlap_bytes": 0, "delay": 0, "hops_dp": 2, "cluster_bytes_dp": 1.25e6}
    for awaited, want in ((0, 0.12), (0.008, 0.112), (0.03, 0.1)):
        got = bench.predicted([{**step, "wait_dp_s": awaited}], LINK)
        expect(abs(got - want) < 1e-12, f"{awaited} s awaited: {got} s, not {want}")


@case
def a_step_between_nodes_takes_what_is_predicted():
    """A busy machine lengthens both runs, and not alike: then once more. No step is shorter than what its exchange takes alone, less
    what goes on beside it; losses are the same bits."""
    need_mpi()
    os.environ.update(MPI)
    with tempfile.TemporaryDirectory(prefix="dionode-test-") as folder:
        bench.data_in(folder)
        for way in WAYS:
            ratios = []
            while len(ratios) < TRIES and not any(0.9 < ratio < 1.1 for ratio in ratios):
                alone, linked = bench.pair(PROGRAM, folder, way, LINK)
                expect([x["loss"] for x in alone] == [x["loss"] for x in linked], f"{way}: other losses on a link")
                for key in ("hops_dp", "cluster_bytes_dp", "overlap_bytes"):
                    expect([x[key] for x in alone] == [x[key] for x in linked], f"{way}: {key} differ")
                ratios.append(statistics.mean(x["step_s"] for x in linked) / bench.predicted(alone, LINK))
            print(f"# {way or 'whole gradients'}: measured / predicted {', '.join(f'{ratio:.3f}' for ratio in ratios)}", flush=True)
            expect(any(0.9 < ratio < 1.1 for ratio in ratios), f"{way}: measured / predicted {ratios}")


tap()
