"""Hopfield networks against theory: capacity, descent of the energy, tours, queens, digits.

Run as ``python benchmarks/accuracy/hopfield.py``; writes ``benchmarks/results/hopfield.md``. It
needs no data beyond the package and takes a few minutes on one thread. Published figures: one-step
bit errors ``erfc(sqrt(N / 2P)) / 2`` (Hertz, Krogh and Palmer 1991, section 2.2), the end of recall
at 0.138 patterns per neuron (Amit, Gutfreund and Sompolinsky 1985).
"""

from __future__ import annotations

import itertools
import math
import time

import numpy as np
from reports import head, outcome, table, write_report

import convkit as ck
from convkit.bench.machine import without_blas_limits

QUEENS = {4: 2, 5: 10, 6: 4, 7: 40, 8: 92}  # solutions that there are


def bit_errors() -> str:
    """One-step errors of stored patterns at four loads."""
    rows = []
    points = ck.models.capacity_curve(2000, (0.105, 0.138, 0.185, 0.37), probes=1, max_sweeps=1)
    for p in points:
        away = [(p.bit_error - theory) / p.sigma for theory in (p.limit, p.expected)]
        verdict = outcome(abs(away[0]) < 3)
        rows.append(
            f"{p.load:.3f} | {p.bit_error:.5f} | {p.sigma:.5f} | {p.limit:.5f} | {away[0]:+.1f} "
            f"{verdict} | {p.expected:.5f} | {away[1]:+.1f}"
        )
    columns = (
        "P/N | bit error | sigma | theory, N without end | sigmas off | theory, N | sigmas off"
    )
    return (
        "## One-step bit errors\n\nN = 2000, 4 networks per load, seed 0, all bits of all stored "
        "patterns; goal: within 3 sigma of theory for N without end.\n\n" + table(columns, rows)
    )


def overlaps() -> str:
    """Where recall breaks down."""
    loads = (0.05, 0.08, 0.1, 0.12, 0.13, 0.138, 0.145, 0.15, 0.16, 0.18, 0.2)
    curves = [
        ck.models.capacity_curve(n, loads, trials=trials, probes=50)
        for n, trials in ((1000, 8), (2000, 4))
    ]
    rows = [f"{load:.3f} | {a.overlap:.3f} | {b.overlap:.3f}" for load, a, b in zip(loads, *curves)]
    good = all(c[loads.index(0.12)].overlap > 0.95 for c in curves)
    gone = all(c[loads.index(0.18)].overlap < 0.7 for c in curves)
    verdict = outcome(good and gone)
    return (
        "## Overlap after recall\n\nMean overlap of a stored pattern with the fixed point that "
        "asynchronous recall from it ends in; 8 networks of 1000 and 4 of 2000 neurons per load, "
        "50 patterns each, seed 0. Goal: above 0.95 at 0.12, below 0.7 at 0.18: "
        f"{verdict}.\n\n" + table("P/N | N = 1000 | N = 2000", rows)
    )


def descent() -> str:
    """10,000 random runs, each update looked at."""
    rng = np.random.default_rng(0)
    runs = updates = flipped = rises = 0
    steepest = -math.inf
    for _ in range(200):
        n = int(rng.integers(2, 31))
        w = np.tril(rng.integers(-5, 6, (n, n)), -1).astype(np.float32)
        w, b = w + w.T, rng.integers(-6, 7, n).astype(np.float32)
        s = rng.choice([-1, 1], (50, n)).astype(np.float32)
        runs += len(s)
        energy = ck.ops.hopfield_energy(w, s, b)
        still = 0
        while still < n:  # until a whole sweep changes nothing
            for i in rng.permutation(n):
                s, flips = ck.ops.hopfield_asynchronous(w, s, [i], b)
                after = ck.ops.hopfield_energy(w, s, b)
                updates += len(s)
                flipped += int(flips.sum())
                rises += int((after > energy).sum())
                if flips.any():
                    steepest = max(steepest, float((after - energy)[flips > 0].max()))
                still = 0 if flips.any() else still + 1
                energy = after
    verdict = outcome(rises == 0)
    return (
        "## Descent of the energy\n\n"
        f"{runs:,} asynchronous runs to a fixed point: 200 networks of 2 to 30 neurons, random "
        "symmetric whole weights from -5 to 5, thresholds from -6 to 6, 50 random states each, "
        f"seed 0. Of {updates:,} updates {flipped:,} flipped a neuron; the energy rose in {rises} "
        f"({verdict}: none), and a flip lowered it by at least {-steepest:g}."
    )


def shortest(d: np.ndarray) -> float:
    """Length of the best of all tours."""
    rest = np.array(list(itertools.permutations(range(1, len(d)))))
    tours = np.insert(rest, 0, 0, axis=1)
    return float(d[tours, np.roll(tours, -1, axis=1)].sum(axis=1).min())


