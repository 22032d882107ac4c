"""A network that writes: it reads a nursery rhyme letter by letter and learns what comes next.

The text is learnt by heart, so that what is written at a low temperature is the rhyme itself, and
at a high one a confusion of it.
"""

from __future__ import annotations

import numpy as np

import convkit as ck

RHYME = """This is the house that Jack built.
This is the malt that lay in the house that Jack built.
This is the rat that ate the malt that lay in the house that Jack built.
This is the cat that killed the rat that ate the malt that lay in the house that Jack built.
This is the dog that worried the cat that killed the rat that ate the malt that lay in the house.
"""
STEPS = 30


def main(epochs: int = 20) -> str:
    """Train a GRU of 48 units and let it write.

    Returns
    -------
    str
        What it wrote at temperature 0.3.
    """
    ck.set_seed(0)
    vocabulary = "".join(sorted(set(RHYME)))
    numbers = np.array([vocabulary.index(letter) for letter in RHYME])
    # Every piece of 30 letters, and the letters one further on.
    pieces = np.lib.stride_tricks.sliding_window_view(numbers, STEPS + 1)
    x, y = pieces[:, :-1], pieces[:, 1:]
    model = ck.models.char_rnn(len(vocabulary), "gru", units=48, steps=STEPS)
    model.compile(
        ck.optimizers.Adam(0.01, global_clipnorm=5),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)
    print(f"{history.history['accuracy'][-1]:.1%} of the next letters foretold")
    written = {}
    for temperature in (0.3, 1.5):
        written[temperature] = ck.models.generate(
            model, "This is the ", 120, temperature, seed=1, vocabulary=vocabulary
        )
        print(f"\nat temperature {temperature}:\nThis is the {written[temperature]}")
    return written[0.3]


if __name__ == "__main__":
    main()
