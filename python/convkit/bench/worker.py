"""One contender in its own process; speaks JSON lines with the race.

Started as ``python -m convkit.bench.worker MODULE:FACTORY JSON-ARGUMENTS``. The factory returns an
object with ``outputs() -> dict of name to list of float`` and ``run(steps)``.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from typing import Any


def main(arguments: list[str]) -> None:
    """Answer requests from standard input until it ends."""
    # What a library prints must not get between the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    module, _, factory = arguments[0].partition(":")

    def answer(value: Any) -> None:
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    try:
        contender = getattr(importlib.import_module(module), factory)(**json.loads(arguments[1]))
    except Exception as error:  # reported by the parent, with the contender's name
        answer({"error": f"{type(error).__name__}: {error}"})
        return
    answer({"ready": True})
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "outputs":
                answer({"outputs": contender.outputs()})
            else:
                start = time.perf_counter()
                contender.run(request["steps"])
                answer({"seconds": time.perf_counter() - start})
        except Exception as error:
            answer({"error": f"{type(error).__name__}: {error}"})
            return


if __name__ == "__main__":
    main(sys.argv[1:])
