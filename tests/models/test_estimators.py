"""What the models without layers share."""

import numpy as np
import pytest

from convkit.models import KernelRidge, KMeans, RBFNetwork, estimators


@pytest.mark.parametrize("n", [0, 1, 8191, 8192, 8193, 20_000])
def test_blocks_have_each_row_once(n):
    blocks = list(estimators.row_blocks(n))
    rows = [i for block in blocks for i in range(block.start, block.stop)]
    assert rows == list(range(n))
    assert len(blocks) == -(-n // 8192)


def test_blocks_change_no_answer(monkeypatch):
    rng = np.random.default_rng(0)
    x, t = rng.standard_normal((50, 3)), rng.standard_normal(50)

    def answers():
        network = RBFNetwork(5, ridge=1e-2, seed=0).fit(x, t)
        ridge = KernelRidge(0.1, sigma=1.0).fit(x, t)
        return network.predict(x), ridge.predict(x), KMeans(4, seed=0).fit(x).labels_

    whole = answers()
    monkeypatch.setattr(estimators, "_ROWS", 7)
    for a, b in zip(whole, answers(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)
