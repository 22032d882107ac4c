"""Data that does not fit in memory, and its preparation in the background.

Memory-mapped arrays, such as those of ``np.load(path, mmap_mode="r")``, need nothing of this:
``fit``, ``evaluate`` and ``predict`` take them like others and read them in the background.
"""

from __future__ import annotations

from convkit.data.prefetch import prefetch
from convkit.data.sequence import PyDataset, Sequence

__all__ = ["PyDataset", "Sequence", "prefetch"]
