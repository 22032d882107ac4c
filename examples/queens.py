"""Place eight queens with a continuous Hopfield network of 64 neurons.

Run as ``python examples/queens.py``; takes a second.
"""

from __future__ import annotations

import convkit as ck


def main() -> list[list[int]]:
    """Anneal 30 boards side by side and show a solution.

    Returns
    -------
    list of list of int
        The solutions: for each row, the column of its queen.
    """
    result = ck.models.hopfield_queens(8, restarts=30, seed=0)
    print(f"{result.valid.sum()} of {len(result.valid)} starts ended in a solution,")
    print(f"{len(result.solutions)} of them different. One is:")
    for column in result.solutions[0]:
        print(" ".join("Q" if k == column else "." for k in range(8)))
    solutions: list[list[int]] = result.solutions.tolist()
    return solutions


if __name__ == "__main__":
    main()
