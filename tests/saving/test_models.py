"""Saved models: the same layers, names, predictions and training, to the bit."""

import zipfile

import numpy as np
import pytest

import convkit as ck
from convkit import Input, layers
from convkit.saving import loading
from convkit.saving import model as saving
from convkit.saving.classes import Pieces, table
from convkit.saving.packing import Layers
from models.conftest import blobs, classifier, convnet, seeded  # noqa: F401
from saving.roundtrip import check, data, summary, through_a_file

IMAGE, SERIES, POINT = (8, 8, 4), (5, 3), (6,)
RNN = {
    "units": 4, "use_bias": True, "kernel_initializer": "he_normal", "return_sequences": True,
    "go_backwards": True, "truncate": 2,
}  # fmt: skip

# Every layer of ck.layers, with arguments other than the defaults, and a shape to try it on.
LAYERS = {
    "ELU": (lambda: layers.ELU(0.7), POINT),
    "GRU": (lambda: layers.GRU(**RNN, reset_after=False), SERIES),
    "LSTM": (lambda: layers.LSTM(**RNN, unit_forget_bias=False), SERIES),
    "RBF": (lambda: layers.RBF(3, 0.5, centers=np.ones((3, 6)), trainable_sigma=False), POINT),
    "Activation": (lambda: layers.Activation(ck.activations.leaky_relu.with_options(0.3)), POINT),
    "AveragePooling2D": (lambda: layers.AveragePooling2D(3, 2, "same"), IMAGE),
    "BatchNormalization": (lambda: layers.BatchNormalization(momentum=0.9, scale=False), IMAGE),
    "Bidirectional": (
        lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True), "sum"), SERIES
    ),
    "CategoryEncoding": (lambda: layers.CategoryEncoding(5, output_mode="one_hot"), (4,)),
    "Conv2D": (
        lambda: layers.Conv2D(
            4, (3, 2), 2, ((1, 1), (0, 1)), groups=2, activation=layers.LeakyReLU(0.2),
            kernel_regularizer=ck.regularizers.L1L2(1e-3, 1e-4), bias_initializer="ones",
        ), IMAGE,
    ),
    "Conv2D connections": (
        lambda: layers.Conv2D(3, 3, connections=np.tri(4, 3, dtype=bool)), IMAGE
    ),
    "Conv2DTranspose": (lambda: layers.Conv2DTranspose(2, 3, 2, "same", output_padding=1), IMAGE),
    "Cropping2D": (lambda: layers.Cropping2D(((1, 0), (2, 1))), IMAGE),
    "Dense": (
        lambda: layers.Dense(
            3, "tanh", use_bias=False,
            kernel_initializer=ck.initializers.VarianceScaling(2.0, "fan_out", seed=3),
        ), POINT,
    ),
    "DepthwiseConv2D": (lambda: layers.DepthwiseConv2D(3, depth_multiplier=2), IMAGE),
    "Dropout": (lambda: layers.Dropout(0.3, seed=5), POINT),
    "Embedding": (lambda: layers.Embedding(7, 3, mask_zero=True), (4,)),
    "EuclideanRBF": (
        lambda: layers.EuclideanRBF(2, np.ones((2, 6)), negate=True, activation="softmax"), POINT
    ),
    "EuclideanRBF trained": (lambda: layers.EuclideanRBF(2, np.ones((2, 6)), True), POINT),
    "Flatten": (lambda: layers.Flatten(), IMAGE),
    "GlobalAveragePooling2D": (lambda: layers.GlobalAveragePooling2D(keepdims=True), IMAGE),
    "GlobalMaxPooling2D": (lambda: layers.GlobalMaxPooling2D(), IMAGE),
    "LeakyReLU": (lambda: layers.LeakyReLU(alpha=0.2), POINT),
    "LocalResponseNormalization": (
        lambda: layers.LocalResponseNormalization(3, 1e-3, 0.5, 1.0, alpha_per="size"), IMAGE
    ),
    "Masking": (lambda: layers.Masking(-1.0), SERIES),
    "MaxPooling2D": (lambda: layers.MaxPooling2D((2, 3), padding="same"), IMAGE),
    "Permute": (lambda: layers.Permute((2, 1)), SERIES),
    "GradientReversal": (lambda: layers.GradientReversal(0.5, ramp_steps=9), POINT),
    "Normalization": (lambda: layers.Normalization(mean=[1, 2, 3], variance=[4, 5, 6]), SERIES),
    "RandomCrop": (lambda: layers.RandomCrop(5, 6, seed=3), IMAGE),
    "RandomFlip": (lambda: layers.RandomFlip("horizontal", seed=3), IMAGE),
    "RandomRotation": (lambda: layers.RandomRotation((-0.1, 0.2), "constant"), IMAGE),
    "RandomTranslation": (lambda: layers.RandomTranslation(0.1, (0.1, 0.2)), IMAGE),
    "RandomZoom": (lambda: layers.RandomZoom(0.1, fill_value=1.0), IMAGE),
    "ReLU": (lambda: layers.ReLU(negative_slope=0.1), POINT),
    "RepeatVector": (lambda: layers.RepeatVector(3), POINT),
    "Rescaling": (lambda: layers.Rescaling(0.5, 1.0), POINT),
    "Reshape": (lambda: layers.Reshape((2, -1)), POINT),
    "SeparableConv2D": (lambda: layers.SeparableConv2D(3, 3, activation="relu"), IMAGE),
    "SimpleRNN": (lambda: layers.SimpleRNN(3, "relu", recurrent_bias=True), SERIES),
    "Softmax": (lambda: layers.Softmax(), POINT),
    "Subsampling2D": (lambda: layers.Subsampling2D(), IMAGE),
    "TimeDistributed": (lambda: layers.TimeDistributed(layers.Dense(2, "relu")), SERIES),
    "TimeDistributed chain": (
        lambda: layers.TimeDistributed(
            ck.Sequential([layers.Dense(4), layers.TimeDistributed(layers.Dense(2))])
        ), (5, 2, 3),
    ),
    "UpSampling2D": (lambda: layers.UpSampling2D((2, 3), interpolation="nearest"), IMAGE),
    "ZeroPadding2D": (lambda: layers.ZeroPadding2D((1, 2)), IMAGE),
}  # fmt: skip
ELSEWHERE = {
    "Add", "AttachMask", "AuxiliaryLoss", "CORAL", "Concatenate", "Function", "InputLayer",
    "Lambda", "Layer", "MMD",
}  # fmt: skip


