"""AlexNet and VGG, by their parameter counts, shapes and work."""

import numpy as np
import pytest

import convkit as ck
from convkit import layers, models
from convkit.models.summary import lines


def macs(model):
    (line,) = (line for line in lines(model) if line.startswith(" MACs:"))
    return int(line.split()[1].replace(",", ""))


def shapes(model, kind):
    return [c.outputs[0].shape[1:] for c in model.calls if isinstance(c.layer, kind)]


@pytest.mark.parametrize(
    ("variant", "parameters", "work"),
    [
        ("2012", 60_965_224, 724_406_816),
        ("one-tower", 62_378_344, 1_135_256_096),
        ("torchvision", 61_100_840, 714_188_480),
        ("cifar", 5_674_826, 137_984_000),
    ],
)
def test_alexnet_counts(variant, parameters, work):
    model = models.alexnet(variant)
    assert model.count_params() == parameters
    assert macs(model) == work


def test_alexnet_2012_is_the_papers():
    model = models.alexnet()
    assert model.input_shape == (None, 227, 227, 3)
    assert shapes(model, layers.Conv2D) == [
        (55, 55, 96), (27, 27, 256), (13, 13, 384), (13, 13, 384), (13, 13, 256),
    ]  # fmt: skip
    assert shapes(model, layers.MaxPooling2D) == [(27, 27, 96), (13, 13, 256), (6, 6, 256)]
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert [layer.groups for layer in convolutions] == [1, 2, 1, 2, 2]
    each = {"conv1": 34_944, "conv2": 307_456, "conv3": 885_120, "conv4": 663_936,
            "conv5": 442_624, "fc6": 37_752_832, "fc7": 16_781_312, "fc8": 4_097_000}  # fmt: skip
    assert {name: model.get_layer(name).count_params() for name in each} == each
    (norm, _) = (n for n in model.layers if isinstance(n, layers.LocalResponseNormalization))
    assert (norm.k, norm.alpha, norm.beta, norm.size) == (2.0, 1e-4, 0.75, 5)
    order = [type(layer).__name__ for layer in model.layers]
    assert order[:3] == ["Conv2D", "LocalResponseNormalization", "MaxPooling2D"]
    assert order.count("Dropout") == 2


# Table 2 of the paper, in millions: 133, 133, 138 and 144.
@pytest.mark.parametrize(
    ("build", "parameters", "convolutions"),
    [
        (models.vgg11, 132_863_336, 8),
        (models.vgg13, 133_047_848, 10),
        (models.vgg16, 138_357_544, 13),
        (models.vgg19, 143_667_240, 16),
    ],
)
def test_vgg_counts(build, parameters, convolutions):
    model = build()
    assert model.count_params() == parameters
    assert len(shapes(model, layers.Conv2D)) == convolutions
    assert shapes(model, layers.MaxPooling2D) == [
        (112, 112, 64), (56, 56, 128), (28, 28, 256), (14, 14, 512), (7, 7, 512),
    ]  # fmt: skip


def test_vgg16_work():
    assert macs(models.vgg16()) == 15_470_264_320


def test_vgg16_without_its_top():
    model = models.vgg16(include_top=False)
    assert model.count_params() == 14_714_688
    assert model.output_shape == (None, 7, 7, 512)
    assert models.vgg16(include_top=False, input_shape=(64, 96, 1)).output_shape == (
        None,
        2,
        3,
        512,
    )


def test_vgg16_cifar():
    model = models.vgg16("cifar")
    convolutions = 14_714_688 - 4_224  # batch normalisation stands in for the biases
    normalisation = 4 * (4_224 + 512)
    assert model.count_params() == convolutions + normalisation + 512 * 512 + 5_130
    plain = models.vgg16("cifar", batch_norm=False)
    assert plain.count_params() == 14_714_688 + 513 * 512 + 5_130
    # The convolutions see images with a 49th of the pixels.
    in_full_size = 15_470_264_320 - (25_088 + 4_096 + 1_000) * 4_096
    assert macs(plain) == macs(model) == in_full_size // 49 + 512 * 512 + 5_120


@pytest.mark.parametrize("build", [lambda: models.alexnet("cifar"), lambda: models.vgg11("cifar")])
def test_a_training_step_of_the_small_ones(build):
    ck.set_seed(0)
    model = build()
    model.compile(ck.optimizers.SGD(1e-3, momentum=0.9), "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).standard_normal((8, 32, 32, 3)).astype(np.float32)
    y = np.arange(8)
    losses = model.fit(x, y, batch_size=8, epochs=12, verbose=0).history["loss"]
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])


def test_gradients_of_alexnet_in_full_size():
    """Along the gradient of each layer, all 61 million weights, the loss changes by its square."""
    ck.set_seed(0)
    full = models.alexnet("2012")
    kept = [layer for layer in full.layers if not isinstance(layer, layers.Dropout)]
    model = ck.Sequential([ck.Input(full.input_shape[1:]), *kept])
    assert model.count_params() == 60_965_224
    rate = 1e-5
    model.compile(ck.optimizers.SGD(rate), "sparse_categorical_crossentropy", keep_grads=True)
    x = np.random.default_rng(0).standard_normal((1, 227, 227, 3)).astype(np.float32)
    y = np.array([7])
    loss = model.train_on_batch(x, y)
    g = model.store.gradients
    assert loss - model.test_on_batch(x, y) == pytest.approx(rate * np.vdot(g, g), rel=0.01)
    model.store.parameters[...] += rate * g  # back to where g was taken
    for layer in model.layers:
        pairs = [(model.store.view(p), model.store.gradient(p)) for p in layer.weights]
        if not pairs:
            continue
        square = sum(float(np.vdot(g, g)) for _, g in pairs)
        losses = []
        for step in (0.02, -0.04, 0.02):  # up, as much down, and back
            for weight, g in pairs:
                weight += np.float32(step / square) * g
            losses.append(model.test_on_batch(x, y))
        assert losses[0] - losses[1] == pytest.approx(0.04, rel=0.01), layer.name
    np.testing.assert_allclose(model.predict(x, verbose=0).sum(), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.alexnet("2021"), "unknown variant '2021'; did you mean '2012'"),
        (lambda: models.alexnet(input_shape=(32, 32, 3)), "pool"),
        (lambda: models.vgg16("cifar10"), "unknown variant 'cifar10'; did you mean 'cifar'"),
        (lambda: models.vgg16(input_shape=(16, 16, 3)), "at least 32 x 32"),
        (lambda: models.vgg16(input_shape=(224, 224)), r"expected \(H, W, C\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
