"""Files by someone who means harm: a clear ValueError each, at once, without a large allocation."""

import json
import tracemalloc
import zipfile
from io import BytesIO

import numpy as np
import pytest

import convkit as ck
from convkit import Input, layers
from convkit.saving import files, safetensors
from convkit.saving.model import CONFIG, CONSTANTS, OPTIMIZER, WEIGHTS, model_members

CENTERS = "layer 'rbf' (RBF).centers.0"
ROOM = 8 * 2**20  # bytes that a refusal may take


def network():
    x, series = Input((6, 6, 2)), Input((4, 3))
    image = layers.Conv2D(2, 3, activation="relu", kernel_regularizer="l2", name="conv")(x)
    image = layers.Flatten()(layers.BatchNormalization()(layers.MaxPooling2D(2)(image)))
    steps = layers.Bidirectional(layers.LSTM(2, return_sequences=True))(series)
    steps = layers.GRU(2)(layers.TimeDistributed(layers.Dense(2))(steps))
    both = layers.RBF(3, 0.5, centers=np.ones((3, 10)), name="rbf")(
        layers.concatenate([image, steps])
    )
    start = ck.initializers.HeNormal(seed=2)
    model = ck.Model([x, series], layers.Dense(3, "softmax", kernel_initializer=start)(both))
    rate = ck.schedules.ExponentialDecay(0.1, 3, 0.5)
    model.compile(ck.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["acc"])
    rng = np.random.default_rng(0)
    data = [rng.standard_normal((4, *node.shape[1:]), "float32") for node in model.inputs]
    model.fit(data, np.arange(4) % 3, verbose=0)
    return model


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "m.convkit"
    return files.read_archive(files.write_archive(path, model_members(network())))


@pytest.fixture(scope="module")
def good(members, tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "m.convkit"
    return files.write_archive(path, members).read_bytes()


def refused(path, message=""):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"(?s)bad.convkit.*{message}"):
            ck.load_model(path)
        assert tracemalloc.get_traced_memory()[1] < ROOM
    finally:
        tracemalloc.stop()


def zipped(path, parts, **options):
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, blob in parts.items():
            archive.writestr(name, blob)
    return path


def copied(members):
    return json.loads(files.to_json(members[CONFIG], "")), {
        name: dict(part) for name, part in members.items() if name != CONFIG
    }


def written(path, config, rest):
    return files.write_archive(path, {CONFIG: config, **rest})


# Archives.


def test_cut_off_and_no_archives(tmp_path, good):
    path = tmp_path / "bad.convkit"
    for blob in (b"", b"PK", b"PK\x05\x06" + b"\xff" * 18, good[:100], good[:-1], good[1:]):
        path.write_bytes(blob)
        refused(path)
    for size in range(0, len(good), len(good) // 40):
        path.write_bytes(good[:size])
        refused(path)


def test_archives_that_are_not_what_they_seem(tmp_path, members):
    path = tmp_path / "bad.convkit"
    config = json.dumps(members[CONFIG])
    refused(zipped(path, {CONFIG: config}, compression=zipfile.ZIP_DEFLATED), "is compressed")
    bomb = zipped(path, {CONFIG: b" " * 10**8}, compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 10**6
    refused(bomb, "is compressed")
    for name in (
        "../config.json",
        "/config.json",
        "a/config.json",
        "..",
        "config.pkl",
        "con\0.json",
    ):
        refused(zipped(path, {CONFIG: config, name: b""}), "cannot have a member")
    refused(zipped(path, {CONFIG: config}), "means nothing")  # without its constants
    refused(zipped(path, {}), "is not the file of a model: it has nothing")
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CONFIG, config)
        archive.writestr(CONFIG, config)
    refused(path, "is there twice")


def test_sizes_that_are_not_true(tmp_path, good):
    path = tmp_path / "bad.convkit"
    at = good.rindex(b"PK\x01\x02")  # of the last member's entry in the directory
    for field in (20, 24):
        for size in (0, 1, 2**31, 2**32 - 2):
            blob = bytearray(good)
            blob[at + field : at + field + 4] = size.to_bytes(4, "little")
            path.write_bytes(blob)
            refused(path)
    both = bytearray(good)
    both[at + 20 : at + 28] = 2 * (2**31).to_bytes(4, "little")
    path.write_bytes(both)
    refused(path, "its members state")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "is no JSON"),
        (b"[]", "must be a JSON object"),
        (b"{", "is no JSON"),
        (b"\xff\xfe", "is no JSON"),
        (b'{"a": 1, "a": 2}', "'a' is there twice"),
        (b'{"a": NaN}', "NaN is not part of JSON"),
        (b'{"a": ' + b"9" * 10**5 + b"}", "a number has 100000 digits"),
        (b'{"a": ' * 10**5 + b"1" + b"}" * 10**5, "is no JSON"),
        (b"[" * 10**6, "is no JSON"),
        (b"{}", "has format None, written by convkit None; this one reads format 1"),
        (b'{"format": 2, "convkit": "9.0"}', "has format 2, written by convkit '9.0'"),
        (b'{"format": 1}', "layers must be a list of dict"),
    ],
)
def test_json_that_is_none(tmp_path, text, message):
    nothing = (2).to_bytes(8, "little") + b"{}"
    refused(zipped(tmp_path / "bad.convkit", {CONFIG: text, WEIGHTS: nothing}), message)


