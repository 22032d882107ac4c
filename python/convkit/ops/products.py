"""Matrix products on a GPU, csrc/cuda/gemm.cuh and mma.cuh: which tiles suit one, hence which rows,
and the error bounds of those that round their operands.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from convkit.ops.registry import Bound, Params, Spec

__all__ = [
    "CONV2D",
    "CONV2D_WEIGHT",
    "DENSE",
    "DENSE_WEIGHT",
    "Product",
    "Units",
    "product_of",
    "rounded_bounds",
    "rounded_units",
]

Specs = Sequence[Spec | None]
Units = Callable[[float], float]  # of the number of terms of a sum, see `rounded_units`

_MULTIPROCESSORS = 132  # of an H100 or H200
_PART = 128  # terms at least, where a sum is split
# What a multiply-add costs in tiles of 64 x 64, in those of 128 x 128: they are loaded twice as
# often.
_SMALL_TILES_COST = 1.3
# Multiply-adds for which tensor cores are asked, and how many times as many they may do for tiles
# that are not filled: they are several times as fast.
_LARGE, _FASTER = 1 << 21, 3


class Product(NamedTuple):
    """The size of a matrix product, or of one for each group.

    Attributes
    ----------
    rows, columns : int
        Of the result.
    terms : int
        Of each sum.
    groups : int
    """

    rows: int
    columns: int
    terms: int
    groups: int = 1

    def blocks(self, side: int) -> int:
        """Square tiles of that side."""
        return -(-self.rows // side) * -(-self.columns // side) * self.groups

    @property
    def suits_large_tiles(self) -> bool:
        """Whether tiles of 128 x 128 are filled, and fill a GPU."""
        large, small = self.blocks(128) * 128**2, self.blocks(64) * 64**2
        busy = self.blocks(128) * -(-self.terms // _PART) >= _MULTIPROCESSORS
        return busy and large <= _SMALL_TILES_COST * small

    @property
    def suits_tensor_cores(self) -> bool:
        """Whether there is enough to do for them, in tiles of 128 rows that are not too empty."""
        width = 64 if self.columns <= 64 else 128
        tiles = -(-self.rows // 128) * -(-self.columns // width)
        wasted = tiles * 128 * width > _FASTER * self.rows * self.columns
        work = self.rows * self.columns * self.terms * self.groups
        return work >= _LARGE and not wasted

    @property
    def suits_tiles(self) -> bool:
        """Whether a group has the columns for a tile; else a thread for each result is better."""
        return self.groups == 1 or self.columns >= 8


def _of_dense(params: Params, specs: Specs) -> Product:
    first, result = specs[0], specs[-1]
    assert first is not None and result is not None
    return Product(math.prod(first.shape[:-1]), result.shape[-1], first.shape[-1])


def _of_dense_weight(params: Params, specs: Specs) -> Product:
    dy, dw = specs[0], specs[2]
    assert dy is not None and dw is not None
    return Product(dw.shape[0] + 1, dw.shape[1], math.prod(dy.shape[:-1]))  # and a row for db


def _of_conv2d(params: Params, specs: Specs) -> Product:
    first, w, result = specs[0], specs[1], specs[-1]
    assert first is not None and w is not None and result is not None
    groups, taps = int(params["groups"]), w.shape[0] * w.shape[1]
    terms, columns = taps * first.shape[3] // groups, result.shape[3] // groups
    return Product(math.prod(result.shape[:3]), columns, terms, groups)


def _of_conv2d_weight(params: Params, specs: Specs) -> Product:
    dy, dw = specs[0], specs[2]
    assert dy is not None and dw is not None
    groups, pixels = int(params["groups"]), math.prod(dy.shape[:3])
    return Product(math.prod(dw.shape[:3]) + 1, dw.shape[3] // groups, pixels, groups)


Rules = Mapping[str, Callable[[Params, Specs], bool]]


def _rules(product: Callable[[Params, Specs], Product]) -> Rules:
    return {
        "cuda_mma_bf16": lambda params, specs: product(params, specs).suits_tensor_cores,
        "cuda_mma_tf32": lambda params, specs: product(params, specs).suits_tensor_cores,
        "cuda_ffma_128": lambda params, specs: product(params, specs).suits_large_tiles,
        "cuda_ffma": lambda params, specs: product(params, specs).suits_tiles,
    }


# Rules of `Pass.chosen_where`: of passes whose result is the last operand, and of backward_weight.
DENSE, DENSE_WEIGHT = _rules(_of_dense), _rules(_of_dense_weight)
CONV2D, CONV2D_WEIGHT = _rules(_of_conv2d), _rules(_of_conv2d_weight)

_PRODUCTS = {
    "conv2d": (_of_conv2d, _of_conv2d_weight),
    "dense": (_of_dense, _of_dense_weight),
}


def product_of(op: str, pass_name: str, specs: Specs, params: Params) -> Product | None:
    """The size of a call of conv2d or dense as a product; None of others."""
    if op not in _PRODUCTS or pass_name == "backward_bias":
        return None
    return _PRODUCTS[op][pass_name == "backward_weight"](params, specs)


# Unit roundoff of operands, of 11 and of 8 significant bits, by `Row.precision`.
_ROUNDOFF = {"tf32": 2.0**-11, "bf16": 2.0**-8}


def rounded_units(terms: float, precision: str) -> float:
    """Error of a sum of products on tensor cores, in units of 2^-24 of the sum of their magnitudes.

    Rounding changes each product by a factor within (1 + u)^2, u the unit roundoff of operands. Of
    the sum, tensor cores drop what does not fit (Fasi, Higham, Mikaitis and Pranesh 2021,
    "Numerical behavior of NVIDIA tensor cores"): twice the error of rounding it, for each term and,
    with eight terms at a time aligned to the largest, for what they are added to.

    Parameters
    ----------
    terms : float
        Of the sum, as the bound of the pass counts them.
    precision : str
        "tf32" or "bf16".
    """
    factor = (1 + _ROUNDOFF[precision]) ** 2
    return (factor - 1) * 2.0**24 + 2 * (1 + 1 / 8) * terms * factor


def rounded_bounds(bound: Bound) -> dict[str, Bound]:
    """Bounds of the rows on tensor cores, for `Pass.bounds`.

    Parameters
    ----------
    bound : callable
        Of the pass, with a keyword `units`: what a sum of so many terms may be off by.
    """
    return {
        f"cuda_mma_{precision}": partial(bound, units=partial(rounded_units, precision=precision))
        for precision in _ROUNDOFF
    }