def test_every_layer_is_tried():
    kinds = {kind.__name__ for name, kind in table().items() if name.startswith("layers.")}
    assert kinds - ELSEWHERE == {name.partition(" ")[0] for name in LAYERS}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back(name, tmp_path):
    make, shape = LAYERS[name]
    made = check(ck.Sequential([Input(shape), make()]), tmp_path)
    assert made.layers[0].get_config()["name"] == made.layers[0].name


@pytest.mark.parametrize("name", LAYERS)
def test_from_config_makes_the_same_layer(name):
    make, shape = LAYERS[name]
    layer = make()
    config = layer.get_config()
    again = type(layer).from_config(config)
    np.testing.assert_equal(again.get_config(), config)
    assert again.name == layer.name and again is not layer
    x = data(ck.Sequential([Input(shape), layer]))
    one, other = (ck.Sequential([Input(shape), each]) for each in (layer, again))
    other.set_weights(one.get_weights())
    np.testing.assert_array_equal(one.predict(x, verbose=0), other.predict(x, verbose=0))


def test_layers_of_several_inputs(tmp_path):
    a, b = Input((3,), name="a"), Input((3,), name="b")
    sums = layers.Add()([layers.Dense(3)(a), b])
    model = ck.Model([a, b], [layers.Concatenate(axis=1)([sums, a]), sums, a])
    made = check(model, tmp_path)
    assert [node.name for node in made.inputs] == ["a", "b"] and len(made.outputs) == 3