# Configurations.

DENSE = {"$class": "layers.Dense", "config": {"units": 3, "name": "d"}}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"$class": "os.system", "config": {"command": "id"}}, "has no class 'os.system'"),
        ({"$class": "builtins.eval", "config": {}}, "has no class 'builtins.eval'"),
        ({"$class": "layers.Layer.__init__", "config": {}}, "has no class"),
        ({"$class": "layers.base.os", "config": {}}, "has no class"),
        ({"$class": "callbacks.CSVLogger", "config": {"filename": "x"}}, "has no class"),
        ({"$class": "datasets.mnist", "config": {}}, "has no class"),
        ({"$class": ["layers.Dense"], "config": {}}, "means nothing"),
        ({"$class": None, "config": {}}, "means nothing"),
        ({"$class": "losses.MeanSquaredError", "config": {}}, "is no layer"),
        ({"$class": "Dense", "config": {}, "custom": True}, "the class 'Dense', which is"),
        ({"$class": "os.system", "config": {}, "custom": True}, "the class 'os.system', which is"),
        ({"$class": "layers.Dense"}, "means nothing"),
        ({"$class": "layers.Dense", "config": [], "more": 1}, "means nothing"),
        ({"$class": "layers.Dense", "config": [3]}, "means nothing"),
        ({"$class": "layers.Dense", "config": {}}, "units"),
        ({"$class": "layers.Dense", "config": {"units": "os.system"}}, "units"),
        ({"$class": "layers.Dense", "config": {"units": -3}}, "units"),
        ({"$class": "layers.Dense", "config": {"units": None}}, "units"),
        ({"$class": "layers.Dense", "config": {"units": float("inf")}}, "units"),
        ({"$class": "layers.Dense", "config": {"units": 3, "evil": 1}}, "no argument 'evil'"),
        ({"$class": "layers.Dense", "config": {"self": 3}}, "self"),
        ({"$class": "layers.Lambda", "config": {"function": {"$custom": "system"}}},
         "needs the function 'system', which is not part of convkit"),
        ({"$class": "layers.Lambda", "config": {"function": "os.system"}}, "must be a function"),
        ({"$class": "layers.Dense", "config": {"units": {"$array": "99"}}}, "which means nothing"),
        ({"$class": "layers.Dense", "config": {"units": {"$layer": 99}}}, "which means nothing"),
        ({"$class": "layers.Dense", "config": {"units": {"$layer": True}}}, "which means nothing"),
        ({"$class": "layers.Dense", "config": {"units": {"a": 1, "b": 2}}}, "units must be"),
        ({"$class": "layers.RBF", "config": {"units": 2**40, "name": "r"}}, "is another one"),
        ({"$class": "layers.Dense", "config": {"units": 2**62}}, ""),
        ({"$class": "layers.Dense", "config": {"units": 10**30}}, ""),
        ({"$class": "layers.Reshape", "config": {"target_shape": [2**40, 2**40]}}, ""),
        ({"$class": "layers.RepeatVector", "config": {"n": 2**62}}, ""),
        ({"$class": "layers.CategoryEncoding", "config": {"num_tokens": 2**50}}, ""),
        ({"$class": "layers.UpSampling2D", "config": {"size": 2**40}}, ""),
        ({"$class": "layers.ZeroPadding2D", "config": {"padding": 2**40}}, ""),
        ({"$class": "layers.Embedding", "config": {"input_dim": 2**40, "output_dim": 2**20}}, ""),
    ],
)  # fmt: skip
def test_layers_that_are_none(tmp_path, members, item, message):
    config, rest = copied(members)
    config["layers"][-1] = item
    refused(written(tmp_path / "bad.convkit", config, rest), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update({"class": "os.system"}), "no class 'os.system' of models"),
        (lambda c: c["model"].update(name=3), "name must be a string"),
        (lambda c: c["model"].update(inputs=[99]), "inputs has a number outside"),
        (lambda c: c["model"].update(inputs=[-1]), "inputs has a number outside"),
        (lambda c: c["model"].update(inputs=[2]), "inputs must be layers of class InputLayer"),
        (lambda c: c["model"].update(inputs=[]), "outside of 0 to -1"),
        (lambda c: c["model"].update(outputs=[]), "has inputs and outputs"),
        (lambda c: c["model"].update(outputs=[10**6]), "outputs has a number outside"),
        (lambda c: c["model"].update(calls={}), "calls must be a list of dict"),
        (lambda c: c["model"]["calls"][0].update(inputs=[5]), "inputs has a number outside"),
        (lambda c: c["model"]["calls"][0].update(inputs=[]), "a call has inputs"),
        (lambda c: c["model"]["calls"][0].update(layer="conv"), "layer must be a list of int"),
        (lambda c: c["model"]["calls"][0].update(training=True), "training=False if anything"),
        (lambda c: c["model"]["calls"].pop(), "outputs has a number"),
        (lambda c: c.update(weights={}), "weights must be the flags"),
        (lambda c: c["weights"].update({"conv.bias": []}), "conv.bias must be an object"),
        (lambda c: c["weights"]["conv.bias"].update(frozen=3), "has a flag 'frozen' of 3"),
        (lambda c: c["weights"]["conv.bias"].update(store=None), "has a flag 'store'"),
        (lambda c: c.update(compiled=[]), "compiled must be an object"),
        (lambda c: c["compiled"].update(loss="os.system"), "unknown loss 'os.system'"),
        (lambda c: c["compiled"].update(loss={"$class": "layers.Dense", "config": {"units": 1}}),
         "what compile was given"),
        (lambda c: c["compiled"].update(evil=1), "unexpected argument 'evil'"),
        (lambda c: c["optimizer"].update(slots=10**9), "has 2 states for each"),
        (lambda c: c["optimizer"].update(iterations=-1), "iterations are -1"),
        (lambda c: c["optimizer"].update(iterations=1.5), "iterations are 1.5"),
        (lambda c: c["optimizer"].update(iterations=2**63), "iterations are 9223"),
        (lambda c: c["optimizer"].update(own=3), "own must be an object"),
        (lambda c: c["optimizer"].update(own={"evil": 3}), "'evil' does not belong to its state"),
        (lambda c: c["compiled"].update(optimizer="sgd"), "has 0 states for each weight, not 2"),
    ],
)  # fmt: skip
def test_models_that_are_none(tmp_path, members, change, message):
    config, rest = copied(members)
    change(config)
    refused(written(tmp_path / "bad.convkit", config, rest), message)


