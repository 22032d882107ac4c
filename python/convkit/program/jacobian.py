"""The program of a Jacobian: how one sample's outputs change with the weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from convkit.ops.registry import Spec
from convkit.program.absorb import absorb
from convkit.program.allocate import allocate
from convkit.program.builder import Builder
from convkit.program.choose import choose
from convkit.program.differentiate import differentiate
from convkit.program.fuse import fuse
from convkit.program.lower import lower
from convkit.program.program import Program

if TYPE_CHECKING:
    from convkit.models.model import Model

__all__ = ["SEED", "compile_jacobian"]

SEED = "seed"  # the buffer of the factors of the outputs


def compile_jacobian(model: Model, *, inputs: Sequence[Spec], dtype: str, indexed: bool) -> Program:
    """Make the program that takes one sample and writes the gradient of ``seed . output``.

    With a seed that is 1 for one output and 0 for the others, the gradient is that output's row of
    the Jacobian.

    Parameters
    ----------
    model : Model
        Built, with one output.
    inputs : sequence of Spec
        Of one sample of each source array.
    dtype : str
    indexed : bool
        Whether the sample is taken by an index array.

    Returns
    -------
    Program
        Of one sample; its externals are the model's inputs and "seed", of the output's shape with
        a batch of 1. The gradient is in the store's flat buffer.

    Raises
    ------
    ValueError
        If one sample does not determine its output: if the model carries averages or states along,
        or draws random numbers, or a mask leaves steps out.
    """
    program = Program(model.name, "train", 1, dtype)
    builder = Builder(program, training=True)
    (prediction,) = lower(model, builder, inputs, indexed=indexed)
    layers = [i.layer for i in program.deferred]
    layers += [i.layer for i in program.instructions if "stream" in i.params]
    if layers:
        raise ValueError(
            f"layer {layers[0]!r}: an output depends on more than its sample and the weights, so "
            "there is no Jacobian of it"
        )
    if builder.mask(prediction) is not None:
        raise ValueError("the output has a mask, and there is no Jacobian of masked steps")
    seed = builder.external(SEED, Spec(prediction.spec.shape, dtype))
    program.output = [prediction]
    fuse(program)
    differentiate(builder, list(program.instructions), [(program.output[0], seed)])
    absorb(program)
    program.commit = len(program.instructions)
    choose(program)
    allocate(program)
    return program
