"""Executors: three ways to run one program."""

from convkit.run.executor import RunResult, make_executor
from convkit.run.store import Store

__all__ = ["RunResult", "Store", "make_executor"]