def test_layers_that_add_to_the_loss(tmp_path):
    x, other = Input((4,)), Input((4,))
    head, features = layers.Dense(3, "softmax"), layers.Dense(5)
    y = head(features(x))
    y = layers.CORAL(0.5)([y, features(x), features(other)])
    y = layers.MMD(0.1, kernels=3)([y, features(x), features(other)])
    y = layers.AuxiliaryLoss("mse", 0.1)([y, layers.Dense(4)(features(x)), x])
    y = layers.AuxiliaryLoss(ck.losses.BinaryCrossentropy(from_logits=True), target=1.0)(
        [y, layers.Dense(1)(features(x))]
    )
    model = ck.Model([x, other], y)
    model.compile("sgd", "sparse_categorical_crossentropy")
    made = check(model, tmp_path)
    data = [np.random.default_rng(i).standard_normal((6, 4), "float32") for i in range(2)]
    one, two = (m.fit(data, np.arange(6) % 3, verbose=0).history for m in (model, made))
    assert one == two


def test_what_was_measured_before_there_was_a_shape(tmp_path):
    layer = layers.Normalization()
    layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    made = through_a_file(ck.Sequential([layer, layers.Flatten()]), tmp_path)
    assert made.predict(np.array([[3.0, 10.0]]), verbose=0).tolist() == [[1.0, -1.0]]


def test_shared_layers_stay_shared(tmp_path):
    x = Input((4,))
    shared = layers.Dense(4, "tanh")
    model = ck.Model(x, layers.add([shared(x), shared(shared(x))]))
    made = check(model, tmp_path)
    assert len(made.parameters) == 2 and made.calls[0].layer is made.calls[1].layer


def test_a_layer_that_is_also_inside_of_another_one_stays_shared(tmp_path):
    x, series = Input((3,)), Input((5, 3))
    shared = layers.Dense(2)
    model = ck.Model([x, series], [shared(x), layers.TimeDistributed(shared)(series)])
    made = check(model, tmp_path)
    assert len(made.parameters) == 2
    assert made.layers[-1].chain[0] is made.calls[0].layer


def test_nested_models_and_inference_calls(tmp_path):
    inner = ck.Sequential([Input((4,)), layers.BatchNormalization(), layers.Dense(4, "relu")])
    x = Input((4,))
    model = ck.Model(x, layers.Dense(2)(inner(inner(x), training=False)), name="outer")
    made = check(model, tmp_path)
    assert [call.inference for call in made.calls] == [c.inference for c in model.calls]
    assert sum(call.inference for call in made.calls) == 2


def test_recurrent_layers_with_states_masks_and_several_outputs(tmp_path):
    x, mask = Input((5, 3)), Input((5,))
    whole, *states = layers.LSTM(4, return_sequences=True, return_state=True)(x, mask=mask)
    after = layers.LSTM(4)(whole, initial_state=states)
    check(ck.Model([x, mask], [after, states[0]]), tmp_path)
    both = layers.Bidirectional(
        layers.GRU(3, return_sequences=True), backward_layer=layers.GRU(2, return_sequences=True,
        go_backwards=True), weights=None, name="two ways",
    )  # fmt: skip
    check(ck.Sequential([Input((5, 3)), layers.Masking(), both]), tmp_path)


def test_states_that_are_carried_on_are_saved(tmp_path):
    model = ck.Sequential([Input((5, 3), batch_size=2), layers.LSTM(4, stateful=True)])
    x = data(model)
    model.predict(x, verbose=0)
    made = through_a_file(model, tmp_path)
    np.testing.assert_array_equal(model.predict(x, verbose=0), made.predict(x, verbose=0))


@pytest.mark.parametrize(
    "make",
    [
        lambda: ck.models.mlp([(4, 4), 8, 3], activation="scaled_tanh", dropout=0.1),
        lambda: ck.models.lenet5(),
        lambda: ck.models.lenet5("caffe"),
        lambda: ck.models.lenet5("1998"),
        lambda: ck.models.alexnet("cifar"),
        lambda: ck.models.char_rnn(9, "lstm", 8, 2, 5, embedding=3, batch_size=4),
        lambda: ck.models.cnn_rnn((16, 16, 1), 3, (2, 3), 4),
        lambda: ck.models.forecaster(6, 2, 4, layers=2),
        lambda: ck.models.rnn_classifier("gru", 6, (5, 4), 3),
    ],
)
def test_the_networks_of_ck_models(make, tmp_path):
    check(make(), tmp_path)


