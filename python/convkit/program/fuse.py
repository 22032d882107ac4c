"""Fuse: a small table of adjacent patterns, applied to the forward program.

It runs before differentiation, so that the fused form is what is differentiated: the stable
gradient of softmax with cross-entropy, and of an activation from its output, come out by
themselves and need no patterns of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from convkit.ops.activation import FROM_OUTPUT
from convkit.program.logits import logits_of
from convkit.program.pooled import pooled_params
from convkit.program.program import Instruction, Program, Value
from convkit.program.tables import take_numbers


class _Uses:
    """Who makes and who reads each value; views count for the value that they show."""

    def __init__(self, program: Program) -> None:
        self.instructions = program.instructions
        self.makers = {v.root: i for i in program.instructions for v in i.outputs if v is not None}
        self.readers: Counter[Value] = Counter(
            v.root
            for i in (*program.instructions, *program.deferred)
            for v in i.inputs
            if v is not None
        )
        kept = [*program.output, *program.readouts.values(), program.total]
        self.readers.update(v.root for v in kept if v is not None)

    def maker(self, value: Value | None) -> Instruction | None:
        return None if value is None else self.makers.get(value.root)

    def made_for(self, i: Instruction, *ops: str) -> Instruction | None:
        """The forward pass of one of `ops` whose result only `i` reads."""
        maker, value = self.maker(i.inputs[0]), i.inputs[0]
        if maker is None or value is None or maker.op not in ops or maker.pass_name != "forward":
            return None
        return maker if value is maker.outputs[0] and self.readers[value] == 1 else None

    def sequences_of(self, value: Value) -> list[Instruction]:
        """The recurrent layers that read `value` as their sequences, if nobody else reads it."""
        found = [
            i
            for i in self.instructions
            if i.op == "rnn"
            and i.pass_name.endswith("_forward")
            and (x := i.inputs[0]) is not None
            and x.root is value
            and x.spec == value.spec
        ]
        return found if len(found) == self.readers[value] else []


def _to_logits(program: Program, i: Instruction, kinds: Sequence[str], function: str) -> bool:
    """Give a loss of probabilities the logits that they were made from."""
    if i.op != "loss" or i.params["kind"] not in kinds:
        return False
    assert i.inputs[0] is not None
    logits = logits_of(program, i.inputs[0], function)
    if logits is None:
        return False
    i.inputs[0] = logits
    kind = str(i.params["kind"]).removeprefix("binary_")
    i.params = {**i.params, "kind": f"{function}_{kind}"}
    return True


def softmax_into_loss(program: Program, uses: _Uses, i: Instruction) -> bool:
    """softmax, then cross_entropy or its focal form: the loss takes the logits."""
    return _to_logits(program, i, ("cross_entropy", "focal_cross_entropy"), "softmax")


def sigmoid_into_loss(program: Program, uses: _Uses, i: Instruction) -> bool:
    """sigmoid, then binary_cross_entropy or its focal form: the loss takes the logits."""
    kinds = ("binary_cross_entropy", "binary_focal_cross_entropy")
    return _to_logits(program, i, kinds, "sigmoid")


def argmax_of_softmax(program: Program, uses: _Uses, i: Instruction) -> bool:
    """The largest probability is the largest logit: accuracy need not wait for softmax."""
    if i.op not in ("accuracy", "confusion") or i.params.get("kind") in ("binary", "equal"):
        return False
    maker = uses.maker(i.inputs[0])
    if maker is None or (maker.op, maker.pass_name) != ("softmax", "forward"):
        return False
    if i.inputs[0] is not maker.outputs[0]:
        return False
    i.inputs[0] = maker.inputs[0]
    return True


def unread(program: Program, uses: _Uses, i: Instruction) -> bool:
    """An instruction whose results nobody reads (a softmax that its loss no longer needs)."""
    if i.op in ("loss", "update") or any(v is not None and uses.readers[v.root] for v in i.outputs):
        return False
    program.instructions.remove(i)
    return True


def activation_into_producer(program: Program, uses: _Uses, i: Instruction) -> bool:
    """conv2d or dense, then an activation: the kernel applies it while the result is hot."""
    if (i.op, i.pass_name) != ("activation", "forward"):
        return False
    kind = i.params["activation"]
    if program.mode == "train" and (kind not in FROM_OUTPUT or kind == "step"):
        return False  # a step has no gradient: apart, it is its layer that the error names
    producer = uses.made_for(i, "conv2d", "dense")
    if producer is None or producer.params["activation"] != "linear":
        return False
    producer.params = {**producer.params, **i.params}
    producer.outputs[0] = i.outputs[0]
    program.instructions.remove(i)
    return True


def table_into_rnn(program: Program, uses: _Uses, i: Instruction) -> bool:
    """Rows of a table, read by recurrent layers only: x w is a row too, found by its number."""
    if (i.op, i.pass_name) != ("embedding", "forward"):
        return False
    (index, table), vectors = i.inputs, i.outputs[0]
    assert index is not None and table is not None and vectors is not None
    if index.spec.dtype != table.spec.dtype or len(index.spec.shape) != 2:
        return False
    readers = uses.sequences_of(vectors)
    return len(readers) > 0 and take_numbers(program, i, readers)


def padding_into_conv2d(program: Program, uses: _Uses, i: Instruction) -> bool:
    """pad2d, then conv2d: the convolution pads by as much more, and nothing is copied."""
    if (i.op, i.pass_name) != ("conv2d", "forward"):
        return False
    maker = uses.made_for(i, "pad2d")
    if maker is None:
        return False
    sides = {name: int(i.params[name]) + int(n) for name, n in maker.params.items()}
    i.params = {**i.params, **sides}
    i.inputs[0] = maker.inputs[0]
    program.instructions.remove(maker)
    return True


def pooling_into_conv2d(program: Program, uses: _Uses, i: Instruction) -> bool:
    """conv2d, then the maximum over windows: what is not the maximum never goes to memory."""
    if (i.op, i.pass_name) != ("pool2d", "max_forward"):
        return False
    maker = uses.made_for(i, "conv2d")
    if maker is None:
        return False
    source = uses.maker(maker.inputs[0])
    params = pooled_params(
        maker, i, program.policy,
        differentiated=program.mode == "train",
        of_data=source is None or source.op == "gather_rows",
    )  # fmt: skip
    if params is None:
        return False
    maker.op, maker.params, maker.outputs = "conv2d_pool", params, i.outputs
    program.instructions.remove(i)
    return True


PATTERNS: tuple[Callable[[Program, _Uses, Instruction], bool], ...] = (
    softmax_into_loss,
    sigmoid_into_loss,
    argmax_of_softmax,
    unread,
    activation_into_producer,
    table_into_rnn,
    padding_into_conv2d,
    pooling_into_conv2d,
)


def fuse(program: Program) -> None:
    """Apply the patterns, in order, wherever they match; from the end, as what is unread grows."""
    for pattern in PATTERNS:
        uses = _Uses(program)
        for instruction in reversed(list(program.instructions)):
            if pattern(program, uses, instruction):
                uses = _Uses(program)
