"""One contender in its own process; speaks JSON lines with the race.

Started as ``python -m convkit.bench.worker``. A request is ``{"do": "load", "factory":
"module:function", "arguments": {...}}``, then ``{"do": "call", "method": ..., "arguments":
{...}}`` for a method of what the factory made, the answer to which has its value and the seconds
that it took, ``{"do": "facts"}`` or ``{"do": "memory"}``.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import runpy
import signal
import sys
import time
from typing import Any


def make(factory: str, arguments: dict[str, Any]) -> Any:
    """Call "module:function" or "file.py:function"."""
    module, _, name = factory.rpartition(":")
    if module.endswith(".py"):
        made = runpy.run_path(module).get(name)
    else:
        made = getattr(importlib.import_module(module), name, None)
    if made is None:
        raise AttributeError(f"{module} has no {name!r}")
    return made(**arguments)


def _plain(value: Any) -> Any:
    """An array or a number of NumPy, or of who calls it alike, as JSON has it."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"a contender gives lists of numbers by name, not {type(value).__name__}")
    return value.tolist()


def end_with_parent() -> None:
    """Have the system end this process with the race, also where it is stopped then."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def main() -> None:
    """Answer requests from standard input until it ends."""
    end_with_parent()
    # What a library prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    contender: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "load":
                contender = None  # its memory first
                gc.collect()
                contender = make(request["factory"], request["arguments"])
                answer: dict[str, Any] = {"value": None}
            elif request["do"] == "facts":
                answer = {"value": getattr(contender, "facts", dict)()}
            elif request["do"] == "memory":
                from convkit.bench.memory import steps_in_this_process

                answer = {"value": steps_in_this_process(contender)}
            else:
                method = getattr(contender, request["method"])
                start = time.perf_counter()
                value = method(**request["arguments"])
                answer = {"seconds": time.perf_counter() - start, "value": value}
            text = json.dumps(answer, default=_plain)
        except Exception as error:  # reported by the parent, with the contender's name
            lines = str(error).strip().splitlines() or [""]
            text = json.dumps({"error": f"{type(error).__name__}: {' '.join(lines[:3])}"[:500]})
        answers.write(text + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
