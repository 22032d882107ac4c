"""What tests of programs and of their runs change, and give back."""

import pytest

import convkit as ck
from convkit import _core
from convkit import random as ck_random


@pytest.fixture(autouse=True)
def restored():
    seed, threads, isa = ck_random._seed, ck.get_num_threads(), _core.isa()
    ck.set_seed(7)
    yield
    ck_random._seed = seed
    ck.set_num_threads(threads)
    _core.set_isa(isa)
