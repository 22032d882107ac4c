"""Every example runs in seconds, on data that comes with the package, and reaches what it claims.

The floors are well below what the fixed seeds give, and well above chance.
"""

import importlib.util
from pathlib import Path

import pytest

from convkit import layers

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))
RHYME = "the house that Jack built"


def are_solutions(boards):
    """No two queens in a row, a column or a diagonal."""
    return all(
        len({sign * i + k for i, k in enumerate(board)}) == 8
        for board in boards
        for sign in (-1, 0, 1)
    )


def xor(right):
    return not right.pop("perceptron (cannot)") and len(right) == 6 and all(right.values())


# Of what main() returns.
CLAIMS = {
    "alexnet": lambda accuracy: accuracy > 0.2,
    "autoencoder": lambda error: error < 0.0116,  # that of principal components
    "char_rnn": lambda text: RHYME in text,
    "forecast": lambda e: e["gru"] < 0.5 * e["linear"] < 0.5 * e["last value"],
    "hopfield": lambda n: n["pseudo_inverse"] == 10 and n["hebb"] == 0,
    "hybrid": lambda accuracy: accuracy > 0.8,
    "kernel_machines": lambda f: (
        f["line"] < 0.7 and f["sigma 0.1"] > 0.97 and f["alpha 0.1"] > 0.95 > f["alpha 1e-06"]
    ),
    "lbfgs": lambda a: (
        a.pop("steepest_descent") < min(a.values()) and len(a) == 3 and min(a.values()) > 0.94
    ),
    "lenet5_1998": lambda accuracy: accuracy > 0.9,
    "perceptron": lambda f: (
        f.pop("NAND") == 1 and f.pop("XOR") < 1 and len(f) == 3 and max(f.values()) <= 1
    ),
    "queens": lambda boards: len(boards) >= 5 and are_solutions(boards),
    "rbf_network": lambda f: (
        f["largest error"] < 1e-9
        and max(f["worst_error"], f["ols"]) <= 5e-4
        and f["20 units"] > 0.85
        and f["300 units"] > 0.96
    ),
    "rnn_classifier": lambda accuracies: min(accuracies.values()) > 0.87,
    "transfer_domain": lambda a: min(a["CORAL"], a["MMD"]) > a["source alone"] + 0.05,
    "transfer_features": lambda a: a["features"] > max(0.84, a["from scratch"]),
    "transfer_finetune": lambda a: a["fine-tuned"] > max(0.85, a["from scratch"]),
    "tsp": lambda ratio: 1 - 1e-9 <= ratio < 1.05,
    "vgg": lambda accuracy: accuracy > 0.8,
    "xor": xor,
}


def test_every_example_claims_something():
    assert [path.stem for path in EXAMPLES] == list(CLAIMS)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, monkeypatch, capsys):
    monkeypatch.delenv("CONVKIT_DATA", raising=False)
    layers.reset_names()
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    result = module.main()
    assert capsys.readouterr().out.strip(), f"{path.name} says nothing"
    assert CLAIMS[path.stem](result), f"{path.name} gives {result}"
