"""``convkit check``: hold kernels against their NumPy reference."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from convkit.cli.user_kernels import add_file, load_file

if TYPE_CHECKING:
    from convkit.ops.registry import Row

__all__ = ["add_parser", "run"]


def add_parser(verbs: Any) -> None:
    """Declare the verb."""
    parser: argparse.ArgumentParser = verbs.add_parser(
        "check", help="hold kernels against their NumPy reference"
    )
    parser.add_argument("op", nargs="?", metavar="OP", help="such as conv2d (default: all)")
    parser.add_argument("--kernel", metavar="NAME", help="only the rows of this name")
    parser.add_argument("--pass", dest="pass_name", metavar="NAME", help="such as backward_input")
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "float64"), help="default float32"
    )
    parser.add_argument(
        "--device", default="cpu", choices=("cpu", "cuda"), help="cpu (default) or cuda"
    )
    add_file(parser)
    parser.set_defaults(run=run)


def _rows(options: argparse.Namespace) -> list[Row]:
    """The rows that were asked for, in the order of the tables.

    Raises
    ------
    ValueError
        If the op, the pass or the kernel is unknown.
    RuntimeError
        If rows for a GPU are asked for, and there is none.
    """
    from convkit.cuda import native as cuda
    from convkit.errors import did_you_mean
    from convkit.ops import registry

    new = load_file(options.file) if options.file else []
    ops = [options.op] if options.op else list(registry.ops())
    if options.device == "cuda":
        cuda.require()
    rows = [row for op in ops for row in registry.kernels(op, device=options.device)]
    if options.device == "cuda":
        rows = [row for row in rows if row.native]
    if new and not options.op and not options.kernel:
        rows = new
    for given, word, key in (
        (options.pass_name, "pass", "pass_name"),
        (options.kernel, "kernel", "name"),
    ):
        if given is not None:
            known = dict.fromkeys(getattr(row, key) for row in rows)
            rows = [row for row in rows if getattr(row, key) == given]
            if not rows:
                where = f"[{options.op}] has no" if options.op else "there is no"
                raise ValueError(f"{where} {word} {given!r}{did_you_mean(given, list(known))}")
    return rows


def run(options: argparse.Namespace) -> int:
    """Print a line per row: PASS or FAIL, the worst error in units of the bound, and where.

    Returns
    -------
    int
        1 if a row is wrong, else 0.
    """
    from convkit.testing.check import check_rows

    rows = _rows(options)
    failed = skipped = 0
    for op, pass_name in dict.fromkeys((row.op, row.pass_name) for row in rows):
        group = [row for row in rows if (row.op, row.pass_name) == (op, pass_name)]
        for row in group:
            if options.dtype not in row.dtypes:
                print(f"SKIP  {op}.{pass_name} {row.name} takes no {options.dtype}")
                skipped += 1
        group = [row for row in group if options.dtype in row.dtypes]
        for report in check_rows(group, dtype=options.dtype):
            print(report, flush=True)
            failed += not report.passed
    checked = len(rows) - skipped
    print(f"{checked} {'row' if checked == 1 else 'rows'} checked, {failed or 'none'} wrong")
    return 1 if failed or not checked else 0