@pytest.mark.parametrize("depth", [100, 10**3, 10**4])
def test_layers_deep_inside_of_each_other(tmp_path, members, depth):
    config, rest = copied(members)
    config["layers"][-1] = "here"
    begin = '{"$class": "layers.TimeDistributed", "config": {"layer": ' * depth
    text = json.dumps(config).replace('"here"', begin + json.dumps(DENSE) + "}}" * depth)
    refused(zipped(tmp_path / "bad.convkit", {CONFIG: text, WEIGHTS: blob_of(rest[WEIGHTS])}))


@pytest.mark.parametrize(
    ("member", "name", "array", "message"),
    [
        (WEIGHTS, "conv.bias", np.zeros(3, "f4"), r"conv\.bias is float32 \(3,\), the model's is"),
        (WEIGHTS, "conv.bias", np.zeros(2, "i4"), r"conv\.bias is int32"),
        (WEIGHTS, "conv.bias", None, r"lacks conv\.bias"),
        (WEIGHTS, "evil", np.zeros(3, "f4"), "has also evil"),
        (OPTIMIZER, "0.conv.bias", np.zeros(3, "f4"), "the model's is"),
        (OPTIMIZER, "evil", np.zeros(3, "f4"), "the optimizer is another one"),
        (OPTIMIZER, "1.conv.bias", None, r"lacks 1\.conv\.bias"),
        (CONSTANTS, CENTERS, None, "which means nothing"),
        (CONSTANTS, CENTERS, np.zeros((10**4, 10)), r"got \(10000, 10\)"),
        (CONSTANTS, CENTERS, np.full((3, 10), np.nan), "centers"),
    ],
)
def test_arrays_that_do_not_fit(tmp_path, members, member, name, array, message):
    config, rest = copied(members)
    if array is None:
        del rest[member][name]
    else:
        rest[member][name] = np.asarray(array)
    refused(written(tmp_path / "bad.convkit", config, rest), message)


