"""Compares the calls of a cross-validation's models with reduced weights with those of float32, on the test cells of each fold.

    pip install numpy==2.4.6
    cargo build --release -p malaria-cli -p malaria-edge
    python tools/measure_reduced.py cell_images CROSS_VALIDATION [--weights int8] [--json FILE]

Every fold is exported in both formats, and malaria-edge calls its test cells at the fold's threshold. Intervals are the 2.5th and 97.5th
percentiles over 10,000 bootstrap samples of patients; null if the calls of no patient change.
"""

import argparse
import csv
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np

DRAWS, SEED = 10_000, 0
MALARIA, EDGE = "target/release/malaria", "target/release/malaria-edge"


def calls(model, cells, positive):
    said = subprocess.run([EDGE, "classify", "--json", model, *cells], check=True, stdout=subprocess.PIPE).stdout
    called = {cell["path"]: cell["class"] == positive for cell in json.loads(said)["cells"]}
    return np.array([called[str(cell)] for cell in cells])


def lost(rows, side):
    """Loss in the share of cells of `side` called correctly, float32 minus reduced, and its interval over patients."""
    patients = {}
    for patient, is_positive, full, reduced in rows:
        if is_positive == side:
            counts = patients.setdefault(patient, [0, 0])
            counts[0] += int(full == side) - int(reduced == side)
            counts[1] += 1
    if not patients:
        return None
    counts = np.array(list(patients.values()))
    interval = None
    if counts[:, 0].any():
        drawn = np.random.default_rng(SEED).integers(len(counts), size=(DRAWS, len(counts)))
        shares = counts[drawn].sum(axis=1)
        low, high = np.percentile(shares[:, 0] / shares[:, 1], [2.5, 97.5])
        interval = {"low": low, "high": high}
    return {"estimate": counts[:, 0].sum() / counts[:, 1].sum(), "interval": interval}


def figures(rows):
    return {
        "n": len(rows),
        "n_patients": len({row[0] for row in rows}),
        "called_otherwise": int(sum(full != reduced for _, _, full, reduced in rows)),
        "sensitivity_loss": lost(rows, True),
        "specificity_loss": lost(rows, False),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("folds", type=Path)
    parser.add_argument("--weights", default="int8", choices=["f16", "int8"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    pooled, folds = [], []
    for number in range(1, 1 + len(json.loads((args.folds / "metrics.json").read_text())["folds"])):
        run = args.folds / f"fold-{number}"
        positive = json.loads((run / "config.json").read_text())["positive"]
        with open(run / "split.csv", newline="") as file:
            tested = [row for row in csv.DictReader(file) if row["subset"] == "test"]
        cells = [args.data / row["path"] for row in tested]
        with tempfile.TemporaryDirectory() as folder:
            full, reduced = (Path(folder) / f"{precision}.onnx" for precision in ["f32", args.weights])
            for file in (full, reduced):
                command = [MALARIA, "export", "--run", run, "--out", file, "--weights", file.stem, "--unchecked"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            said = [calls(model, cells, positive) for model in (full, reduced)]
            rows = [(row["patient"], row["class"] == positive, *both) for row, *both in zip(tested, *said)]
            folds.append({"fold": number, "bytes": reduced.stat().st_size, **figures(rows)})
        pooled += rows
    result = {"precision": args.weights, **figures(pooled), "folds": folds}
    text = json.dumps(result, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
