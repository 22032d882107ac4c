#!/usr/bin/env python3
"""Builds convkit in place and runs it; needs nothing but Python 3.11 and a C++ compiler.

python3 dev.py train [args]    convkit train lenet5 [args]
python3 dev.py bench [args]    convkit bench [args]
python3 dev.py test [args]     pytest [args]
python3 dev.py peers [args]    pytest -m peer [args]: against PyTorch, which it installs
python3 dev.py lint            ruff, mypy, clang-format
python3 dev.py build           build only

The first call makes .venv and builds (about two minutes); a later one builds only what changed.
CMAKE_ARGS passes options to CMake: CMAKE_ARGS=-DCONVKIT_BLAS=OFF python3 dev.py test
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / "bin"
PYTHON = BIN / "python"
STATE = VENV / "dev.json"  # what is installed and built

EXTRAS = {
    "train": ["datasets"],
    "bench": ["bench"],
    "test": ["test"],
    "peers": ["test", "bench"],
    "lint": ["lint", "test"],
    "build": [],
}
# Python sources are used in place: only these ask for a new build.
BUILD_INPUTS = ["pyproject.toml", "CMakeLists.txt", "cmake", "csrc"]
BUILD_VARIABLES = ["CMAKE_ARGS", "CXX", "CXXFLAGS", "LDFLAGS"]


def fail(message: str) -> NoReturn:
    sys.exit(f"dev.py: {message}")


def run(*command: str | Path) -> None:
    code = subprocess.call([str(part) for part in command], cwd=ROOT)
    if code != 0:
        fail(f"this command failed ({code}): {shlex.join(str(part) for part in command)}")


def check_machine() -> None:
    """Name the Debian packages that are missing, all at once."""
    python = PYTHON if PYTHON.exists() else Path(sys.executable)
    ask = "import sysconfig; print(sysconfig.get_path('include'))"
    include = subprocess.check_output([python, "-c", ask], text=True).strip()
    missing = {}
    if not (Path(include) / "Python.h").exists():
        missing["python3-dev"] = "Python.h"
    if not PYTHON.exists() and importlib.util.find_spec("ensurepip") is None:
        missing["python3-venv"] = "the ensurepip module"
    if "CXX" not in os.environ and not any(map(shutil.which, ("c++", "g++", "clang++"))):
        missing["g++"] = "a C++ compiler"
    if missing:
        fail(f"missing: {', '.join(missing.values())}. On Debian: apt install {' '.join(missing)}")


@contextmanager
def build_lock() -> Iterator[None]:
    """Let one process at a time install and build."""
    (ROOT / "build").mkdir(exist_ok=True)
    with open(ROOT / "build" / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("dev.py: waiting for another dev.py to finish its build", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def read_state() -> dict[str, Any]:
    try:
        state = json.loads(STATE.read_text())
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def write_state(state: dict[str, Any]) -> None:
    temporary = STATE.with_suffix(".tmp")
    temporary.write_text(json.dumps(state, indent=1))
    temporary.replace(STATE)


def make_venv(state: dict[str, Any]) -> None:
    """Make .venv, anew when its interpreter vanished or the checkout moved."""
    if PYTHON.exists() and state.get("root") == str(ROOT):
        return
    print("dev.py: making .venv", file=sys.stderr)
    run(sys.executable, "-m", "venv", "--clear", VENV)
    state.clear()
    state["root"] = str(ROOT)
    state["requirements"] = []
    write_state(state)


def install_requirements(state: dict[str, Any], extras: list[str]) -> None:
    import tomllib  # not at the top: an older Python must reach the check in main()

    config = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*config["build-system"]["requires"], *config["project"]["dependencies"]]
    wanted += ["cmake>=3.26", "ninja>=1.11"]
    for extra in extras:
        wanted += config["project"]["optional-dependencies"][extra]
    missing = [requirement for requirement in wanted if requirement not in state["requirements"]]
    if missing:
        print(f"dev.py: installing {', '.join(missing)}", file=sys.stderr)
        pip("install", *missing)
        state["requirements"] += missing
        write_state(state)


def pip(*arguments: str) -> None:
    run(PYTHON, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments)


def build(state: dict[str, Any]) -> None:
    digest = hashlib.sha256()
    for name in BUILD_INPUTS:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                digest.update(f"{file.relative_to(ROOT)}\0".encode())
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    # An editable installation knows the packages that there were when it was made.
    packages = sorted(p.parent.relative_to(ROOT) for p in ROOT.glob("python/**/__init__.py"))
    digest.update(repr([str(p) for p in packages]).encode())
    cuda = cuda_options()
    digest.update(repr(cuda).encode())
    variables = [f"{name}={os.environ[name]}" for name in BUILD_VARIABLES if os.environ.get(name)]
    digest.update(repr(variables).encode())
    if state.get("build") == digest.hexdigest():
        return
    # CMake remembers options, so each set of them has a folder of its own.
    folder = "build/dev"
    if variables:
        folder += "-" + hashlib.sha256(repr(variables).encode()).hexdigest()[:8]
    print(f"dev.py: building in {folder}", file=sys.stderr)
    options = ["--no-build-isolation", "--no-deps", f"--config-settings=build-dir={folder}", *cuda]
    state.pop("build", None)
    write_state(state)
    pip("install", *options, "--editable", str(ROOT))
    state["build"] = digest.hexdigest()
    write_state(state)


def cuda_options() -> list[str]:
    """Without a GPU, CUDA kernels are built for the emulator, unless CMAKE_ARGS says otherwise."""
    if Path("/dev/nvidiactl").exists() or "CONVKIT_CUDA=" in os.environ.get("CMAKE_ARGS", ""):
        return []
    return ["--config-settings=cmake.define.CONVKIT_CUDA=EMULATE"]


def prepare(verb: str) -> None:
    with build_lock():
        state = read_state()
        if "build" not in state or not PYTHON.exists():
            check_machine()
        make_venv(state)
        install_requirements(state, EXTRAS[verb])
        if verb != "lint":
            build(state)


def lint() -> None:
    """Run every linter, then fail if one of them did."""
    suffixes = {".h", ".cpp", ".cu", ".cuh"}
    sources = sorted(str(f) for f in (ROOT / "csrc").rglob("*") if f.suffix in suffixes)
    commands = [
        ["ruff", "check"],
        ["ruff", "format", "--check"],
        ["mypy"],
        ["clang-format", "--dry-run", "-Werror", *sources],
    ]
    failed = []
    for name, *arguments in commands:
        if subprocess.call([str(BIN / name), *arguments], cwd=ROOT) != 0:
            failed.append(" ".join([name, *arguments[:2]]))
    if failed:
        fail(
            f"failed: {'; '.join(failed)}. .venv/bin/ruff check --fix, .venv/bin/ruff format and "
            ".venv/bin/clang-format -i cure most of it"
        )


def main() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036
        fail(f"Python 3.11 or newer is needed; {sys.executable} is {sys.version.split()[0]}")
    verb, *arguments = sys.argv[1:] or ["help"]
    if verb not in EXTRAS:
        print(__doc__)
        sys.exit(0 if verb in ("help", "-h", "--help") else 2)
    os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    prepare(verb)
    if verb == "lint":
        lint()
    elif verb == "test":
        os.chdir(ROOT)
        # The whole suite is worth the start of several processes.
        arguments = arguments or ["-n", "auto", "--maxprocesses", "4", "--dist", "worksteal"]
        os.execv(PYTHON, [str(PYTHON), "-m", "pytest", *arguments])
    elif verb == "peers":
        os.chdir(ROOT)
        os.execv(PYTHON, [str(PYTHON), "-m", "pytest", "-m", "peer", *arguments])
    elif verb != "build":
        model = ["lenet5"] if verb == "train" else []
        os.execv(BIN / "convkit", ["convkit", verb, *model, *arguments])


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
