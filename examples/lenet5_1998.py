"""LeNet-5 as it was in 1998, on small digits: 60,000 parameters, and bitmaps as output codes.

Run as ``python examples/lenet5_1998.py``.
"""

import numpy as np

import convkit as ck


def picture(code: np.ndarray) -> list[str]:
    """A code of 84 values as 12 rows of 7 characters; ink where it is positive."""
    return ["".join("#" if v > 0 else "." for v in row) for row in code.reshape(12, 7)]


def main() -> float:
    """Train, and print what the network sees in four digits.

    Returns
    -------
    float
        The accuracy on the test images.
    """
    ck.set_seed(0)
    (x, y), (x_test, y_test) = ck.datasets.digits.load_data(size=28)
    # The paper's scale: -0.1 for the background, 1.175 for ink, and a border of background.
    x, x_test = (
        np.pad(a / 255 * 1.275 - 0.1, ((0, 0), (2, 2), (2, 2)), constant_values=-0.1)
        for a in (x, x_test)
    )
    model = ck.models.lenet5(variant="1998")
    model.summary()
    # Equation 9 of the paper: the penalty of the right class against those of the others.
    model.compile(ck.optimizers.SGD(0.005), loss="discriminative_map", metrics=["accuracy"])
    model.fit(x, y, epochs=6, batch_size=16, verbose=0)
    loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
    print(f"loss {loss:.3f}, {accuracy:.1%} of the test images")

    # The layer before the output draws what it sees: compare it with the codes of the digits.
    f6 = ck.Model(model.inputs, model.calls[-2].outputs[0])
    codes = model.layers[-1].initial_codes
    some = [int(np.flatnonzero(y_test == digit)[0]) for digit in (2, 3, 5, 8)]
    seen = [picture(row) for row in f6.predict(x_test[some], verbose=0)]
    wanted = [picture(codes[digit]) for digit in y_test[some]]
    print("what F6 draws of a 2, a 3, a 5 and an 8, and their codes:")
    for rows in zip(*seen, *wanted, strict=True):
        print("  ".join(rows))
    return float(accuracy)


if __name__ == "__main__":
    main()
