"""A convolutional and a recurrent network in one: where does the spot go?

Films of five noisy frames show a spot that moves up, down, left or right. No frame alone tells the
way, and the place of the spot says nothing about it: a small convolutional network looks at every
frame, an LSTM at what it says, and both are trained together.
"""

from __future__ import annotations

import numpy as np

import convkit as ck

SIZE, FRAMES = 10, 5
WAYS = np.array([(-1, 0), (1, 0), (0, -1), (0, 1)])


def films(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """So many films (n, frames, size, size, 1), and the numbers of their ways."""
    rng = np.random.default_rng(seed)
    way = rng.integers(0, 4, n)
    x = 0.2 * rng.standard_normal((n, FRAMES, SIZE, SIZE, 1))
    place = rng.integers(0, SIZE, (n, 2))
    for frame in range(FRAMES):
        row, column = ((place + frame * WAYS[way]) % SIZE).T  # it comes back on the other side
        x[np.arange(n), frame, row, column, 0] += 1
    return x.astype(np.float32), way


def main(epochs: int = 10) -> float:
    """Train, and print the accuracy on films that it has not seen.

    Returns
    -------
    float
    """
    ck.set_seed(0)
    (x, y), (x_test, y_test) = films(800, seed=1), films(500, seed=2)
    model = ck.models.cnn_rnn((FRAMES, SIZE, SIZE, 1), classes=4, filters=(8,), units=32)
    model.compile(ck.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.summary()
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    accuracy = float(model.evaluate(x_test, y_test, verbose=0)[1])
    print(f"accuracy {accuracy:.1%}; one in four would be chance")
    return accuracy


if __name__ == "__main__":
    main()
