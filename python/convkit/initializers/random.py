"""Initial values that are drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from convkit.errors import did_you_mean
from convkit.initializers.base import Array, Initializer


def compute_fans(shape: Sequence[int]) -> tuple[int, int]:
    """Return the number of inputs and outputs that a weight connects.

    Parameters
    ----------
    shape : sequence of int
        Dense (C, K) or convolution (KH, KW, C/groups, K). With groups the inputs are those of one
        group and the outputs those of all, as in Keras.

    Returns
    -------
    fan_in, fan_out : int
    """
    if len(shape) == 0:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


def _truncated(rng: np.random.Generator, shape: Sequence[int]) -> Array:
    """Standard normal numbers within two standard deviations; others are drawn again."""
    z = np.asarray(rng.standard_normal(shape, dtype=np.float32))
    flat = z.reshape(-1)
    while (outside := np.flatnonzero(np.abs(flat) > 2)).size:
        flat[outside] = rng.standard_normal(outside.size, dtype=np.float32)
    return z


class RandomUniform(Initializer):
    """Uniform between `minval` and `maxval`.

    Parameters
    ----------
    minval, maxval : float
    seed : int, optional
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        if not (math.isfinite(minval) and math.isfinite(maxval) and minval <= maxval):
            raise ValueError(
                f"[{type(self).__name__}] needs finite minval <= maxval, got {minval} and {maxval}"
            )
        self.minval, self.maxval = minval, maxval

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        u = np.asarray(rng.random(shape, dtype=np.float32))
        return u * np.float32(self.maxval - self.minval) + np.float32(self.minval)


class RandomNormal(Initializer):
    """Normal.

    Parameters
    ----------
    mean, stddev : float
    seed : int, optional
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed: int | None = None) -> None:
        super().__init__(seed)
        if not (math.isfinite(mean) and math.isfinite(stddev) and stddev >= 0):
            raise ValueError(
                f"[{type(self).__name__}] needs a finite mean and stddev >= 0, got {mean} and "
                f"{stddev}"
            )
        self.mean, self.stddev = mean, stddev

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        z = np.asarray(rng.standard_normal(shape, dtype=np.float32))
        return z * np.float32(self.stddev) + np.float32(self.mean)


class TruncatedNormal(RandomNormal):
    """Normal, with values beyond two standard deviations drawn again."""

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        return _truncated(rng, shape) * np.float32(self.stddev) + np.float32(self.mean)


class VarianceScaling(Initializer):
    """Variance `scale` / n, with n the fan in, the fan out or their mean.

    Parameters
    ----------
    scale : float
    mode : str
        "fan_in", "fan_out" or "fan_avg".
    distribution : str
        "truncated_normal", "untruncated_normal" or "uniform".
    seed : int, optional
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        modes = ("fan_in", "fan_out", "fan_avg")
        kinds = ("truncated_normal", "untruncated_normal", "uniform")
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"[VarianceScaling] scale must be positive, got {scale}")
        if mode not in modes:
            raise ValueError(f"[VarianceScaling] unknown mode {mode!r}{did_you_mean(mode, modes)}")
        if distribution not in kinds:
            known = did_you_mean(distribution, kinds)
            raise ValueError(f"[VarianceScaling] unknown distribution {distribution!r}{known}")
        self.scale, self.mode, self.distribution = scale, mode, distribution

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in, fan_out = compute_fans(shape)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return RandomUniform(-limit, limit).draw(shape, rng)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, math.sqrt(variance)).draw(shape, rng)
        # The standard deviation of a standard normal number within two of them.
        return TruncatedNormal(0.0, math.sqrt(variance) / 0.87962566103423978).draw(shape, rng)


class UniformFanIn(Initializer):
    """Uniform within +-`scale` / fan in (LeCun et al. 1998, appendix A).

    Parameters
    ----------
    scale : float
    fan_in : int, optional
        Inputs of a unit, for weights whose shape does not tell it.
    seed : int, optional
    """

    def __init__(
        self, scale: float = 2.4, fan_in: int | None = None, seed: int | None = None
    ) -> None:
        super().__init__(seed)
        if not (math.isfinite(scale) and scale > 0):
            raise ValueError(f"[UniformFanIn] scale must be positive, got {scale}")
        if fan_in is not None and fan_in < 1:
            raise ValueError(f"[UniformFanIn] fan_in must be at least 1, got {fan_in}")
        self.scale, self.fan_in = scale, fan_in

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        fan_in = compute_fans(shape)[0] if self.fan_in is None else self.fan_in
        limit = self.scale / max(1, fan_in)
        return RandomUniform(-limit, limit).draw(shape, rng)


class _Scaled(VarianceScaling):
    _options: tuple[float, str, str]

    def __init__(self, seed: int | None = None) -> None:
        super().__init__(*self._options, seed=seed)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.seed is None else f'seed={self.seed}'})"


class GlorotUniform(_Scaled):
    """Uniform with variance 2 / (fan in + fan out) (Glorot and Bengio 2010)."""

    _options = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal with variance 2 / (fan in + fan out) (Glorot and Bengio 2010)."""

    _options = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform with variance 2 / fan in (He et al. 2015)."""

    _options = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal with variance 2 / fan in (He et al. 2015)."""

    _options = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform with variance 1 / fan in (LeCun et al. 1998); Caffe's "xavier"."""

    _options = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal with variance 1 / fan in (LeCun et al. 1998)."""

    _options = (1.0, "fan_in", "truncated_normal")


class Orthogonal(Initializer):
    """A matrix with orthonormal rows or columns, times `gain` (Saxe, McClelland and Ganguli 2014).

    The last axis is that of the columns; the rows are all other axes together. With more rows than
    columns these are orthonormal, otherwise the rows are.

    Parameters
    ----------
    gain : float
    seed : int, optional
    """

    def __init__(self, gain: float = 1.0, seed: int | None = None) -> None:
        super().__init__(seed)
        self.gain = float(gain)

    def draw(self, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
        if len(shape) < 2:
            raise ValueError(f"[Orthogonal] needs a shape of two axes at least, got {shape}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        # With r's diagonal positive the factors are unique, and q is uniform (Mezzadri 2007).
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)
        matrix = q if rows >= columns else q.T
        return (self.gain * matrix).reshape(shape).astype(np.float32)