@pytest.mark.parametrize("name", ck.models.names())
def test_the_configuration_of_every_network_by_name(name):
    """Without the weights, which are up to 550 MB."""
    model = ck.models.get(name)()
    packed, pieces, made = Layers({}), Pieces(), []
    config = {"class": type(model).__name__, "name": name, **saving._graph(model, packed)}
    for item in packed.packed:
        made.append(loading._layer(item, pieces, packed.arrays, made))
    made = loading._make(config, pieces, made)
    assert summary(made)[1:] == summary(model)[1:]


def test_models_without_a_shape_or_a_layer(tmp_path):
    model = ck.Sequential([layers.Dense(3, "relu"), layers.Dense(2)], name="bare")
    made = through_a_file(model, tmp_path)
    assert not made.inputs and [a.name for a in made.layers] == [a.name for a in model.layers]
    assert made.predict(np.ones((2, 4)), verbose=0).shape == (2, 2)
    assert through_a_file(ck.Sequential(), tmp_path).layers == []
    started = through_a_file(ck.Sequential([Input((3,))]), tmp_path)
    started.add(layers.Dense(2))
    assert started.output_shape == (None, 2)


def test_a_chain_can_be_changed_afterwards(tmp_path):
    made = through_a_file(classifier(), tmp_path)
    assert made.pop().name == "out"
    made.add(layers.Dense(5, name="more"))
    assert made.output_shape == (None, 5) and made.get_layer("hidden").built


# Pieces of one's own.


class Twice(layers.Layer):
    def __init__(self, factor=2, sizes=(1, 2), options=None, inner=None):
        super().__init__()
        self.times, self.sizes, self.options, self.inner_layer = factor, sizes, options, inner

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def emit(self, builder, inputs):
        value = inputs[0]
        for _ in range(self.times - 1):
            (value,) = builder.emit("add", "forward", [value, inputs[0]])
        return value


def cube(x):
    return x**3


def test_layers_and_functions_of_ones_own_are_passed_in(tmp_path):
    own = Twice(3, (4, [5, (6,)]), {"a": np.arange(3), "b": [1.5, None]}, layers.Dense(2))
    model = ck.Sequential([Input((4,)), own, layers.Lambda(cube, name="cube")])
    pieces = {"Twice": Twice, "cube": cube}
    made = check(model, tmp_path, custom_objects=pieces).layers[0]
    assert made.times == 3 and made.sizes == (4, [5, (6,)]) and type(made.sizes[1]) is list
    assert made.options["a"].tolist() == [0, 1, 2] and made.options["b"] == [1.5, None]
    assert made.inner_layer.units == 2 and made.name == own.name
    path = tmp_path / "model.convkit"
    with pytest.raises(
        ValueError, match=r"model.convkit.*class 'Twice'.*custom_objects=\{'Twice': T"
    ):
        ck.load_model(path)
    with pytest.raises(ValueError, match=r"function 'cube'.*\(given: Twice\)"):
        ck.load_model(path, custom_objects={"Twice": Twice})
    with pytest.raises(ValueError, match=r"custom_objects\['Twice'\] must be a class"):
        ck.load_model(path, custom_objects={**pieces, "Twice": cube})
    with pytest.raises(TypeError, match="custom_objects must be a dict"):
        ck.load_model(path, custom_objects=[Twice])


def square_plus(x):
    return (x + np.sqrt(x * x + 4)) / 2


def slope(x, y):
    return y / np.sqrt(x * x + 4)


def square(y_true, y_pred):
    return ((y_pred - y_true) ** 2).sum(-1)


def square_slope(y_true, y_pred):
    return 2 * (y_pred - y_true)


class Scale(layers.Function):
    def build(self, input_shape):
        self.add_weight("scale", (input_shape[-1],), "ones")

    def forward(self, x, scale):
        return x * scale

    def backward(self, dy, y, x, scale):
        return dy * scale, (dy * x).sum(axis=0)