def tours() -> str:
    """Tours of random cities, by both methods."""
    rows = []
    for method, restarts in (("annealed", 50), ("hopfield_tank", 20)):
        for n in (5, 6, 7, 8):
            rates, means, bests = [], [], []
            start = time.perf_counter()
            for seed in range(20):
                x = np.random.default_rng(seed).random((n, 2))
                d = np.linalg.norm(x[:, None] - x, axis=2)
                result = ck.models.hopfield_tsp(d, restarts=restarts, method=method, seed=seed)
                rates.append(result.success_rate)
                if result.valid.any():
                    best = shortest(d)
                    means.append(result.lengths[result.valid].mean() / best)
                    bests.append(result.length / best)
            seconds = (time.perf_counter() - start) / 20
            found = sum(b < 1 + 1e-9 for b in bests)
            mean = f"{np.mean(means):.3f}" if means else "-"
            worst = f"{max(bests):.3f}" if bests else "-"
            rows.append(
                f"{method} | {n} | {np.mean(rates):.1%} | {min(rates):.0%} | {mean} | "
                f"{found} of 20 | {worst} | {seconds:.2f}"
            )
    columns = (
        "method | cities | valid tours | fewest, of an instance | mean length / optimum | "
        "optimum found | worst best / optimum | seconds"
    )
    return (
        "## Travelling salesman\n\n20 instances of random cities in a unit square (seeds 0 to 19), "
        "50 starts each, 20 by the method and the parameters of Hopfield and Tank (1985); the "
        "optimum is the best of all tours. Lengths are of valid tours.\n\n" + table(columns, rows)
    )


def queens() -> str:
    """Boards from 4 x 4 to 8 x 8."""
    rows = []
    for n, there in QUEENS.items():
        start = time.perf_counter()
        rates = []
        solutions: set[tuple[int, ...]] = set()
        for seed in range(5):
            result = ck.models.hopfield_queens(n, restarts=200, seed=seed)
            rates.append(result.success_rate)
            solutions |= {tuple(s) for s in result.solutions.tolist()}
        each = ", ".join(f"{r:.1%}" for r in rates)
        seconds = (time.perf_counter() - start) / 5
        rows.append(
            f"{n} | {np.mean(rates):.1%} | {each} | {len(solutions)} of {there} | {seconds:.2f}"
        )
    columns = "n | starts that end in a solution | of each seed | solutions found | seconds a seed"
    return (
        "## Queens\n\n200 starts for each of the seeds 0 to 4. Where one start in five succeeds, "
        "all of 50, the default, fail once in 70,000 times.\n\n" + table(columns, rows)
    )


def digits() -> str:
    """Noisy digits, cleaned by each storage rule."""
    (x, y), _ = ck.datasets.digits.load_data(size=16)
    rng = np.random.default_rng(0)
    rows = []
    for per_class in (1, 3):
        chosen = np.concatenate([np.flatnonzero(y == k)[:per_class] for k in range(10)])
        patterns = np.where(x[chosen].reshape(len(chosen), -1) > 100, 1, -1)
        for rule in ("hebb", "storkey", "pseudo_inverse"):
            network = ck.models.Hopfield(256, rule)
            network.store(patterns)
            cells = []
            for noise in (0.05, 0.1, 0.2):
                many = np.repeat(patterns, 20, axis=0)
                noisy = np.where(rng.random(many.shape) < noise, -many, many)
                states = network.recall(noisy).states
                right = (states == many).all(axis=1).mean()
                cells.append(f"{(states != many).mean():.2%} wrong, {right:.0%} exact")
            rows.append(f"{len(patterns)} | {rule} | " + " | ".join(cells))
    columns = "digits | rule | 5 % noise | 10 % noise | 20 % noise"
    return (
        "## Digits cleaned\n\nHandwritten digits of the package as 16 x 16 bitmaps (the first of "
        "each class, or the first three), pixels flipped at random, 20 noisy copies of each, "
        "asynchronous recall, seed 0. Shares of pixels that are wrong after recall, and of copies "
        "restored exactly. Digits are alike (their overlaps are far from 0), which is why Hebb's "
        "rule fails.\n\n" + table(columns, rows)
    )


def main() -> None:
    without_blas_limits()
    ck.set_num_threads(1)
    title = head("Hopfield networks")
    start = time.perf_counter()
    sections = []
    for section in (bit_errors, overlaps, descent, tours, queens, digits):
        sections.append(section())
        print(f"{sections[-1]}\n\n({time.perf_counter() - start:.0f} s)\n", flush=True)
    seconds = time.perf_counter() - start
    duration = f"{seconds:.0f} seconds in all, one thread in convkit's kernels."
    write_report("hopfield", [*title, duration, *sections])


if __name__ == "__main__":
    main()
