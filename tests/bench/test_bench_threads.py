"""`convkit.bench.threads`: its rows are those of the program, and the model stays as it is."""

import numpy as np

import convkit as ck
from convkit.bench import threads


def test_each_instruction_is_timed_on_one_thread_and_on_several():
    model = ck.Sequential([ck.Input((20,)), ck.layers.Dense(10)])
    model.compile("sgd", "mse")
    before, count = model.get_weights(), ck.get_num_threads()
    x, y = np.ones((4, 20), np.float32), np.ones((4, 10), np.float32)
    rows = threads.compare_threads(model, x, y, threads=3, steps=2)
    assert rows[0].instruction.op == "gather_rows"
    assert all(r.one > 0 and r.all > 0 and r.given == 1 for r in rows)
    assert rows[0].ratio == rows[0].all / rows[0].one
    assert ck.get_num_threads() == count
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_command_prints_a_line_for_each_batch(capsys):
    threads.main(["mlp", "1", "2"])
    lines = [line for line in capsys.readouterr().out.splitlines() if not line.startswith(" ")]
    assert [line.split(":")[0] for line in lines] == ["mlp, batch 1", "mlp, batch 2"]
