"""A chaotic series foretold: that of Mackey and Glass (Science 197, 1977).

A GRU sees 30 values and gives the next 12. Beside it stand the two forecasts that it has to beat:
the last value for ever, and the best linear combination of the 30 (least squares).
"""

from __future__ import annotations

import numpy as np

import convkit as ck

STEPS, HORIZON = 30, 12


def mackey_glass(n: int, delay: int = 17) -> np.ndarray:
    """Values of dx/dt = 0.2 x(t - delay) / (1 + x(t - delay)^10) - 0.1 x, standardised."""
    settled = 300
    x = np.full(n + settled, 1.2)
    for t in range(delay, len(x) - 1):
        x[t + 1] = 0.9 * x[t] + 0.2 * x[t - delay] / (1 + x[t - delay] ** 10)
    x = x[settled:]
    return (x - x.mean()) / x.std()


def main(epochs: int = 12) -> dict[str, float]:
    """Train, and print the root mean squared error of each forecast of values not seen.

    Returns
    -------
    dict of str to float
    """
    ck.set_seed(0)
    values = mackey_glass(1500).astype(np.float32)
    # Every stretch of the series: what is known, and what is to come.
    stretches = np.lib.stride_tricks.sliding_window_view(values, STEPS + HORIZON)
    train, test = stretches[:1100], stretches[1100 + STEPS :]
    x, y, x_test, y_test = (
        a[..., None] for part in (train, test) for a in np.split(part, [STEPS], axis=1)
    )
    model = ck.models.forecaster(STEPS, 1, units=24, cell="gru", horizon=HORIZON)
    model.compile(ck.optimizers.Adam(0.01), "mse")
    model.fit(x, y, batch_size=32, epochs=epochs, verbose=0)

    def with_one(x: np.ndarray) -> np.ndarray:
        return np.hstack([x[..., 0], np.ones((len(x), 1))])

    weights = np.linalg.lstsq(with_one(x), y[..., 0], rcond=None)[0]
    forecasts = {
        "last value": np.repeat(x_test[:, -1:], HORIZON, axis=1),
        "linear": (with_one(x_test) @ weights)[..., None],
        "gru": model.predict(x_test, verbose=0),
    }
    errors = {}
    for name, forecast in forecasts.items():
        errors[name] = float(np.sqrt(((forecast - y_test) ** 2).mean()))
        print(f"{name:10} error {errors[name]:.3f}")
    return errors


if __name__ == "__main__":
    main()
