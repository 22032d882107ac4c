"""Store ten handwritten digits in a Hopfield network and clean noisy copies of them.

Run as ``python examples/hopfield.py``; takes a second.
"""

from __future__ import annotations

import numpy as np

import convkit as ck


def show(*images: np.ndarray) -> str:
    """Images of -1 and 1 side by side, as text."""
    lines = []
    for y in range(0, images[0].shape[0], 2):  # characters are twice as high as wide
        lines.append("   ".join("".join(".#"[int(p > 0)] for p in image[y]) for image in images))
    return "\n".join(lines)


def main() -> dict[str, int]:
    """Recall with each storage rule.

    Returns
    -------
    dict of str to int
        How many of the ten digits are restored.
    """
    size = 16
    (x, y), _ = ck.datasets.digits.load_data(size=size)
    first = [int(np.flatnonzero(y == digit)[0]) for digit in range(10)]
    patterns = np.where(x[first].reshape(10, -1) > 100, 1, -1)
    rng = np.random.default_rng(0)
    noisy = np.where(rng.random(patterns.shape) < 0.15, -patterns, patterns)

    print(f"{size * size} neurons, 10 digits, 15 % of the pixels wrong")
    restored = {}
    for rule in ("hebb", "storkey", "pseudo_inverse"):
        network = ck.models.Hopfield(size * size, rule)
        network.store(patterns)
        run = network.recall(noisy)
        wrong = (run.states != patterns).mean()
        restored[rule] = int((run.states == patterns).all(axis=1).sum())
        print(
            f"{rule:>14}: {wrong:6.1%} of the pixels wrong, {restored[rule]} of 10 digits restored"
        )

    # Digits look alike, which Hebb's rule cannot cope with; the projection can.
    digit = 3
    print(f"\nstored, noisy and recalled by the pseudo-inverse, in {run.sweeps[digit]} sweeps:")
    images = (a[digit].reshape(size, size) for a in (patterns, noisy, run.states))
    print(show(*images))
    print("energy after each sweep:", np.round(run.energy[:, digit], 1)[: run.sweeps[digit] + 1])
    return restored


if __name__ == "__main__":
    main()
