"""Recurrent layers behind a table of vectors: x w is a row of the table times w, found by number.

With x = E[i], x w is row i of P = E w. So the vectors are not looked up: P is one small product,
and the recurrent layer takes the numbers (csrc/ops/rnn/rnn.h), as if they were those of one-hot
rows and P their w. Differentiating that gives dE = dP w^T and dw = E^T dP, with dP the sums of the
steps' gradients by number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from convkit.ops import cost, registry
from convkit.ops.dense import dense_params
from convkit.program.program import Instruction, Program, Value

__all__ = ["pays", "take_numbers"]


def pays(rows: int, steps: int, features: int, columns: int, *, differentiated: bool) -> bool:
    """Whether it is less work to multiply the table than the vectors that are looked up in it.

    Parameters
    ----------
    rows : int
        Of the table.
    steps : int
        Vectors that would be looked up.
    features : int
        Their length.
    columns : int
        Of w.
    differentiated : bool
        Whether there are gradients of table and w.
    """
    passes = 3 if differentiated else 1  # each product is as large as the first
    flops, nbytes = 2 * passes * features * columns, 4 * passes * (features + columns)
    # Gradients of steps are added up to those of the table's rows, in both cases: apart, there are
    # `features` of them, and else `columns`.
    added = 4 * steps * (columns - features) if differentiated else 0
    together = cost.seconds(flops * rows, nbytes * rows + max(added, 0))
    return together < cost.seconds(flops * steps, nbytes * steps)


def _is_one_hot(program: Program, table: Value) -> bool:
    rows = program.constants.get(table)
    return rows is not None and np.array_equal(rows, np.eye(len(rows)))


def take_numbers(program: Program, lookup: Instruction, readers: Sequence[Instruction]) -> bool:
    """Have recurrent layers take the numbers in place of the vectors.

    Parameters
    ----------
    program : Program
        Not differentiated yet.
    lookup : Instruction
        embedding.forward.
    readers : sequence of Instruction
        All that read its result: forward passes of rnn, as sequences.

    Returns
    -------
    bool
        False, and nothing is changed, where that is more work than it spares, or kernels for
        embedding of the user's own would be passed by.
    """
    index, table = lookup.inputs
    assert index is not None and table is not None
    if not _is_one_hot(program, table):
        if registry.has_own_rows("embedding"):
            return False
        v, e = table.spec.shape
        columns = sum(w.spec.shape[1] for i in readers if (w := i.inputs[1]) is not None)
        trained = program.mode == "train"
        if not pays(v, index.spec.size, e, columns, differentiated=trained):
            return False
        for i in readers:
            w = i.inputs[1]
            assert w is not None
            product = Value(f"{w.name}.rows", registry.Spec((v, w.spec.shape[1]), w.spec.dtype))
            multiply = Instruction("dense", "forward", dense_params(), [table, w, None], [product])
            multiply.layer = i.layer
            program.instructions.insert(program.instructions.index(i), multiply)
            i.inputs[1] = product
    for i in readers:
        i.inputs[0] = index
    program.instructions.remove(lookup)
    return True
