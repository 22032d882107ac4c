"""Processes of contenders: all with the same threads and instruction set."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from convkit import _core
from convkit.bench.machine import Machine, Rates, child_environment

__all__ = ["Contender", "ContenderError", "Crew", "Worker"]


@dataclass(frozen=True)
class Contender:
    """One side of a race.

    Attributes
    ----------
    name : str
    factory : str
        "module:function" or "file.py:function"; called with `arguments` and ``threads`` in a
        process of its own. What it returns has ``outputs()``, a dict of name to list of float or
        array, and ``run(steps)``. It may have ``facts()``, a dict for the record, such as "flops"
        of a step.
    arguments : dict
        What JSON can hold.
    optional : bool
        Whether a race goes on without it if it fails, and says so.
    """

    name: str
    factory: str
    arguments: dict[str, Any] = field(default_factory=dict)
    optional: bool = False

    def check(self) -> None:
        """Refuse what names no function, before a process is started for it.

        Raises
        ------
        ValueError
        """
        module, _, name = self.factory.rpartition(":")
        if not module or not name.isidentifier():
            raise ValueError(
                f"contender {self.name!r}: factory is {self.factory!r}, expected "
                '"module:function" or "file.py:function"'
            )


class ContenderError(RuntimeError):
    """A contender failed, ended or hung; the message has its name and the reason."""


class Worker:
    """The process of a contender.

    Parameters
    ----------
    name : str
        For messages.
    environment : dict
    timeout : float
        Seconds that an answer may take.
    """

    def __init__(self, name: str, environment: dict[str, str], timeout: float) -> None:
        self.name = name
        self.timeout = timeout
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "convkit.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is for this process, which then closes those
        )

    def load(self, factory: str, arguments: dict[str, Any]) -> None:
        """Make the contender; one that was there is dropped first."""
        self._ask({"do": "load", "factory": factory, "arguments": arguments})

    def call(self, method: str, **arguments: Any) -> tuple[Any, float]:
        """Value of a method and the seconds that it took there."""
        answer = self._ask({"do": "call", "method": method, "arguments": arguments})
        return answer["value"], float(answer["seconds"])

    def seconds(self, steps: int) -> float:
        """Run so many steps."""
        return self.call("run", steps=steps)[1]

    def facts(self) -> dict[str, Any]:
        """What the contender says of its steps."""
        found = self._ask({"do": "facts"})["value"]
        if not isinstance(found, dict):
            raise ContenderError(
                f"contender {self.name!r}: facts() must give a dict, such as {{'flops': 1e9}}, not "
                f"{found!r}"
            )
        return found

    def memory(self) -> dict[str, Any]:
        """What the first steps take and allocate, see `convkit.bench.memory`."""
        return dict(self._ask({"do": "memory"})["value"])

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError):  # it ended; why is still to be found out
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        if not select.select([self.process.stdout], [], [], self.timeout)[0]:
            self.close(kill=True)
            raise ContenderError(
                f"contender {self.name!r}: no answer to {request.get('method', 'load')!r} within "
                f"{self.timeout:g} seconds; its process was ended"
            )
        line = self.process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": self._epitaph()}
        if "error" in answer:
            if not line:
                self.close()
            raise ContenderError(f"contender {self.name!r}: {answer['error']}")
        return answer

    def _epitaph(self) -> str:
        """How the process ended, and the last line that it wrote to stderr."""
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout=5)
        code = self.process.returncode
        how = "the process ended"
        if code is not None and code < 0:
            how += f" by {signal.Signals(-code).name}"
            how += " (out of memory?)" if -code == signal.SIGKILL else ""
        elif code is not None:
            how += f" with exit code {code}"
        self._stderr.seek(0)
        lines = self._stderr.read().decode(errors="replace").strip().splitlines()
        return f"{how}: {lines[-1][:300]}" if lines else how

    def stop(self) -> None:
        """Hold the process, with those that it has begun, until it is asked again."""
        self._signal(signal.SIGSTOP)

    def _signal(self, which: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, which)  # its session is its own

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self.process.poll() is None

    def close(self, kill: bool = False) -> None:
        """End the process; harmless if it has ended."""
        assert self.process.stdin is not None and self.process.stdout is not None
        if kill:
            self.process.kill()
        self._signal(signal.SIGCONT)
        with suppress(BrokenPipeError, ValueError):
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._stderr.close()


class Crew:
    """The processes of a suite, kept from case to case, and one that measures the machine.

    Parameters
    ----------
    threads : int, optional
        Of every process; by default all processors that this one may use.
    isa : str, optional
        See `convkit.bench.machine.child_environment`.
    timeout : float
        Seconds that an answer of a contender may take.
    preload : str, optional
        A library that the processes load before all others.
    measures : bool
        Whether there is a process that measures the machine: of no use where a GPU does the work.
    """

    def __init__(
        self,
        threads: int | None = None,
        isa: str | None = None,
        timeout: float = 600.0,
        preload: str | None = None,
        measures: bool = True,
    ) -> None:
        self.measures = measures
        self.threads = _core.usable_cpus() if threads is None else threads
        self.timeout = timeout
        self._environment = child_environment(self.threads, isa)
        if preload is not None:
            self._environment["LD_PRELOAD"] = preload
        self._workers: dict[str, Worker] = {}
        self._yardstick: Worker | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()
        if self._yardstick is not None:
            self._yardstick.close()
            self._yardstick = None

    def load(self, contender: Contender) -> Worker:
        """The contender, made in its process, which is started anew where it has ended."""
        worker = self._workers.get(contender.name)
        if worker is None or not worker.alive:
            worker = Worker(contender.name, self._environment, self.timeout)
            self._workers[contender.name] = worker
        worker.load(contender.factory, {**contender.arguments, "threads": self.threads})
        return worker

    def rest(self, names: set[str]) -> None:
        """End the processes of all but these: what they hold is memory of the machine."""
        for name in [n for n in self._workers if n not in names]:
            self._workers.pop(name).close()

    def yardstick(self) -> Worker:
        """The process that measures the machine."""
        if self._yardstick is None or not self._yardstick.alive:
            self._yardstick = Worker("yardstick", self._environment, self.timeout)
            factory = "convkit.bench.machine:Yardstick"
            self._yardstick.load(factory, {"threads": self.threads})
        return self._yardstick

    def rates(self) -> Rates:
        """What the yardstick has measured since it was last restarted."""
        samples, _ = self.yardstick().call("samples")
        return Rates(**{name: tuple(values) for name, values in samples.items()})

    def machine(self, rates: Rates, load: float = 0.0) -> Machine:
        """The machine with such rates, and so many processors busy with other work at least."""
        facts, _ = self.yardstick().call("facts")
        return Machine(**{**facts, "load": max(load, facts["load"])}, rates=rates)
