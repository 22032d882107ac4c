"""The command line, in this process."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest

import convkit as ck
from convkit import models
from convkit import random as ck_random
from convkit.cli import main
from convkit.models import Model


@pytest.fixture(autouse=True)
def seeded():
    before = ck_random._seed
    yield
    ck_random._seed = before


def test_lenet5_learns_the_digits(capsys):
    assert main(["train", "lenet5"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"test accuracy 0\.\d{4}", last)
    assert float(last.split()[-1]) >= 0.98


def test_train_evaluate_predict(capsys, tmp_path):
    weights, images = str(tmp_path / "w.npz"), str(tmp_path / "p.npy")
    assert main(["train", "lenet5", "--epochs", "2", "--seed", "5", "--save", weights]) == 0
    trained = capsys.readouterr().out.splitlines()[-1]
    assert main(["evaluate", "lenet5", "--weights", weights]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == trained
    assert main(["predict", "lenet5", "--weights", weights, "--output", images]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 11 and re.fullmatch(r"0: class \d, probability \d\.\d{4}", lines[0])
    p = np.load(images)
    assert p.shape == (297, 10)
    np.save(tmp_path / "x.npy", np.zeros((3, 28, 28), "uint8"))
    arguments = ["predict", "lenet5", "--weights", weights, "--input", str(tmp_path / "x.npy")]
    assert main(arguments) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3


def test_the_seed_decides(capsys):
    lines = []
    for seed in ("1", "1", "2"):
        assert main(["train", "mlp", "--epochs", "1", "--seed", seed]) == 0
        lines.append(re.findall(r"loss: \S+", capsys.readouterr().out))
    assert lines[0] == lines[1] != lines[2]


@pytest.mark.parametrize("optimizer", [["sgd", "--lr", "0.1"], ["rmsprop"]])
def test_other_optimizers(capsys, optimizer):
    arguments = ["train", "mlp", "--epochs", "1", "--optimizer", *optimizer]
    assert main([*arguments, "--batch-size", "64"]) == 0
    assert "24/24" in capsys.readouterr().out


def test_summary_and_info(capsys, monkeypatch):
    assert main(["summary", "lenet5", "--program"]) == 0
    out = capsys.readouterr().out
    assert "61,706" in out and "conv2d.forward" in out
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    for word in ("convkit", "cpu ", "threads", "isa", "available", "blas", "cuda"):
        assert word in out
    assert "warning: OPENBLAS_CORETYPE=Haswell" in out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["train", "lenet6"], "did you mean 'lenet5'"),
        (["train", "lenet5", "--data", "digit"], "did you mean 'digits'"),
        (["train", "lenet5", "--optimizer", "adan"], "did you mean 'adam'"),
        (["train", "lenet5", "--device", "gpu"], 'device is "cpu" or "cuda", not \'gpu\''),
        (["train", "lenet5", "--batch-size", "0"], "batch_size"),
        (["train", "char_rnn"], "char_rnn reads text, see examples/char_rnn.py"),
        (["train", "forecaster"], "reads series of numbers, see examples/forecast.py"),
        (["train", "alexnet"], "alexnet does not take images of 28 x 28 x 1: layer 'pool2'"),
        (["train", "vgg11", "--variant", "cifar"], "vgg11 does not take images of 28 x 28 x 1"),
        (["train", "mlp", "--variant", "cifar"], "mlp has no variants; alexnet, lenet5, vgg11"),
        (["summary", "lenet5", "--variant", "1988"], "did you mean '1998'"),
        (["train", "lenet5", "--variant", "modrn"], "did you mean 'modern'"),
        (["summary", "lenet5", "--batch-size", "7"], "add --program"),
        (["summary", "lenet5", "--program", "--batch-size", "0"], "--batch-size is 0"),
        (["train", "lenet5", "--save", "nowhere/w.npz"], "there is no folder "),
        (["train", "lenet5", "--save", "/"], "is a folder"),
        (["train", "lenet5", "--save", "."], "is a folder"),
        (["train", "lenet5", "--save", ""], "is a folder"),
        (["evaluate", "lenet5", "--weights", "nowhere.npz"], "nowhere.npz"),
        (["predict", "lenet5", "--weights", "nowhere.npz", "--count", "-1"], "--count is -1"),
        (["predict", "lenet5", "--weights", "nowhere.npz", "--output", "/"], "is a folder"),
    ],
)
def test_errors_are_one_line(arguments, text, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert text in captured.err and captured.err.count("\n") == 1
    assert captured.err.startswith(f"convkit {arguments[0]}: ")


def test_without_a_gpu_the_reason_is_told(capsys, monkeypatch):
    monkeypatch.setenv("CONVKIT_CUDA_EMULATOR", "0")
    if ck.cuda.is_available():
        pytest.skip("there is a GPU")
    assert main(["train", "lenet5", "--device", "cuda"]) == 2
    assert 'device="cuda" cannot be used: ' in capsys.readouterr().err


def test_variants(capsys, tmp_path):
    assert main(["summary", "lenet5", "--variant", "1998"]) == 0
    assert "60,000" in capsys.readouterr().out
    assert main(["summary", "lenet5", "--program", "--batch-size", "7"]) == 0
    assert "batch 7," in capsys.readouterr().out
    weights = str(models.lenet5("caffe").save_weights(tmp_path / "w.npz"))
    for verb in ("evaluate", "predict"):
        assert main([verb, "lenet5", "--variant", "caffe", "--weights", weights]) == 0
        capsys.readouterr()
        assert main([verb, "lenet5", "--weights", weights]) == 2
        assert "c1.kernel" in capsys.readouterr().err
    assert main(["train", "lenet5", "--variant", "caffe", "--epochs", "1"]) == 0
    assert float(capsys.readouterr().out.split()[-1]) > 0.8


@pytest.mark.parametrize(
    ("images", "text"),
    [
        (np.full((1, 28, 28), 256), "expected integers 0..255"),
        (np.full((1, 28, 28), -1), "expected integers 0..255"),
        (np.full((1, 28, 28), 7.0), "divide pixels by 255"),
        (np.full((1, 28, 28), np.nan), "NaN"),
        (np.zeros((28, 28)), r"expected numbers (N, H, W)"),
        (np.array([[["a"]]]), "expected numbers"),
        (None, "np.save"),
    ],
)
def test_images_that_are_refused(images, text, tmp_path, capsys):
    path = tmp_path / "x.npy"
    if images is None:
        with open(path, "wb") as file:
            np.savez(file, x=np.zeros((1, 28, 28)))
    else:
        np.save(path, images)
    assert main(["predict", "lenet5", "--weights", "w.npz", "--input", str(path)]) == 2
    err = capsys.readouterr().err
    assert text in err and err.count("\n") == 1


def test_integer_images_of_any_dtype_are_the_same(tmp_path, capsys):
    weights = models.lenet5().save_weights(tmp_path / "w.npz")
    pixels = np.random.default_rng(0).integers(0, 256, (4, 28, 28))
    told = []
    for kind in ("uint8", "int64", "uint16", "float64"):
        x = pixels / 255 if kind == "float64" else pixels.astype(kind)
        np.save(tmp_path / "x.npy", x)
        arguments = ["--weights", str(weights), "--input", str(tmp_path / "x.npy")]
        assert main(["predict", "lenet5", *arguments]) == 0
        told.append(capsys.readouterr().out)
    assert len(set(told)) == 1


def test_unknown_verbs_and_no_verb(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["trian"])
    assert stop.value.code == 2
    assert main([]) == 0
    assert "train" in capsys.readouterr().out


def test_as_a_module():
    result = subprocess.run(
        [sys.executable, "-m", "convkit.cli", "train", "nothing"], capture_output=True, text=True
    )
    assert result.returncode == 2
    assert "Traceback" not in result.stderr and "unknown model" in result.stderr


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: a shell starts what runs in the background without it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", ["w.npz", "m.convkit"])
def test_an_interrupted_training_saves_what_it_has(
    number, code, name, tmp_path, monkeypatch, capsys
):
    def fit(self, x, y, **options):
        real(self, x[:64], y[:64], batch_size=32, verbose=0)
        signal.raise_signal(number)
        raise AssertionError("the signal was lost")

    real = Model.fit
    monkeypatch.setattr(Model, "fit", fit)
    before = signal.getsignal(signal.SIGTERM)
    path = tmp_path / name
    assert main(["train", "mlp", "--save", str(path)]) == code
    said = capsys.readouterr().err
    assert "interrupted after 2 whole steps; " in said and f"written to {path}" in said
    assert path.stat().st_size > 100_000
    assert signal.getsignal(signal.SIGTERM) == before
    path.unlink()
    monkeypatch.setattr(Model, "fit", lambda *_, **__: signal.raise_signal(number))
    assert main(["train", "mlp", "--save", str(path)]) == code
    assert "after 0 whole steps; nothing saved" in capsys.readouterr().err and not path.exists()
