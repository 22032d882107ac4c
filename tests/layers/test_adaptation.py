"""CORAL, MMD, gradient reversal and auxiliary losses: what they add, and to whose gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit import layers
from convkit.ops.registry import Array

RNG = np.random.default_rng(0)
XS = RNG.standard_normal((40, 6)).astype(np.float32)
XT = (2 * RNG.standard_normal((40, 6)) + 1).astype(np.float32)
Y = np.arange(40) % 3


class Pair:
    """A base and a head, called on a source and a target."""

    def __init__(self) -> None:
        ck.set_seed(2)
        self.source, self.target = ck.Input((6,)), ck.Input((6,))
        base, self.head = layers.Dense(5, "tanh"), layers.Dense(3, "softmax")
        self.fs, self.ft = base(self.source), base(self.target)
        self.classes = self.head(self.fs)

    def trainer(self, output: Any) -> ck.Model:
        model = ck.Model([self.source, self.target], output)
        model.compile(ck.optimizers.SGD(0.2), "sparse_categorical_crossentropy")
        return model

    def features(self) -> tuple[Array, Array]:
        return tuple(
            ck.Model(x, f).predict(data, verbose=0)
            for x, f, data in ((self.source, self.fs, XS), (self.target, self.ft, XT))
        )


DISTANCES = {
    "coral": layers.CORAL,
    "mmd": lambda weight, **kw: layers.MMD(weight, width=2.0, **kw),
}


@pytest.mark.parametrize("kind", DISTANCES)
@pytest.mark.parametrize("through", [False, True])
def test_a_distance_is_a_term_of_the_loss(kind: str, through: bool) -> None:
    pair = Pair()
    layer = DISTANCES[kind](3.0, name="apart")
    if through:
        output = layer([pair.classes, pair.fs, pair.ft])
    else:
        output = pair.head(layer([pair.fs, pair.ft]))
    model = pair.trainer(output)
    fs, ft = pair.features()
    model.build()
    expected = 3 * ck.ops.domain_distance(fs, ft, kind, width=2.0 if kind == "mmd" else 0.0)
    logs = model.evaluate([XS, XT], Y, batch_size=40, verbose=0, return_dict=True)
    assert logs["apart"] == pytest.approx(expected, rel=1e-5)
    assert logs["loss"] == pytest.approx(logs["error"] + logs["apart"], rel=1e-6)
    report = ck.testing.check_gradients(model, [XS[:9], XT[:9]], Y[:9])
    assert report.passed, report
    assert ck.testing.compare(model, [XS, XT], Y).agrees
    before = ck.ops.domain_distance(fs, ft, kind)
    model.fit([XS, XT], Y, epochs=30, verbose=0)
    assert ck.ops.domain_distance(*pair.features(), kind) < 0.5 * before
    predictor = ck.Model(pair.source, pair.classes)
    np.testing.assert_allclose(
        predictor.predict(XS, verbose=0), model.predict([XS, XT], verbose=0), atol=1e-6
    )


def test_a_weight_of_zero_changes_nothing() -> None:
    results = []
    for weight in (0.0, None):
        pair = Pair()
        output = pair.classes
        if weight is not None:
            output = layers.MMD(weight)([output, pair.fs, pair.ft])
            model, x = pair.trainer(output), [XS, XT]
        else:
            model, x = ck.Model(pair.source, output), XS
            model.compile(ck.optimizers.SGD(0.2), "sparse_categorical_crossentropy")
        model.fit(x, Y, epochs=3, shuffle=False, verbose=0)
        results.append(ck.Model(pair.source, pair.classes).get_weights())
    for p, q in zip(*results, strict=True):
        np.testing.assert_allclose(p, q, atol=1e-7)


def domain_losses(pair: Pair, strength: float, ramp: int = 0) -> Any:
    reversal = layers.GradientReversal(strength, ramp_steps=ramp)
    domain = layers.Dense(1, "sigmoid", name="domain")
    output = pair.classes
    for label, node in enumerate((pair.fs, pair.ft)):
        loss = layers.AuxiliaryLoss("binary_crossentropy", 0.5, target=label, name=f"domain{label}")
        output = loss([output, domain(reversal(node))])
    return output


def gradients(model: ck.Model, steps: int = 0) -> dict[str, Array]:
    """Of each weight, in the step after so many, all at rate 0."""
    model.compile(ck.optimizers.SGD(0.0), "sparse_categorical_crossentropy", keep_grads=True)
    model.fit([XS, XT], Y, batch_size=40, epochs=steps + 1, shuffle=False, verbose=0)
    return {p.path: model.store.gradient(p).copy() for p in model.parameters}


def test_reversal_changes_the_sign_for_the_base_alone() -> None:
    found = {}
    for strength in (0.0, 0.5, 1.0):
        layers.reset_names()
        found[strength] = gradients(domain_model(strength))
    base, head, domain = "dense.kernel", "dense_1.kernel", "domain.kernel"
    for strength in (0.5, 1.0):
        np.testing.assert_allclose(found[strength][domain], found[0.0][domain], rtol=1e-5)
        np.testing.assert_allclose(found[strength][head], found[0.0][head], rtol=1e-5)
    full = found[1.0][base] - found[0.0][base]
    assert np.abs(full).max() > 1e-3
    np.testing.assert_allclose(found[0.5][base] - found[0.0][base], full / 2, atol=1e-7)

    pair = Pair()  # without reversal
    output, plain = pair.classes, layers.Dense(1, "sigmoid", name="domain")
    for label, node in enumerate((pair.fs, pair.ft)):
        output = layers.AuxiliaryLoss("bce", 0.5, target=label)([output, plain(node)])
    forward = next(iter(gradients(pair.trainer(output)).values()))
    np.testing.assert_allclose(forward - found[0.0][base], -full, atol=1e-7)


def domain_model(strength: float, ramp: int = 0) -> ck.Model:
    pair = Pair()
    return pair.trainer(domain_losses(pair, strength, ramp))


def test_a_domain_head_learns_to_tell_them() -> None:
    pair = Pair()
    model = pair.trainer(domain_losses(pair, 0.0))
    history = model.fit([XS, XT], Y, epochs=60, verbose=0).history
    told = [a + b for a, b in zip(history["domain0"], history["domain1"], strict=True)]
    assert told[-1] < 0.9 * told[0]
    assert {"domain0", "domain1", "error", "loss"} <= set(history)


def test_an_auxiliary_loss_is_the_weighted_mean() -> None:
    pair = Pair()
    decoded = layers.Dense(6)(pair.fs)
    model = ck.Model(pair.source, layers.AuxiliaryLoss("mse", 0.25, name="decoded")(
        [pair.classes, decoded, pair.source]
    ))  # fmt: skip
    model.compile("sgd", "sparse_categorical_crossentropy")
    logs = model.evaluate(XS, Y, verbose=0, return_dict=True)
    errors = ck.Model(pair.source, decoded).predict(XS, verbose=0) - XS
    model.build()
    assert logs["decoded"] == pytest.approx(0.25 * (errors**2).mean(), rel=1e-5)
    report = ck.testing.check_gradients(model, XS[:8], Y[:8])
    assert report.passed, report


@pytest.mark.parametrize(
    ("loss", "target", "layer"),
    [
        ("sparse_categorical_crossentropy", 2, layers.Dense(4, "softmax")),
        ("mse", [0.5, -1.0], layers.Dense(2)),
        (ck.Loss(lambda t, p: ((p - t) ** 2).sum(-1), lambda t, p: 2 * (p - t)), 1.5,
         layers.Dense(2)),
    ],
    ids=["label", "values", "own"],
)  # fmt: skip
def test_constant_targets(loss: Any, target: Any, layer: Any) -> None:
    pair = Pair()
    output = layers.AuxiliaryLoss(loss, 0.7, target=target)([pair.classes, layer(pair.fs)])
    model = ck.Model(pair.source, output)
    model.compile("sgd", "sparse_categorical_crossentropy")
    report = ck.testing.check_gradients(model, XS[:8], Y[:8])
    assert report.passed, report


def test_masked_steps_do_not_count() -> None:
    x = RNG.standard_normal((6, 5, 3)).astype(np.float32)
    x[2:, 3:] = 0
    node = ck.Input((5, 3))
    steps = layers.GRU(4, return_sequences=True)(layers.Masking()(node))
    guess = layers.Dense(2)(steps)
    end = layers.Dense(3, "softmax")(layers.GRU(3)(steps))
    model = ck.Model(node, layers.AuxiliaryLoss("mse", 1.0, target=0.5, name="aux")([end, guess]))
    model.compile("sgd", "sparse_categorical_crossentropy")
    logs = model.evaluate(x, np.zeros(6, int), verbose=0, return_dict=True)
    errors = ((ck.Model(node, guess).predict(x, verbose=0) - 0.5) ** 2).mean(axis=2)
    model.build()
    counts = np.ones((6, 5), bool)
    counts[2:, 3:] = False
    assert logs["aux"] == pytest.approx(errors[counts].mean(), rel=1e-5)


@pytest.mark.parametrize("ramp", [0, 100])
def test_the_reversal_rises_with_the_optimizers_steps(ramp: int) -> None:
    base, found = "dense.kernel", {}
    for steps in (0, 50):
        layers.reset_names()
        found[steps] = gradients(domain_model(1.0, ramp), steps)[base]
    layers.reset_names()
    without = gradients(domain_model(0.0))[base]
    layers.reset_names()
    full = gradients(domain_model(1.0))[base] - without
    for steps, gradient in found.items():
        share = 2 / (1 + np.exp(-10 * steps / ramp)) - 1 if ramp else 1.0
        np.testing.assert_allclose(gradient - without, share * full, atol=1e-6)


X2, X3 = ck.Input((4,)), ck.Input((3,))
NLL = "sparse_categorical_crossentropy"


@pytest.mark.parametrize(
    ("message", "make"),
    [
        ("weight is -1, expected a number of at least 0", lambda: layers.CORAL(-1)),
        ("kernels is 4, expected an odd", lambda: layers.MMD(kernels=4)),
        ("width is -2", lambda: layers.MMD(width=-2)),
        (r"called on \[source features, target features\]", lambda: layers.CORAL()([X2])),
        ("they must be equal, as those of one base", lambda: layers.CORAL()([X2, X3])),
        ("strength is -1, expected a number of at least 0", lambda: layers.GradientReversal(-1)),
        ("ramp_steps must be a number of steps", lambda: layers.GradientReversal(ramp_steps=-1)),
        (r"\[value, prediction, target\], got 2", lambda: layers.AuxiliaryLoss("mse")([X2, X3])),
        ("they must be equal", lambda: layers.AuxiliaryLoss("mse")([X2, X3, X2])),
        ("nodes are not", lambda: layers.AuxiliaryLoss(NLL)([X2, X3, X3])),
        (
            "a label from 0 to 2 as target, got 3",
            lambda: layers.AuxiliaryLoss(NLL, target=3)([X2, X3]),
        ),
        ("does not fit predictions", lambda: layers.AuxiliaryLoss("mse", target=[1, 2])([X2, X3])),
        ("target must be finite", lambda: layers.AuxiliaryLoss("mse", target=np.nan)),
        ("unknown loss 'msee'; did you mean", lambda: layers.AuxiliaryLoss("msee", target=0)),
    ],
)  # fmt: skip
def test_arguments(message: str, make: Any) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_with_all_of_them_is_a_file(tmp_path: Path) -> None:
    pair = Pair()
    output = domain_losses(pair, 0.5, ramp=10)
    output = layers.CORAL(0.3)([output, pair.fs, pair.ft])
    output = layers.MMD(0.1, kernels=3)([output, pair.fs, pair.ft])
    model = pair.trainer(output)
    model.fit([XS, XT], Y, verbose=0)
    model.save(tmp_path / "model.convkit")
    loaded = ck.load_model(tmp_path / "model.convkit")
    for each in (model, loaded):
        each.fit([XS, XT], Y, shuffle=False, verbose=0)
    for p, q in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(p, q)
