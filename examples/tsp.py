"""Find a short tour through eight cities with a continuous Hopfield network.

Run as ``python examples/tsp.py``; takes a second.
"""

from __future__ import annotations

import itertools

import numpy as np

import convkit as ck


def main() -> float:
    """Compare the network's tours with the best of all 5,040.

    Returns
    -------
    float
        The length of the shortest in units of the best of all.
    """
    cities = np.random.default_rng(0).random((8, 2))
    distances = np.linalg.norm(cities[:, None] - cities, axis=2)

    result = ck.models.hopfield_tsp(distances, restarts=20, seed=0)
    print(f"{result.valid.sum()} of {len(result.valid)} starts ended in a tour")
    print(f"shortest: {result.length:.4f}, cities {result.tour}")

    rest = np.array(list(itertools.permutations(range(1, 8))))
    tours = np.insert(rest, 0, 0, axis=1)
    lengths = distances[tours, np.roll(tours, -1, axis=1)].sum(axis=1)
    print(f"optimum:  {lengths.min():.4f}, median of all tours {np.median(lengths):.4f}")
    return float(result.length / lengths.min())


if __name__ == "__main__":
    main()
