"""The reports of benchmarks/accuracy: what is recorded is what their parts make of it again."""

import importlib.util
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
RECORDED = ("accuracy-mnist", "accuracy-mnist-1998", "accuracy-mnist-rbf", "hopfield", "overfit")


@pytest.fixture(scope="module")
def reports():
    path = BENCHMARKS / "accuracy" / "reports.py"
    spec = importlib.util.spec_from_file_location("accuracy_reports", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def parts_of(name):
    return (BENCHMARKS / "results" / f"{name}.md").read_text().removesuffix("\n").split("\n\n")


def rows_of(table):
    return [line[2:-2] for line in table.splitlines() if not line.startswith("|-")]


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_tables_and_files(name, reports, tmp_path, monkeypatch):
    monkeypatch.setattr(reports, "RESULTS", tmp_path / "results")
    tables = [part for part in parts_of(name) if part.startswith("| ")]
    assert tables
    for part in tables:
        head, *rows = rows_of(part)
        assert reports.table(head, rows) == part
    reports.write_report(name, parts_of(name))
    recorded = (BENCHMARKS / "results" / f"{name}.md").read_bytes()
    assert (tmp_path / "results" / f"{name}.md").read_bytes() == recorded


@pytest.mark.parametrize("name", ["accuracy-mnist", "accuracy-mnist-1998"])
def test_recorded_figures_of_seeds(name, reports):
    (table,) = (part for part in parts_of(name) if part.startswith("| "))
    log = parts_of(name)[-1].splitlines()[1:-1]
    assert reports.block("\n".join(log)) == parts_of(name)[-1]
    head, *rows = rows_of(table)
    made = []
    for i, row in enumerate(rows):
        recipe, seeds, *_, goal, seconds = row.split(" | ")
        seeds = [int(seed) for seed in seeds.split(", ")]
        finals = []
        for line in log[i * len(seeds) : (i + 1) * len(seeds)]:
            title, _, values = line.rpartition(": ")
            values = [float(value) for value in values.split()]
            assert reports.curve(title, values) == line
            finals.append(values[-1])
        goal = float(goal.partition("%")[0]) / 100
        made.append(reports.seeds_row(recipe, seeds, finals, goal, [float(seconds)]))
    assert made == rows
    assert reports.seeds_table("recipe", "accuracy", made) == table
    assert head.startswith("recipe | seeds | accuracy, mean | ")


def test_verdicts(reports):
    assert [reports.verdict(v, 0.9) for v in (0.89, 0.9, 0.91)] == ["MISSED", "reached", "reached"]
    falls = [reports.verdict(v, 0.9, rises=False) for v in (0.89, 0.9, 0.91)]
    assert falls == ["reached", "reached", "MISSED"]
    assert reports.outcome(True) == "reached"


def test_the_mean_is_what_a_goal_is_for(reports):
    row = reports.seeds_row("r", (0, 1), (0.03, 0.05), 0.035, (3.0, 1.0, 2.0), rises=False)
    assert row == "r | 0, 1 | 4.00% | 3.00%, 5.00% | 3.5% MISSED | 2"
