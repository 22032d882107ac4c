"""The callback that writes the logs to a file."""

import pytest

from convkit.callbacks import CSVLogger, LearningRateScheduler
from models.conftest import blobs, classifier


def test_csv_logger(tmp_path):
    x, y = blobs(20)
    path = tmp_path / "log.csv"
    model = classifier()
    h = model.fit(x, y, epochs=2, callbacks=[CSVLogger(path)], verbose=0).history
    lines = path.read_text().splitlines()
    assert lines[0] == "epoch,accuracy,loss" and len(lines) == 3
    assert lines[2] == f"1,{h['accuracy'][1]},{h['loss'][1]}"
    model.fit(x, y, epochs=3, initial_epoch=2, callbacks=[CSVLogger(path, append=True)], verbose=0)
    assert [line.split(",")[0] for line in path.read_text().splitlines()] == [
        "epoch",
        "0",
        "1",
        "2",
    ]


def test_csv_logger_has_columns_for_what_is_evaluated_later(tmp_path):
    x, y = blobs(20)
    path = tmp_path / "log.csv"
    callbacks = [LearningRateScheduler(lambda epoch: 0.1), CSVLogger(path)]
    model = classifier(metrics=None)
    h = model.fit(x, y, epochs=3, validation_freq=2, split=(0.6, 0.2, 0.2), callbacks=callbacks,
                  verbose=0).history  # fmt: skip
    header, *rows = (line.split(",") for line in path.read_text().splitlines())
    assert header == ["epoch", "learning_rate", "loss", "test_loss", "val_loss"]
    assert [row[3:] for row in rows] == [
        ["NA", "NA"], [str(h["test_loss"][0]), str(h["val_loss"][0])], ["NA", "NA"],
    ]  # fmt: skip


def test_csv_logger_warns_of_values_without_a_column(tmp_path):
    x, y = blobs(20)
    path = tmp_path / "log.csv"
    classifier().fit(x, y, callbacks=[CSVLogger(path)], verbose=0)
    with pytest.warns(UserWarning, match="no column for val_accuracy, val_loss"):
        classifier().fit(x, y, validation_data=(x, y), callbacks=[CSVLogger(path, append=True)],
                         verbose=0)  # fmt: skip
