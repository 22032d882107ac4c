"""What a user says about the choice of kernels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from convkit.checks import number
from convkit.errors import did_you_mean
from convkit.ops import registry
from convkit.ops.listing import words
from convkit.ops.registry import Params, Spec

__all__ = ["AS_USUAL", "Policy", "call_text", "known_names"]


def call_text(op: str, pass_name: str, specs: Sequence[Spec | None], params: Params) -> str:
    """A call in words, the key of recorded choices: the same words, the same choice.

    Parameters
    ----------
    op, pass_name : str
    specs : sequence of Spec or None
        Of all operands: inputs, updates, outputs.
    params : mapping

    Returns
    -------
    str
        Such as ``"dense.forward(float32 32x784, 784x100, 100, 32x100; activation=relu)"``.
    """
    first = next((s.dtype for s in specs if s is not None), "")
    parts = []
    for s in specs:
        shape = "-" if s is None else "x".join(map(str, s.shape)) or "()"
        parts.append(shape if s is None or s.dtype == first else f"{s.dtype} {shape}")
    told = ", ".join(f"{k}={v}" for k, v in words(params).items())
    return f"{op}.{pass_name}({first} {', '.join(parts)}{'; ' + told if told else ''})"


@dataclass(frozen=True)
class Policy:
    """Limits to the choice of kernels, and choices that have been made.

    Attributes
    ----------
    exact : bool
        Whether only rows may run whose results obey the error bound of their pass, the rounding
        error of its sums as they are written. Winograd's convolution has a bound of its own.
    max_error : float or None
        How many times the bound of the pass a row's own may be, see `errors.error_units`.
    max_workspace_mb : float or None
        Scratch memory that a kernel may ask for, in 1e6 bytes for each instruction. The last rows,
        ``cpu_naive`` and ``reference``, are left where nothing else is.
    autotune : bool
        Whether rows are measured where several could do, see `convkit.ops.choosing.tuning`.
    device : str
        Where they run: "cpu" or "cuda".
    allow_tf32, allow_bf16 : bool
        Whether rows may run that round the operands of products to TF32 or BF16 (`Row.precision`),
        without being named or recorded.
    kernels : dict of str to str
        Names of rows: by call (`call_text`), as recorded; or by op or pass ("conv2d",
        "conv2d.forward") for all calls that this row supports.
    recorded : dict of str to str
        The same from a file or a run that is gone on with: they count where they can, within the
        limits.
    """

    exact: bool = False
    max_error: float | None = None
    max_workspace_mb: float | None = None
    autotune: bool = False
    kernels: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    device: str = "cpu"
    allow_tf32: bool = False
    allow_bf16: bool = False

    @classmethod
    def make(
        cls,
        exact: Any = False,
        max_error: Any = None,
        max_workspace_mb: Any = None,
        autotune: Any = False,
        kernels: Any = None,
        allow_tf32: Any = False,
        allow_bf16: Any = False,
    ) -> Policy:
        """Check what `compile` was given.

        Raises
        ------
        TypeError, ValueError
            If a value is none, or `kernels` names what is not there; the message says what is.
        """
        switches = {
            "exact": exact,
            "autotune": autotune,
            "allow_tf32": allow_tf32,
            "allow_bf16": allow_bf16,
        }
        for name, value in switches.items():
            if not isinstance(value, bool):
                raise TypeError(f"compile: {name} must be True or False, not {value!r}")
        if max_error is not None:
            max_error = number("compile", "max_error", max_error)
            if max_error < 1:
                raise ValueError(
                    f"compile: max_error is {max_error:g}, expected at least 1: it counts in units "
                    "of the error bound that a pass has by the length of its sums"
                )
        if max_workspace_mb is not None:
            max_workspace_mb = number("compile", "max_workspace_mb", max_workspace_mb)
        named = {} if kernels is None else kernels
        if not isinstance(named, Mapping) or not all(
            isinstance(word, str) for pair in named.items() for word in pair
        ):
            raise TypeError(
                "compile: kernels must be a dict of names, such as {'conv2d': 'cpu_im2col'} or "
                f"what model.kernels() gives, not {kernels!r}"
            )
        for key, name in named.items():
            _check_name(key, name)
        return cls(
            exact,
            max_error,
            max_workspace_mb,
            autotune,
            dict(named),
            allow_tf32=allow_tf32,
            allow_bf16=allow_bf16,
        )

    def allows(self, precision: str) -> bool:
        """Whether a row of this `Row.precision` may be chosen."""
        return precision == "full" or bool(getattr(self, f"allow_{precision}"))

    def named(self, op: str, pass_name: str, text: str) -> tuple[str | None, bool]:
        """The row that is named for a call, and whether it is for this call alone."""
        for names in (self.kernels, self.recorded):
            for key in (text, f"{op}.{pass_name}", op):
                # What another device's rows were does not bind this one's.
                if key in names and (
                    names is self.kernels or registry.device_of(names[key]) == self.device
                ):
                    return names[key], key == text
        return None, False

    def insists(self, name: str) -> bool:
        """Whether `compile` was given a name, which is an error where it cannot be followed."""
        return name in self.kernels.values()

    def names_rows_of(self, op: str) -> bool:
        """Whether rows are named for all calls of an op or of one of its passes."""
        keys = (op, *(f"{op}.{p.name}" for p in registry.get(op).passes))
        return any(key in self.kernels or key in self.recorded for key in keys)

    def arguments(self) -> dict[str, Any]:
        """What `compile` takes, by name; not the device, which is a model's."""
        return {
            "exact": self.exact,
            "max_error": self.max_error,
            "max_workspace_mb": self.max_workspace_mb,
            "autotune": self.autotune,
            "kernels": dict(self.kernels),
            "allow_tf32": self.allow_tf32,
            "allow_bf16": self.allow_bf16,
        }


AS_USUAL = Policy()


def _check_name(key: str, name: str) -> None:
    """Refuse a name that is in no table.

    Raises
    ------
    ValueError
    """
    op, _, pass_name = key.partition("(")[0].partition(".")
    known = registry.ops() + registry.ops(python_only=True)
    if op not in known:
        raise ValueError(f"compile: kernels has {key!r}: no op {op!r}{did_you_mean(op, known)}")
    device = registry.device_of(name)
    rows = [row.name for row in registry.kernels(op, pass_name or None, device=device)]
    if name not in rows:
        raise ValueError(
            f"compile: kernels names {name!r} for {op}{pass_name and '.'}{pass_name}, and this "
            f"convkit has no such row{did_you_mean(name, rows)}; leave {key!r} out, and one is "
            "chosen anew"
        )


def known_names(title: str, kernels: Any) -> dict[str, str]:
    """Of choices that were recorded elsewhere, those whose rows are here; warns of others."""
    found: dict[str, str] = {}
    missing = []
    for key, name in (kernels or {}).items():
        try:
            _check_name(str(key), str(name))
        except ValueError:
            missing.append(f"{str(key).partition('(')[0]}: {name}")
        else:
            found[str(key)] = str(name)
    if missing:
        told = ", ".join(dict.fromkeys(missing))
        warnings.warn(
            f"{title} was made with kernels that this convkit does not have ({told}); others are "
            "chosen, so that results may differ within the error bound",
            UserWarning,
            stacklevel=4,
        )
    return found
