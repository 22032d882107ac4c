"""Terms of the loss beside the error: under which names a program reads them out."""

from __future__ import annotations

__all__ = ["REGULARIZATION", "term_of", "term_readout"]

REGULARIZATION = "regularization"  # the term that the penalties of weights and activations make


def term_readout(number: int, name: str) -> str:
    """The name of a term's readout: those of several terms of one name differ."""
    return f"term:{number}:{name}"


def term_of(readout: str) -> str | None:
    """The name of the term that a readout is of; None of the error and of metrics."""
    kind, _, rest = readout.partition(":")
    return rest.partition(":")[2] if kind == "term" else None
