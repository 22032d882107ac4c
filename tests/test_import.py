"""The public names, and what importing costs."""

import subprocess
import sys

import pytest

import convkit as ck


def _python(code):
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_public_name_is_there():
    for name in ck.__all__:
        assert getattr(ck, name) is not None
    assert set(ck.__all__) <= set(dir(ck))
    with pytest.raises(AttributeError, match="no attribute 'layer'"):
        ck.layer  # noqa: B018


def test_importing_loads_nothing_heavy():
    code = "import sys, convkit; print(sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = _python(code)
    for heavy in ("rich", "pooch", "matplotlib", "torch"):
        assert f"'{heavy}'" not in loaded


def test_keras_and_tensorflow_imports():
    _python(
        "import convkit as keras; from convkit import layers, models; import convkit as tf\n"
        "from convkit.layers import Dense, Flatten; from convkit.models import Sequential\n"
        "assert keras.Sequential is models.Sequential and keras.layers is layers\n"
        "assert tf.nn.sigmoid.kind == 'sigmoid' and tf.nn.relu is keras.activations.relu\n"
    )


def test_a_missing_native_module_says_what_to_run():
    code = (
        "import sys; sys.modules['convkit._core'] = None\n"
        "import convkit\n"
        "try: convkit.layers.Dense\n"
        "except convkit.BuildError as error: print(error)\n"
    )
    assert "python3 dev.py build" in _python(code)


def test_threads():
    before = ck.get_num_threads()
    ck.set_num_threads(2)
    assert ck.get_num_threads() == 2
    ck.set_num_threads(before)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        ck.set_num_threads(0)
