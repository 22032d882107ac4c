"""Rules that the tree keeps: an op has all its rooms, tables agree, no ISA leaks into another."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import convkit as ck
from convkit import _core
from convkit.ops import registry

ROOT = Path(__file__).resolve().parents[1]
OPS = sorted(p.name for p in (ROOT / "csrc" / "ops").iterdir() if p.is_dir())
FOLDERS = ("benchmarks", "cmake", "csrc", "docs", "examples", "python", "tests")
SOURCES = {".cmake", ".cpp", ".cu", ".cuh", ".h", ".py", ".pyi"}
TEXTS = SOURCES | {".json", ".md", ".toml", ".txt", ".yaml", ".yml"}


def files(suffixes):
    found = [p for p in ROOT.iterdir() if p.is_file()]
    for folder in FOLDERS:
        found += [p for p in (ROOT / folder).rglob("*") if p.is_file()]
    return [p for p in found if p.suffix in suffixes and "__pycache__" not in p.parts]


def benchmark_calls(op):
    path = ROOT / "benchmarks" / "ops" / f"bench_{op}.py"
    spec = importlib.util.spec_from_file_location(f"bench_{op}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.calls()


@pytest.mark.parametrize("op", OPS)
def test_an_op_has_all_its_rooms(op):
    rooms = [
        f"csrc/ops/{op}/{op}.h",
        f"csrc/ops/{op}/{op}_cpu*.cpp",
        f"csrc/ops/{op}/{op}_table.cpp",
        f"python/convkit/ops/{op}.py",
        f"tests/ops/test_{op}.py",
        f"benchmarks/ops/bench_{op}.py",
    ]
    assert [room for room in rooms if not list(ROOT.glob(room))] == []


@pytest.mark.parametrize("op", OPS)
def test_files_of_an_op_carry_its_name(op):
    strangers = [
        p.name
        for p in (ROOT / "csrc" / "ops" / op).iterdir()
        if not re.fullmatch(rf"{op}(_\w+)?\.(h|cpp|cu|cuh)", p.name)
    ]
    assert strangers == []


def test_native_and_python_ops_are_those_of_the_tree():
    assert sorted(_core.ops()) == OPS
    assert sorted(ck.ops.ops()) == OPS


@pytest.mark.parametrize("op", ck.ops.ops(python_only=True))
def test_an_op_without_kernels_has_the_other_rooms(op):
    """It runs what a user brings along, so there is nothing to compile, to check or to race."""
    assert op not in _core.ops() and not (ROOT / "csrc" / "ops" / op).exists()
    for room in (f"python/convkit/ops/{op}.py", f"tests/ops/test_{op}.py"):
        assert (ROOT / room).exists()
    for p in registry.get(op).passes:
        assert [row.name for row in ck.ops.kernels(op, p.name)] == ["python", "reference"]


@pytest.mark.parametrize("op", OPS)
def test_native_table_is_the_python_registry(op):
    native = [(row["pass"], row["name"]) for row in _core.kernels(op)]
    assert len(set(native)) == len(native)
    for p in registry.get(op).passes:
        rows = ck.ops.kernels(op, p.name)
        assert [r.name for r in rows if r.native] == [n for name, n in native if name == p.name]
        assert rows[-1].name == "reference"
        assert len(rows) > 1, f"{op}.{p.name} has no kernel"
    known = {p.name for p in registry.get(op).passes}
    assert {name for name, _ in native} == known
    for _, name in native:
        assert re.fullmatch(r"(cpu|cuda)_[a-z0-9_]+", name)


@pytest.mark.parametrize("op", OPS)
def test_params_are_declared_field_by_field(op):
    folder = ROOT / "csrc" / "ops" / op
    header = (folder / f"{op}.h").read_text()
    if shared := re.search(r"using \w+Params = (\w+)Params;", header):  # those of another op
        owner = shared[1].lower()
        table = (folder / f"{op}_table.cpp").read_text()
        assert owner in OPS and f'"ops/{owner}/{owner}_fields.h"' in table
        return
    (struct,) = re.findall(r"struct \w+Params \{(.*?)\};", header, re.DOTALL)
    struct = re.sub(r"//.*", "", struct)
    members = [
        name.strip()
        for names in re.findall(r"(?:int64_t|double)\s+([\w,\s]+);", struct)
        for name in names.split(",")
    ]
    rooms = (folder / f"{op}_table.cpp", folder / f"{op}_fields.h")
    table = "".join(room.read_text() for room in rooms if room.exists())
    assert re.findall(r"CK_(?:FIELD|CHOICE)\(\w+,\s*(\w+)", table) == members
    for field in members:
        assert len(set(_core.choices(op, field))) == len(_core.choices(op, field))


@pytest.mark.parametrize("op", OPS)
def test_every_kernel_is_benchmarked_with_params_that_it_knows(op):
    calls = benchmark_calls(op)
    assert {c.op for c in calls} == {op}
    seen = {
        (row.pass_name, row.name)
        for call in calls
        for row in ck.ops.kernels(op, call.pass_name)
        # Unknown or missing parameters are a ValueError here.
        if row.supports([*call.specs, *call.outputs()], call.params)
    }
    assert seen == {(row.pass_name, row.name) for row in ck.ops.kernels(op)}


def test_files_are_short():
    long = {str(p.relative_to(ROOT)): len(p.read_text().splitlines()) for p in files(SOURCES)}
    assert {name: n for name, n in long.items() if n > 450} == {}


def test_no_file_names_a_place_of_one_machine():
    place = re.compile(r"/(?:home|Users)/(?!somebody\b)\w|(?<![\w.~])/(?:work|root|tmp)/\w")
    found = {
        str(p.relative_to(ROOT)): match.group()
        for p in files(TEXTS)
        if (match := place.search(p.read_text()))
    }
    assert found == {}


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert versions[0] == ck.__version__


def test_importing_loads_no_optional_package():
    names = ("rich", "pooch", "torch", "matplotlib", "pytest")
    code = f"import sys, convkit; print([n for n in {names} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---- no code of one ISA under a name that another shares

ISA_FLAGS = {
    "baseline": ["-march=x86-64"],
    "avx2": ["-march=x86-64", "-mavx2", "-mfma", "-mf16c"],
    "avx512": ["-march=skylake-avx512", "-mprefer-vector-width=512"],
}


def leaks(listing, isa):
    """Weak symbols in the output of ``nm -C`` that objects of other ISAs may define, too."""
    found = []
    for line in listing.splitlines():
        match = re.fullmatch(r"[0-9a-f]* ?([VWu]) (.*)", line.strip())
        # DW.ref.* is the address of a function of the C++ runtime, the same in every object.
        if match and f"convkit::{isa}::" not in match[2] and not match[2].startswith("DW.ref."):
            found.append(match[2])
    return found


def test_leaks_are_seen():
    listing = """
    0000000000000000 W void convkit::avx2::conv2d_row<float>(float*)
    0000000000000000 W std::vector<int, std::allocator<int> >::~vector()
    0000000000000000 V DW.ref.__gxx_personality_v0
    0000000000000000 T convkit::avx2::conv2d_forward(convkit::Call const&)
    0000000000000010 W void convkit::dispatch<convkit::avx2::Body>(convkit::avx2::Body)
    0000000000000020 u convkit::table
                     U memcpy
    """
    destructor = "std::vector<int, std::allocator<int> >::~vector()"
    assert leaks(listing, "avx2") == [destructor, "convkit::table"]
    assert len(leaks(listing, "avx512")) == 4


def objects(isa, tmp_path):
    """Object files of an ISA: those of the last build, else of two kernel sources."""
    built = []
    for folder in (ROOT / "build").glob(f"dev*/CMakeFiles/_core_{isa}.dir"):
        # An object of a source that is gone stays behind.
        built += [
            o
            for o in folder.rglob("*.o")
            if (ROOT / o.relative_to(folder)).with_suffix("").exists()
        ]
    if built:
        return built
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no build in build/dev and no g++ on the PATH")
    level = list(ISA_FLAGS).index(isa)
    for op in ("add", "dropout"):
        source = ROOT / "csrc" / "ops" / op / f"{op}_cpu.cpp"
        command = [compiler, "-std=c++20", "-O3", "-c", "-fvisibility=hidden", f"-I{ROOT / 'csrc'}"]
        command += [*ISA_FLAGS[isa], f"-DCK_ISA={isa}", f"-DCK_ISA_LEVEL={level}"]
        built.append(tmp_path / f"{op}.o")
        subprocess.run([*command, str(source), "-o", str(built[-1])], check=True, timeout=300)
    return built


@pytest.mark.skipif(shutil.which("nm") is None, reason="no nm on the PATH")
@pytest.mark.skipif(len(_core.kernels("add")[0]["isas"]) == 1, reason="kernels for one ISA only")
@pytest.mark.parametrize("isa", ISA_FLAGS)
def test_no_isa_defines_code_under_a_shared_name(isa, tmp_path):
    found = {}
    for path in objects(isa, tmp_path):
        command = ["nm", "-C", "--defined-only", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert f"convkit::{isa}::" in done.stdout, f"{path.name} holds no kernel"
        if leaked := leaks(done.stdout, isa):
            found[path.name] = leaked
    assert found == {}
