"""The digits as bitmaps of 7 x 12: target codes of an output layer of distances.

LeCun et al. 1998 (section III-B, figure 3) give each class a stylised picture of its character as
code, so that characters that look alike have codes that are alike. These are drawn anew, in that
manner: the printed set is of the same size and has the same +1 and -1, not the same pixels.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIGIT_CODES"]

_DRAWN = """
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
..###.. ...##.. .#####. ####### ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..###.. ##...## .....## ...###. ##..... .##.... ##...## ##...## ##...##
.#...#. .####.. .....## ....##. ..####. ##..... ##..... .....## ##...## ##...##
##...## ...##.. ....##. ...##.. .##.##. ######. ##..... ....##. ##...## ##...##
##...## ...##.. ...##.. ..####. ##..##. .....## ######. ....##. .#####. ##...##
##...## ...##.. ..##... .....## ##..##. .....## ##...## ...##.. ##...## .######
##...## ...##.. .##.... .....## ####### .....## ##...## ...##.. ##...## .....##
.#...#. ...##.. ##..... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ...##.. ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. .###### ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def _codes() -> NDArray[np.float32]:
    rows = [[list(part) for part in line.split()] for line in _DRAWN.split("\n") if line]
    ink = np.array(rows) == "#"  # row, digit, column
    codes = np.where(ink.transpose(1, 0, 2).reshape(10, 84), 1, -1).astype(np.float32)
    codes.flags.writeable = False
    return codes


# The code of each digit, +1 for ink and -1 for none, row by row: float32 of shape (10, 84).
DIGIT_CODES = _codes()
