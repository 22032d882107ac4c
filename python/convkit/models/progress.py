"""What ``fit`` prints: a live bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import Any

__all__ = ["Progress", "format_logs", "is_silent"]

WIDTH = 20  # characters of the bar


def format_logs(logs: Mapping[str, Any]) -> str:
    """Keras's " - accuracy: 0.9098 - loss: 0.3100"; lists, one number per class, are left out."""
    return "".join(
        f" - {name}: {value:.4f}" if abs(value) >= 1e-3 or value == 0 else f" - {name}: {value:.4e}"
        for name, value in logs.items()
        if not isinstance(value, list)
    )


def _duration(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.0f}s"
    if seconds >= 1e-3:
        return f"{seconds * 1e3:.0f}ms"
    return f"{seconds * 1e6:.0f}us"


def is_silent(verbose: Any) -> bool:
    """Whether `predict` prints nothing: it has no line to print where there is no terminal."""
    return verbose == 0 or (verbose in ("auto", 1) and not sys.stdout.isatty())


class Progress:
    """Prints the progress of a run.

    Parameters
    ----------
    verbose : "auto", 0, 1 or 2
        0: nothing; 2: one line per epoch; "auto" and 1: a live bar if stdout is a terminal, else
        one line per epoch.
    """

    def __init__(self, verbose: Any) -> None:
        if verbose not in ("auto", 0, 1, 2):
            raise ValueError(f'verbose must be "auto", 0, 1 or 2, not {verbose!r}')
        self.lines = bool(verbose)
        self.live = self.lines and verbose != 2 and sys.stdout.isatty()
        self._live: Any = None
        self._title = ""
        self._steps: int | None = None
        self._start = 0.0
        self._done = 0
        self._before = 0

    def begin(self, steps: int | None, title: str = "", done: int = 0) -> None:
        """Begin an epoch or an evaluation.

        Parameters
        ----------
        steps : int or None
            Expected.
        title : str
            "Epoch 1/5".
        done : int
            Steps of it that were done in an earlier run.
        """
        self._title, self._steps, self._done, self._before = title, steps, done, done
        self._start = time.perf_counter()
        if self.live:
            from rich.console import Console
            from rich.live import Live

            if title:
                print(title)
            self._live = Live(console=Console(highlight=False), refresh_per_second=12)
            self._live.start()

    def update(self, done: int, logs: Mapping[str, Any]) -> None:
        """Show how far it is."""
        self._done = done
        if self._live is not None:
            from rich.text import Text

            elapsed = time.perf_counter() - self._start
            share = done / self._steps if self._steps else 0.0
            own = done - self._before
            left = elapsed / own * (self._steps - done) if own and self._steps else elapsed
            filled = round(share * WIDTH)
            text = Text(f"{self._count(done)} ")
            text.append("━" * filled, style="green")
            text.append("━" * (WIDTH - filled), style="bright_black")
            each = _duration(elapsed / max(own, 1))
            text.append(f" {left:.0f}s {each}/step{format_logs(logs)}")
            self._live.update(text)

    def end(self, logs: Mapping[str, Any]) -> None:
        """Finish the epoch or the evaluation."""
        elapsed = time.perf_counter() - self._start
        own = max(self._done - self._before, 1)
        each = f"{elapsed:.0f}s {_duration(elapsed / own)}/step"
        if self._live is not None:
            from rich.text import Text

            text = Text(f"{self._count(self._done)} ")
            text.append("━" * WIDTH, style="green")
            text.append(f" {each}{format_logs(logs)}")
            self._live.update(text)
            self.close()
        elif self.lines:
            title = f"{self._title} - " if self._title else ""
            count = self._count(self._done)
            print(f"{title}{count} - {each.replace(' ', ' - ')}{format_logs(logs)}", flush=True)

    def close(self) -> None:
        """Give the terminal back, also after an error."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _count(self, done: int) -> str:
        return f"{done}/{self._steps}" if self._steps else f"{done}/{done}"
