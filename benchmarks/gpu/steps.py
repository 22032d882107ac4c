"""Whole training steps on a GPU: convkit against PyTorch eager, compiled and captured.

Run as ``python benchmarks/gpu/steps.py --out FOLDER [--seconds N] [--only TEXT]``. Every
contender has a process of its own; outputs are compared before anything is timed, samples are
interleaved, and data is on the device for everybody (`convkit.bench.race`). ``--device cpu --tiny``
tries the script out where there is no GPU.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import machine

from convkit.bench.process import Contender, ContenderError, Crew
from convkit.bench.racing import Race, race
from convkit.bench.tables import Table

HERE = Path(__file__).resolve().parent
OURS, EAGER, LAST = "convkit", "eager", "eager, channels_last"
COMPILED, CAPTURED = "torch.compile", "whole-step graph"
PEERS: dict[str, tuple[str, dict[str, Any]]] = {
    EAGER: ("Eager", {}),
    LAST: ("Eager", {"channels_last": True}),
    COMPILED: ("Compiled", {}),
    CAPTURED: ("Captured", {}),
}
# Of outputs, losses and changes of weights.
TOLERANCE = {"full": 1e-3, "tf32": 1e-2, "bf16": 1e-1}
NOTES = """
A step is forward, loss, backward and update, on float32 data that is on the device; PyTorch runs
with cuDNN's benchmark mode and fused optimizers. Products round nothing, unless the case says TF32
or BF16: then those of all contenders may, and autocast keeps PyTorch's activations in BF16. Each
contender is a process of its own; outputs, losses of the first steps and changes of the weights
were compared before anything was timed; samples were interleaved. convkit runs its public `fit`
over whole epochs, PyTorch a loop; each sample ends when the device has finished. Dropout is off in
what is compared and on in what is timed. torch.compile is not raced on recurrent networks: it
leaves cuDNN's layers as they are. A ratio is of medians, with the 95 % interval of a bootstrap.
"""


@dataclass(frozen=True)
class Case:
    """A network, and how many times faster than whom it is meant to be.

    Attributes
    ----------
    name : str
    work : dict
        Of `convkit.bench.peers.workload.Workload`.
    peers : tuple of str
        Of `PEERS`.
    targets : dict of str to float
        By peer; "best" is the fastest of them.
    most_us : float, optional
        Microseconds that a step may take.
    """

    name: str
    work: dict[str, Any]
    peers: tuple[str, ...]
    targets: dict[str, float] = field(default_factory=dict)
    most_us: float | None = None


SMALL = {EAGER: 8.0, CAPTURED: 1.5}
ADAM = {"optimizer": "adam", "rate": 0.001}
CELLS = (("SimpleRNN", "simple"), ("LSTM", "lstm"), ("GRU", "gru"))


def cases(tiny: bool) -> list[Case]:
    """One of each kind first, so that each has had its turn when time is up."""
    batches = (2,) if tiny else (128, 64, 512)
    lenets = [_lenet(n, tiny) for n in batches]
    mlps = [_mlp(n, tiny) for n in batches]
    rows = [_recurrent(*cell, tiny, characters=False) for cell in CELLS]
    text = [_recurrent(*cell, tiny, characters=True) for cell in CELLS]
    alexnet, vgg16 = _deep("alexnet", 64, tiny), _deep("vgg16", 64, tiny)
    first = [lenets[0], mlps[0], rows[1], text[1], alexnet, vgg16]
    rounded = [
        _deep(network, 64, tiny, precision)
        for precision in ("tf32", "bf16")
        for network in ("alexnet", "vgg16")
    ]
    large = [] if tiny else [_deep("alexnet", 256, tiny)]
    every = [*first, *rounded, *lenets, *mlps, *rows, *text, *large]
    return list({case.name: case for case in every}.values())


def _images(network: str, batch: int, tiny: bool) -> dict[str, Any]:
    # An epoch of many steps, as of MNIST: what `fit` does between epochs is not a step's.
    return {"network": network, "batch": batch, "samples": 4 * batch if tiny else 60_000}


def _lenet(batch: int, tiny: bool) -> Case:
    most = 30.0 if batch == 128 else None
    work = _images("lenet5", batch, tiny)
    return Case(f"LeNet-5, batch {batch}", work, (EAGER, COMPILED, CAPTURED), SMALL, most)


def _mlp(batch: int, tiny: bool) -> Case:
    units = 8 if tiny else 128
    work = {**_images("mlp", batch, tiny), "options": {"sizes": [784, units, 10]}, **ADAM}
    name = f"MLP 784-{units}-10, batch {batch}"
    return Case(name, work, (EAGER, COMPILED, CAPTURED), SMALL)


def _recurrent(title: str, cell: str, tiny: bool, *, characters: bool) -> Case:
    units, steps = (8, 5) if tiny else (128, 100)
    options: dict[str, Any] = {"cell": cell, "units": units}
    if characters:
        batch, network, what = 50, "char_rnn", f"characters, T {steps}"
        options["steps"] = steps
    else:
        batch, network, what = 64, "rnn_classifier", "rows, T 28"
    batch = 2 if tiny else batch
    work = {"network": network, "batch": batch, "options": options, "compared": 2, **ADAM}
    work["samples"] = (2 if tiny else 128) * batch
    name = f"{title}({units}) on {what}, batch {batch}"
    return Case(name, work, (EAGER, CAPTURED), {"best": 2.0})


def _deep(network: str, batch: int, tiny: bool, precision: str = "full") -> Case:
    batch = 2 if tiny else batch
    variant = "cifar" if tiny else "one-tower"
    options = {"variant": variant} if tiny or network == "alexnet" else {}
    work = {"network": network, "batch": batch, "options": options, "rate": 0.001}
    work |= {"compared": 2, "samples": 4 * batch, "precision": precision}
    if precision != "full":
        name = f"{network}, batch {batch}, {precision.upper()}"
        return Case(name, work, (EAGER, LAST, CAPTURED), {"best": 0.5})
    peers = (EAGER, LAST, CAPTURED) if batch > 64 else (EAGER, LAST, COMPILED, CAPTURED)
    return Case(f"{network}, batch {batch}", work, peers, {"best": 0.85})


def contenders(case: Case, device: str) -> list[Contender]:
    """Ours first; every other one may fail."""
    work = {**case.work, "device": device}
    found = [Contender(OURS, "convkit.bench.peers.convkit_models:Steps", {"workload": work})]
    for name in case.peers:
        maker, options = PEERS[name]
        arguments = {"workload": work, **options}
        found.append(Contender(name, f"{HERE / 'torch_steps.py'}:{maker}", arguments, True))
    return found


def raced(case: Case, options: argparse.Namespace, crew: Crew, deadline: float) -> dict[str, Any]:
    """The race of a case as a record; of the peers alone where convkit fails."""
    who = contenders(case, options.device)
    entry: dict[str, Any] = {"name": case.name, "targets": case.targets, "most_us": case.most_us}
    settings = {
        "rounds": options.rounds,
        "sample_seconds": 0.002 if options.tiny else 0.08,
        "tolerance": TOLERANCE[case.work.get("precision", "full")],
        "time_limit": 8.0,
        "deadline": deadline,
        "crew": crew,
    }
    try:
        entry["race"] = race(case.name, who, **settings).as_dict()
    except (ArithmeticError, ContenderError) as error:
        entry["failed"] = str(error)
        crew.rest({c.name for c in who[1:]})  # after an error of a kernel a process is of no use
        try:
            entry["peers_alone"] = race(case.name, who[1:], **settings).as_dict()
        except (ArithmeticError, ContenderError) as another:
            entry["failed"] += f"; {another}"
    return entry


def micros(r: Race, name: str) -> str:
    """Median and quartiles."""
    if name not in r.names:
        return "failed" if name in r.left_out else "-"
    low, high = (q * 1e6 for q in r.spread(name))
    return f"{r.median(name) * 1e6:.1f} ({low:.1f}-{high:.1f})"


def verdicts(entry: dict[str, Any], r: Race) -> str:
    """Each target and whether it was reached, by the whole interval."""
    found = []
    for who, least in entry["targets"].items():
        peer = r.best_peer() if who == "best" else who
        if peer not in r.names:
            found.append(f"{least:g}x {who}: nobody to race against")
            continue
        ratio, low, high = r.ratio(peer)
        reached = "reached" if low >= least else "missed" if high < least else "within the noise"
        reached = "no verdict" if r.undecided else reached
        found.append(f"{least:g}x {who}: {reached}, {ratio:.2f} ({low:.2f}-{high:.2f}) to {peer}")
    if entry["most_us"] is not None:
        found.append(
            f"{entry['most_us']:g} us: "
            f"{'reached' if r.median(OURS) * 1e6 <= entry['most_us'] else 'missed'}"
        )
    return "; ".join(found)


def markdown(record: dict[str, Any]) -> str:
    """The table of all cases, and what failed."""
    peers = list(PEERS)
    header = ("case", "convkit, us (quartiles)", *(f"{p}, us" for p in peers), "targets")
    rows, failed = [], []
    for entry in record["cases"]:
        if "failed" in entry:
            failed.append(f"- {entry['name']}: {entry['failed']}")
        told = entry.get("race") or entry.get("peers_alone")
        if told is None:
            continue
        r = Race.from_dict(told)
        ours = micros(r, OURS) if "race" in entry else "failed"
        verdict = verdicts(entry, r) if "race" in entry else "-"
        rows.append((entry["name"], ours, *(micros(r, p) for p in peers), verdict))
        failed += [f"- {entry['name']}: {who} was left out: {w}" for who, w in r.left_out.items()]
    parts = ["# Training steps on a GPU", Table("", header, rows).markdown() if rows else ""]
    if record["left"]:
        parts.append(f"Not run, as time was up: {'; '.join(record['left'])}.")
    if failed:
        parts.append("\n".join(["What failed:", "", *failed]))
    return "\n\n".join([*parts, NOTES.strip()])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, required=True, help="folder of steps.json, steps.md")
    parser.add_argument("--device", default="cuda", choices=("cpu", "cuda"))
    parser.add_argument("--seconds", type=float, default=200.0, help="begin no case after these")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--only", default="", metavar="TEXT", help="cases that contain TEXT")
    parser.add_argument("--tiny", action="store_true", help="tiny networks, to try the script out")
    options = parser.parse_args()
    deadline = time.monotonic() + options.seconds
    chosen = [c for c in cases(options.tiny) if options.only.lower() in c.name.lower()]
    record: dict[str, Any] = {
        "machine": machine.facts(),
        "cases": [],
        "left": [case.name for case in chosen],
    }
    with Crew(timeout=120.0, measures=False) as crew:
        for case in chosen:
            if time.monotonic() > deadline:
                break
            start = time.monotonic()
            entry = raced(case, options, crew, deadline)
            entry["seconds"] = time.monotonic() - start
            record["cases"].append(entry)
            record["left"].remove(case.name)
            machine.write(options.out, "steps", record, markdown(record))
            print(
                f"{case.name}: {entry.get('failed', 'done')} ({entry['seconds']:.0f} s)", flush=True
            )
    print(markdown(record))


if __name__ == "__main__":
    main()
