"""What probabilities were made from: losses are computed from that, in one stable step."""

from __future__ import annotations

from convkit.program.program import Program, Value


def logits_of(program: Program, probabilities: Value, function: str) -> Value | None:
    """What softmax or sigmoid was applied to, in the shape of its result.

    Parameters
    ----------
    program : Program
    probabilities : Value
        A result, or a view of one.
    function : str
        "softmax" or "sigmoid".

    Returns
    -------
    Value or None
        None where something else made the value, or where the view has other classes than softmax
        had.
    """
    made = probabilities.root
    makers = [i for i in program.instructions if made in (v and v.root for v in i.outputs)]
    if not makers or makers[-1].pass_name != "forward":
        return None
    op, params, (logits, *_) = makers[-1].op, makers[-1].params, makers[-1].inputs
    applied = {"softmax": "softmax", "activation": params.get("activation")}
    if applied.get(op) != function:
        return None
    assert logits is not None
    if op == "softmax" and logits.spec.shape[-1] != probabilities.spec.shape[-1]:
        return None
    return logits.view(probabilities.spec.shape)
