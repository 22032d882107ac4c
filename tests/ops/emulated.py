"""Which CUDA rows a case is for: the emulator of a GPU does small ones in milliseconds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from convkit.cuda import native as cuda
from convkit.ops import registry
from convkit.ops.products import product_of
from convkit.ops.registry import Row

if TYPE_CHECKING:
    from ops.harness import Case

# What the emulator of a GPU does in milliseconds, without a sanitizer: operations, numbers, and
# slices, 16 terms deep, of tiles of 128 x 64 that rows on tensor cores go through: a thousand
# meetings of a warp each.
EMULATED_SHARE = float(os.environ.get("CONVKIT_EMULATED_SHARE", "1"))
EMULATED_FLOPS, EMULATED_SIZE = 1e6 * EMULATED_SHARE, 1e5 * EMULATED_SHARE
EMULATED_SLICES = 16 * EMULATED_SHARE


def cuda_rows(case: Case, dtype: str) -> list[Row]:
    """The CUDA rows that a case is for: none without a GPU, and small ones for its emulator."""
    if cuda.why_unavailable():
        return []
    specs, out = case.inputs_at(dtype), case.out_at(dtype)
    if cuda.module().emulated:
        flops = registry.get(case.op)[case.pass_name].flops
        size = sum(s.size for s in (*specs, *out) if s is not None)
        work = flops(case.params, specs, out) if flops else 0
        if work > EMULATED_FLOPS or size > EMULATED_SIZE:
            return []
    rows = registry.kernels(case.op, case.pass_name, device="cuda")[:-1]
    product = product_of(case.op, case.pass_name, [*specs, *out], case.params)
    if cuda.module().emulated and product is not None:
        tiles = -(-product.rows // 128) * -(-product.columns // 64) * product.groups
        if tiles * -(-product.terms // 16) > EMULATED_SLICES:
            rows = [row for row in rows if row.precision == "full"]
    return rows
