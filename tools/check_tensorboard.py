"""Reads the event files of `malaria compare --tensorboard` with TensorBoard's own reader, and compares them with the runs' history.csv.

    pip install tensorboard==2.20.0
    malaria compare RUN… --tensorboard FOLDER
    python tools/check_tensorboard.py FOLDER RUN…

The exit code is 1 if a value differs. `--record` prints the first record as written by TensorBoard, in hexadecimal digits, for the
test of crates/cli/src/tensorboard.rs.
"""

import csv
import io
import sys
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.summary.writer.record_writer import RecordWriter

TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "validation_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "validation_accuracy",
    "learning_rate": "learning_rate",
}


def first_record():
    place = io.BytesIO()
    RecordWriter(place).write(Event(wall_time=0, step=0, file_version="brain.Event:2").SerializeToString())
    return place.getvalue()


def check(folder, run):
    rows = list(csv.DictReader((run / "history.csv").open()))
    found = EventAccumulator(str(folder / run.name))
    found.Reload()
    for tag, column in TAGS.items():
        expected = [(int(row["epoch"]), float(row[column])) for row in rows if row[column]]
        if not expected:
            continue
        values = [(event.step, event.value) for event in found.Scalars(tag)]
        # Values are float32.
        right = len(values) == len(expected) and all(
            step == epoch and abs(value - wanted) <= 1e-6 * max(1, abs(wanted))
            for (step, value), (epoch, wanted) in zip(values, expected)
        )
        if not right:
            raise SystemExit(f"{run.name}: {tag}: expected {expected}, found {values}")
    print(f"{run.name}: {len(rows)} epochs, as in history.csv")


if __name__ == "__main__":
    if sys.argv[1:] == ["--record"]:
        print(first_record().hex())
    else:
        for name in sys.argv[2:]:
            check(Path(sys.argv[1]), Path(name))