def test_activations_losses_and_layers_in_numpy(tmp_path):
    own = ck.activations.CustomActivation(square_plus, slope)
    model = ck.Sequential([Input((4,)), layers.Dense(3, own), Scale(), layers.Activation(own)])
    model.compile("adam", ck.losses.CustomLoss(square, square_slope, name="mine"))
    x = np.random.default_rng(0).standard_normal((8, 4), "float32")
    model.fit(x, x[:, :3], verbose=0)
    own_pieces = {f.__name__: f for f in (square_plus, slope, square, square_slope, Scale)}
    made = check(model, tmp_path, custom_objects=own_pieces)
    one, two = (m.fit(x, x[:, :3], verbose=0).history for m in (model, made))
    assert one == two and made.loss.name == "mine"
    with pytest.raises(ValueError, match="needs the function 'square_plus'"):
        ck.load_model(tmp_path / "model.convkit")


def test_a_function_without_a_name_is_refused_when_saving(tmp_path):
    model = ck.Sequential([Input((4,)), layers.Lambda(lambda x: x * 2, name="twice")])
    with pytest.raises(
        TypeError, match=r"layer 'twice' \(Lambda\)\.function cannot be saved: it is a"
    ):
        model.save(tmp_path / "m.convkit")
    assert list(tmp_path.iterdir()) == []
    model.layers[0].function.__name__ = "twice"
    model.save(tmp_path / "m.convkit")


def test_a_class_may_say_itself_what_its_configuration_is(tmp_path):
    class Own(layers.Dense):
        def get_config(self):
            return {**super().get_config(), "units": "three"}

        @classmethod
        def from_config(cls, config, custom_objects=None):
            return super().from_config({**config, "units": 3})

    model = ck.Sequential(
        [Input((4,)), Own(3, kernel_initializer=ck.initializers.HeNormal(seed=2))]
    )
    made = check(model, tmp_path, custom_objects={"Own": Own})
    assert made.layers[0].units == 3 and made.layers[0].kernel_initializer.seed == 2


def test_models_of_ones_own_class(tmp_path):
    class Net(ck.Sequential):
        def __init__(self):
            super().__init__([Input((4,)), layers.Dense(3)])

    check(Net(), tmp_path, custom_objects={"Net": Net})
    with pytest.raises(ValueError, match="class 'Net'"):
        ck.load_model(tmp_path / "model.convkit")


def test_arguments_are_those_from_when_the_object_was_made():
    values = np.ones(3, "float32")
    sizes = [1, [2]]
    constant, own = ck.initializers.Constant(values), Twice(sizes=sizes)
    values[:] = 5
    sizes[1].append(7)
    np.testing.assert_array_equal(constant.get_config()["value"], np.ones(3))
    assert own.get_config()["sizes"] == [1, [2]]
    dropout = layers.Dropout(0.5)
    dropout.rate = 0.25  # before the layer is built
    assert dropout.get_config()["rate"] == 0.25


# The file.


def test_what_is_in_the_file(tmp_path):
    model = classifier()
    model.fit(*blobs(), verbose=0)
    path = model.save(tmp_path / "model")
    assert path == tmp_path / "model.convkit" and list(tmp_path.iterdir()) == [path]
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["config.json", "weights.safetensors", "optimizer.safetensors"]
        assert {i.compress_type for i in archive.infolist()} == {zipfile.ZIP_STORED}
    first = path.read_bytes()
    model.save(path)
    assert path.read_bytes() == first
    assert ck.load_model(tmp_path / "model").name == model.name
    with pytest.raises(FileExistsError, match="overwrite"):
        model.save(path, overwrite=False)
    with pytest.raises(ValueError, match=r"saved as a file '\.convkit', got .*name it m\.convkit"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(FileNotFoundError, match="there is no file"):
        ck.load_model(tmp_path / "none.convkit")


def test_members_that_others_add_are_no_error(tmp_path):
    model = classifier()
    members = saving.model_members(model)
    members["training.json"] = {"epoch": 3}
    ck.saving.files.write_archive(tmp_path / "m.convkit", members)
    assert ck.load_model(tmp_path / "m.convkit").count_params() == model.count_params()


def test_weights_of_a_model_file_alone(tmp_path):
    a, b = classifier(), classifier()
    b.load_weights(a.save(tmp_path / "m.convkit"))
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"lacks conv\.bias.*has also hidden"):
        convnet().load_weights(tmp_path / "m.convkit")
