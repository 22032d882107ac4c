"""The command line: ``convkit <verb>``. Each verb is a module with `add_parser` and `run`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

__all__ = ["main"]

VERBS = ("train", "evaluate", "predict", "summary", "check", "bench", "info")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="convkit", description="Train, test and measure the classical neural networks."
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    verbs = parser.add_subparsers(dest="verb", metavar="verb", title="verbs")
    for name in VERBS:
        try:
            module = importlib.import_module(f"convkit.cli.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"convkit.cli.{name}":
                raise
            continue
        module.add_parser(verbs)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        Exit code: 0, or 2 after an error, which is one line on stderr; 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        from convkit import __version__

        print(__version__)
        return 0
    if options.verb is None:
        parser.print_help()
        return 0
    try:
        code: int | None = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("convkit: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as head, has enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except (
        ArithmeticError, ImportError, MemoryError, OSError, RuntimeError, TypeError, ValueError,
    ) as error:  # fmt: skip
        if os.environ.get("CONVKIT_TRACEBACK"):
            raise
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"convkit {options.verb}: {text}", file=sys.stderr)
        return 2
    return code or 0