# Chance.

VALUES = [
    None, True, 0, 1, -1, 2**31, 2**62, 2**64, 10**30, -1.5, 1e308, {"$float": "nan"}, "", "relu",
    "os.system", [], [[]], {}, {"$tuple": [1]}, {"$float": 3}, {"$array": "0"}, {"$custom": "f"},
    {"$layer": 0}, {"$layer": 99}, DENSE, [2**40] * 3, [2] * 40, "x" * 1000,
]  # fmt: skip


def places(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, dict | list) else ():
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))
        else:
            yield (*path, key)


def loads_or_is_refused(path):
    try:
        ck.load_model(path)
    except (ValueError, OSError) as error:
        assert "bad.convkit" in str(error)
        return 0
    return 1


def mutate_values(path, members, rng):
    """Other values at some places of the configuration."""
    config, rest = copied(members)
    where = list(places(config))[1:]
    for _ in range(rng.integers(1, 4)):
        *outer, last = where[rng.integers(len(where))]
        target = config
        try:
            for key in outer:
                target = target[key]
            if rng.random() < 0.1:
                del target[last]
            else:
                target[last] = json.loads(json.dumps(VALUES[rng.integers(len(VALUES))]))
        except (KeyError, IndexError, TypeError):
            continue
    texts = {CONFIG: json.dumps(config)}
    for name, part in rest.items():
        texts[name] = blob_of(part)
    zipped(path, texts)


def blob_of(arrays):
    file = BytesIO()
    safetensors.write(file, arrays)
    return file.getvalue()


def flipped(blob, rng, below):
    blob = bytearray(blob)
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(min(below, len(blob))))
        way = rng.integers(3)
        if way == 0:
            blob[at] ^= 1 << int(rng.integers(8))
        elif way == 1:
            blob[at] = int(rng.choice(list(b'0129"{}[],:-e')))
        else:
            del blob[at : at + int(rng.integers(1, 9))]
    return bytes(blob)


def mutate_text(path, members, rng):
    """Other bytes in the configuration or in a header, in a sound archive."""
    texts = {CONFIG: json.dumps(members[CONFIG]).encode()}
    texts |= {name: blob_of(part) for name, part in members.items() if name != CONFIG}
    name = list(texts)[rng.integers(len(texts))]
    zipped(path, {**texts, name: flipped(texts[name], rng, 10**6 if name == CONFIG else 1500)})


def mutate_bytes(path, good, rng):
    path.write_bytes(flipped(good, rng, len(good)))


def try_many(tmp_path, members, good, count, seed):
    path, rng = tmp_path / "bad.convkit", np.random.default_rng(seed)
    loaded = 0
    for _ in range(count):
        mutate_values(path, members, rng)
        loaded += loads_or_is_refused(path)
        mutate_text(path, members, rng)
        loads_or_is_refused(path)
        mutate_bytes(path, good, rng)
        loads_or_is_refused(path)
    assert 0 < loaded < count / 2  # most change something that matters


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning", "ignore:.*:UserWarning")
def test_mutations(tmp_path, members, good):
    try_many(tmp_path, members, good, 400, 0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning", "ignore:.*:UserWarning")
@pytest.mark.parametrize("seed", range(1, 2))
def test_more_mutations(tmp_path, members, good, seed):
    try_many(tmp_path, members, good, 2000, seed)


@pytest.mark.release
@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning", "ignore:.*:UserWarning")
@pytest.mark.parametrize("seed", range(2, 9))
def test_still_more_mutations(tmp_path, members, good, seed):
    try_many(tmp_path, members, good, 2000, seed)
