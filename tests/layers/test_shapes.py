"""Output shapes, and errors where shapes do not fit."""

import pytest

import convkit as ck
from convkit import layers

IMAGE = (28, 28, 1)


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (lambda: layers.Conv2D(32, 3), IMAGE, (26, 26, 32)),
        (lambda: layers.Conv2D(32, (3, 5)), IMAGE, (26, 24, 32)),
        (lambda: layers.Conv2D(6, 5, padding="same"), IMAGE, (28, 28, 6)),
        (lambda: layers.Conv2D(6, 5, padding="SAME", strides=2), IMAGE, (14, 14, 6)),
        (lambda: layers.Conv2D(6, 5, padding=2), IMAGE, (28, 28, 6)),
        (lambda: layers.Conv2D(6, 5, padding=(2, 0)), IMAGE, (28, 24, 6)),
        (lambda: layers.Conv2D(6, 3, dilation_rate=2), IMAGE, (24, 24, 6)),
        (lambda: layers.Conv2D(6, 3, groups=3), (8, 8, 3), (6, 6, 6)),
        (lambda: layers.MaxPooling2D(), IMAGE, (14, 14, 1)),
        (lambda: layers.MaxPooling2D(3, strides=2), IMAGE, (13, 13, 1)),
        (lambda: layers.AveragePooling2D((3, 3), padding="same"), IMAGE, (10, 10, 1)),
        (lambda: layers.GlobalAveragePooling2D(), (5, 5, 7), (7,)),
        (lambda: layers.GlobalMaxPooling2D(keepdims=True), (5, 5, 7), (1, 1, 7)),
        (lambda: layers.Flatten(), IMAGE, (784,)),
        (lambda: layers.Reshape((7, -1)), IMAGE, (7, 112)),
        (lambda: layers.Dense(10), (4, 3), (4, 10)),
        (lambda: layers.Dropout(0.5), IMAGE, IMAGE),
        (lambda: layers.Rescaling(1 / 255), IMAGE, IMAGE),
        (lambda: layers.Softmax(), (3,), (3,)),
    ],
)
def test_output_shape(layer, shape, expected):
    assert layer()(ck.Input(shape)).shape == (None, *expected)


def test_merging():
    a, b = ck.Input((4, 4, 2)), ck.Input((4, 4, 3))
    assert layers.concatenate([a, b]).shape == (None, 4, 4, 5)
    assert layers.concatenate([a, a], axis=1).shape == (None, 8, 4, 2)
    assert layers.add([a, a, a]).shape == (None, 4, 4, 2)
    with pytest.raises(ValueError, match=r"\(Add\): .*they must be equal"):
        layers.add([a, b])
    with pytest.raises(ValueError, match="not the batch axis, got 0"):
        layers.concatenate([a, b], axis=0)
    with pytest.raises(ValueError, match="at least two inputs"):
        layers.add([a])


@pytest.mark.parametrize(
    ("shape", "kernel"), [((28, 28, 3), (5, 5, 3, 8)), ((28, 28, 4), (5, 5, 4, 8))]
)
def test_weights_of_a_convolution(shape, kernel):
    layer = layers.Conv2D(8, 5)
    layer(ck.Input(shape))
    assert [(p.name, p.shape) for p in layer.parameters] == [("kernel", kernel), ("bias", (8,))]


def test_weights_of_a_grouped_convolution():
    layer = layers.Conv2D(8, 5, groups=2, use_bias=False)
    layer(ck.Input((28, 28, 4)))
    assert [(p.path, p.shape) for p in layer.weights] == [(f"{layer.name}.kernel", (5, 5, 2, 8))]


def test_a_convolution_after_dense_is_refused_when_it_is_added():
    model = ck.Sequential([layers.Flatten(input_shape=IMAGE), layers.Dense(64)])
    with pytest.raises(ValueError) as error:
        model.add(layers.Conv2D(32, 3, name="conv2d_1"))
    assert str(error.value) == (
        "layer 'conv2d_1' (Conv2D) expects rank 4 input (N, H, W, C), got (None, 64); a Flatten or "
        "Dense before it removed the image axes: put Conv2D layers before Flatten"
    )
    assert len(model.layers) == 2
    model.add(layers.Dense(10))
    assert model.output_shape == (None, 10)


def test_an_image_without_channels_is_refused():
    with pytest.raises(ValueError, match=r"got \(None, 28, 28\); add the channel axis"):
        ck.Sequential([layers.Conv2D(32, 3, input_shape=(28, 28))])


def test_a_window_that_does_not_fit_names_the_smallest_image():
    with pytest.raises(ValueError, match=r"'big' \(Conv2D\): .*smallest image it fits is 9 x 9"):
        layers.Conv2D(1, 9, name="big")(ck.Input((4, 4, 1)))
    with pytest.raises(ValueError, match=r"layer 'pool' \(MaxPooling2D\): .*is 2 x 2"):
        layers.MaxPooling2D(name="pool")(ck.Input((1, 1, 1)))


def test_a_shared_convolution_refuses_other_channels():
    layer = layers.Conv2D(6, 5, name="c1")
    layer(ck.Input((32, 32, 1)))
    with pytest.raises(ValueError, match=r"'c1' \(Conv2D\) has weights for 1 channels, got 3"):
        layer(ck.Input((32, 32, 3)))
    with pytest.raises(ValueError, match="did you pass channels-first data"):
        layer(ck.Input((1, 32, 32)))


@pytest.mark.parametrize("kind", [lambda **k: layers.Conv2D(6, 5, **k), layers.MaxPooling2D])
def test_channels_first_is_refused_with_a_way_out(kind):
    kind(data_format="channels_last")
    with pytest.raises(ValueError, match="move the channels once with"):
        kind(data_format="channels_first")


def test_groups_must_divide():
    with pytest.raises(ValueError, match="groups=3 must divide filters=4"):
        layers.Conv2D(4, 3, groups=3)
    with pytest.raises(ValueError, match="groups=2 must divide the 3 channels"):
        layers.Conv2D(4, 3, groups=2)(ck.Input((8, 8, 3)))


def test_padding_has_known_forms():
    with pytest.raises(ValueError, match=r"layer .*padding must be .*got 'full'"):
        layers.Conv2D(4, 3, padding="full")(ck.Input((8, 8, 3)))


def test_reshape_keeps_the_number_of_values():
    with pytest.raises(ValueError, match=r"cannot reshape \(28, 28, 1\) \(784 values\)"):
        layers.Reshape((10, 10))(ck.Input(IMAGE))


def test_rescaling_comes_first():
    with pytest.raises(ValueError, match="must come directly after the input"):
        ck.Sequential([layers.Flatten(input_shape=IMAGE), layers.Rescaling(1 / 255)])


@pytest.mark.parametrize("units", [0, -1, 2.5, "3", None])
def test_units_must_be_a_positive_integer(units):
    with pytest.raises(ValueError, match="units must be a positive integer"):
        layers.Dense(units)


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_dropout_rate(rate):
    with pytest.raises(ValueError, match="rate must be from 0 to less than 1"):
        layers.Dropout(rate)
