"""Fuse: a maximum over windows into the convolution before it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import convkit as ck
from convkit.ops import registry
from convkit.ops.choosing import Policy
from convkit.program import fuse
from convkit.testing import compare
from program.graphs import calls, compiled, named

MAX = ck.layers.MaxPooling2D
NAMES = {"conv2d_pool": "cpu_implicit_gemm"}
FUSED = Policy(kernels=NAMES)  # whatever the cost model says of such small layers


def pooled(activation: Any = "relu", *, pool: Any = None, **options: Any) -> Any:
    conv = ck.layers.Conv2D(40, 3, activation=activation, padding="same", **options)
    return ck.Sequential([ck.Input((8, 9, 16)), conv, MAX(2) if pool is None else pool])


@pytest.mark.parametrize("kind", [None, "relu", "tanh", "sigmoid", "softplus", "leaky_relu"])
def test_a_maximum_goes_into_the_convolution_before_it(kind: Any) -> None:
    train, predict = compiled(pooled(kind)), compiled(pooled(kind), "predict")
    for program in (train, predict):
        assert named(program, "pool2d") == named(program, "conv2d") == []
        assert named(program, "activation", "forward") == []
        (i,) = named(program, "conv2d_pool", "forward")
        assert i.params["activation"] == (kind or "linear")
        assert (i.params["window_h"], i.params["pool_stride_w"], i.params["pad_top"]) == (2, 2, 1)
    (i,) = named(train, "conv2d_pool", "forward")
    assert i.outputs[1].spec.dtype == "uint8"
    assert "activation.backward_from_output" not in calls(train)
    assert len(named(train, "conv2d_pool", "backward_weight")) == 1
    assert named(train, "conv2d_pool", "backward_input") == []  # nobody wants that of the images
    (i,) = named(predict, "conv2d_pool", "forward")
    assert i.outputs[1] is None


@pytest.mark.parametrize("kind", ["gelu", "silu"])
def test_what_needs_its_input_backwards_is_pooled_in_predict_only(kind: str) -> None:
    assert named(compiled(pooled(kind)), "conv2d_pool") == []
    (i,) = named(compiled(pooled(kind), "predict"), "conv2d_pool")
    assert i.params["activation"] == kind


def test_padding_goes_in_first() -> None:
    layers = [ck.layers.ZeroPadding2D(2), ck.layers.Conv2D(40, 3), MAX(3, 2)]
    model = ck.Sequential([ck.Input((8, 9, 16)), *layers])
    program = compiled(model, "predict", policy=FUSED)
    (i,) = named(program, "conv2d_pool")
    assert i.params["pad_left"] == 2 and calls(program)[1:] == ["conv2d_pool.forward"]


@pytest.mark.parametrize(
    "pool",
    [
        ck.layers.AveragePooling2D(2),
        ck.layers.GlobalAveragePooling2D(),
        MAX(17, padding=8),  # more positions than a byte can number
    ],
    ids=["average", "global average", "large window"],
)
def test_other_poolings_stay(pool: Any) -> None:
    program = compiled(pooled(pool=pool), "predict")
    assert len(named(program, "pool2d")) == len(named(program, "conv2d")) == 1


def test_what_stands_between_keeps_them_apart() -> None:
    between = (ck.layers.LocalResponseNormalization(), ck.layers.Dropout(0.5))
    for layer in between:
        layers = [ck.layers.Conv2D(40, 3, activation="relu"), layer, MAX(2)]
        program = compiled(ck.Sequential([ck.Input((8, 9, 16)), *layers]))
        assert len(named(program, "pool2d", "max_forward")) == 1


def test_an_image_that_others_read_is_kept() -> None:
    x = ck.Input((8, 8, 16))
    image = ck.layers.Conv2D(40, 3, padding="same")(x)
    upsampled = ck.layers.UpSampling2D(2)(MAX(2)(image))
    for outputs in (ck.layers.Add()([image, upsampled]), [MAX(2)(image), image]):
        program = compiled(ck.Model(x, outputs), "predict")
        assert named(program, "conv2d_pool") == []
        assert len(named(program, "conv2d")) == 1


@pytest.mark.parametrize(
    ("op", "pass_name"),
    [("conv2d", "forward"), ("conv2d", "backward_weight"), ("pool2d", "max_backward")],
)
def test_kernels_of_a_user_are_not_passed_by(op: str, pass_name: str) -> None:
    reference = registry.get(op)[pass_name].reference
    registry.register(op, "mine", reference, pass_name=pass_name)
    try:
        assert named(compiled(pooled()), "conv2d_pool") == []
    finally:
        registry.unregister(op, "mine", pass_name=pass_name)
    assert named(compiled(pooled()), "conv2d_pool") != []


def test_a_call_that_only_the_naive_kernel_takes_stays_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = {key: list(rows) for key, rows in registry._rows.items()}
    for key in table:
        if key[0] == "conv2d_pool" and key[1] == "backward_weight":
            table[key] = [row for row in table[key] if row.name in ("cpu_naive", "reference")]
    monkeypatch.setattr(registry, "_rows", table)
    assert named(compiled(pooled()), "conv2d_pool") == []
    assert named(compiled(pooled(), "predict"), "conv2d_pool") != []


def network(kind: Any, pool: Any) -> Any:
    """Two pooled convolutions, so that every pass is there."""
    ck.set_seed(1)
    return ck.Sequential(
        [
            ck.Input((16, 14, 3)),
            ck.layers.Conv2D(20, 3, activation=kind, padding="same", name="first"),
            MAX(pool, 2),
            ck.layers.Conv2D(33, 3, activation=kind, name="second"),
            MAX(2),
            ck.layers.Flatten(),
            ck.layers.Dense(5, "softmax"),
        ]
    )


def data(n: int = 24) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, 16, 14, 3)).astype(np.float32), rng.integers(0, 5, n)


@pytest.mark.parametrize("pool", [2, 3])
@pytest.mark.parametrize("kind", [None, "relu", "tanh", "elu"])
def test_training_is_the_same(kind: Any, pool: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def trained() -> tuple[Any, Any, Any]:
        model = network(kind, pool)
        optimizer = ck.optimizers.SGD(0.01, momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy", kernels=NAMES)
        x, y = data()
        losses = model.fit(x, y, batch_size=8, epochs=3, verbose=0).history["loss"]
        return model, losses, model.predict(x, verbose=0)

    fused, losses, y = trained()
    assert len(named(fused.program("train", 8), "conv2d_pool")) == 5
    monkeypatch.setattr(
        fuse, "PATTERNS", tuple(p for p in fuse.PATTERNS if p is not fuse.pooling_into_conv2d)
    )
    plain, plain_losses, plain_y = trained()
    assert len(named(plain.program("train", 8), "pool2d")) == 4
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)
    np.testing.assert_allclose(y, plain_y, rtol=1e-4, atol=1e-6)
    for a, b in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("kind", ["relu", "tanh"])
def test_the_executors_agree(kind: str) -> None:
    model = network(kind, 3)
    model.compile("sgd", "sparse_categorical_crossentropy", kernels=NAMES)
    x, y = data(8)
    report = compare(model, x, y)
    assert report.agrees, str(report)
    assert "conv2d_pool" in str(model.program("train", 8))


def test_listing_and_flops() -> None:
    program = compiled(pooled(pool=MAX(3, 2, padding=1)))
    text = str(program)
    assert "; padding=1, window=3, pool_stride=2, pool_padding=1)" in text.replace(
        "window=3, padding=1", "padding=1, window=3"
    )
    (i,) = named(program, "conv2d_pool", "forward")
    n = i.inputs[0].spec.shape[0]
    z = n * 8 * 9 * 40
    assert i.flops == 2 * z * 9 * 16 + 9 * n * 4 * 5 * 40
    (i,) = named(program, "conv2d_pool", "backward_weight")
    assert i.flops == 2 * z * 9 * 16 + 2 * n * 4 * 5 * 40
