"""What the weight gradient by Winograd's algorithm may be off by.

``dw = A^T [sum over tiles of (G dy G^T) . (B^T x B)] A``, with the matrices of
`convkit.ops.winograd`, for tiles of dy of 4 x 4 pixels (3 x 3 filters) or 2 x 2 (5 x 5), and the
6 x 6 of x that they meet.
"""

from __future__ import annotations

import numpy as np

from convkit.ops.geometry import pad_image
from convkit.ops.registry import Array, Context
from convkit.ops.winograd import matrices

__all__ = ["winograd_weight_bound"]

# Roundings that a term passes at most, without fused multiply-adds: a transform of x or dy in one
# dimension is two products and sums; one of the results, a sum, two products and two sums. The
# factors 1 / f of G are left to the sums: each is rounded, and so is the product.
_TRANSFORM, _RESULT, _SCALE = 2 * 4, 2 * 5, 2


def _tiles(image: Array, size: int, step: int, rows: int, columns: int) -> Array:
    """Tiles (rows * columns, size, size, C) of an image that is `step` pixels apart."""
    h, w = (rows - 1) * step + size, (columns - 1) * step + size
    room = np.zeros((h, w, image.shape[2]))
    room[: min(h, image.shape[0]), : min(w, image.shape[1])] = image[:h, :w]
    windows = np.lib.stride_tricks.sliding_window_view(room, (size, size), axis=(0, 1))
    found = windows[::step, ::step].transpose(0, 1, 3, 4, 2)
    return found.reshape(rows * columns, size, size, -1)


def _transform(matrix: Array, tiles: Array) -> Array:
    """``matrix X matrix^T`` for tiles X of (..., N, N, channels)."""
    found: Array = np.einsum("ip,tpqc,jq->tijc", matrix, tiles, matrix, optimize=True)
    return found


def winograd_weight_bound(ctx: Context, dy: Array, x: Array) -> tuple[Array, Array | None]:
    """Bound of dw and db in units of eps, for the row ``cpu_winograd``.

    With ``u = G dy G^T`` and ``v = B^T x B`` of a tile, computed values are off by at most
    ``a eps |G||dy||G^T|`` and ``a eps |B^T||x||B|``, where a counts the roundings on the way of a
    term (Higham 2002, lemma 3.1: n factors 1 + delta are within n eps of 1, up to terms of
    eps^2). The sum over n tiles adds n roundings, the transform of the result b, the factors of G
    c. So dw is within ``eps |A^T| s |A|``,

    ``s = (n + b + c) sum |u||v| + a sum (|G||dy||G^T| |v| + |u| |B^T||x||B|)``,

    one more rounding of each kind for what is of the order eps^2. db is a sum as any other.

    Parameters
    ----------
    ctx : Context
    dy : ndarray of float64, shape (N, P, Q, K)
    x : ndarray of float64, shape (N, H, W, C)

    Returns
    -------
    dw : ndarray, shape (KH, KW, C/groups, K)
    db : ndarray, shape (K,), or None
        None where db is absent.
    """
    assert ctx.out[0] is not None
    taps, groups = ctx.out[0].shape[0], ctx["groups"]
    size = 7 - taps  # of a tile of dy
    at, g, bt = matrices(taps, size)
    rows, columns = -(-dy.shape[1] // size), -(-dy.shape[2] // size)
    n = dy.shape[0] * rows * columns
    padded = pad_image(x, ctx.params)
    c, k = x.shape[3] // groups, dy.shape[3] // groups
    sums = np.zeros((groups, 6, 6, c, k))
    for image, gradient in zip(padded, dy, strict=True):
        dy_tiles = _tiles(gradient, size, size, rows, columns)
        x_tiles = _tiles(image, 6, size, rows, columns)
        u, v = np.abs(_transform(g, dy_tiles)), np.abs(_transform(bt, x_tiles))
        u_error = (_TRANSFORM + 1) * _transform(np.abs(g), np.abs(dy_tiles))
        v_error = (_TRANSFORM + 1) * _transform(np.abs(bt), np.abs(x_tiles))
        v_error += (n + _RESULT + _SCALE + 1) * v
        for group in range(groups):
            of_x, of_dy = slice(group * c, (group + 1) * c), slice(group * k, (group + 1) * k)
            for left, right in ((v, u_error), (v_error, u)):
                sums[group] += np.einsum(
                    "tijc,tijk->ijck", left[..., of_x], right[..., of_dy], optimize=True
                )
    dw = np.einsum("pi,gijck,qj->pqcgk", np.abs(at), sums, np.abs(at), optimize=True)
    db = None if ctx.out[1] is None else (dy[..., 0].size + 2) * np.abs(dy).sum(axis=(0, 1, 2))
    return dw.reshape(ctx.out[0].shape), db
