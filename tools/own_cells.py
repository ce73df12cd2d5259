"""Measures how many labelled cells of one's own laboratory a pretrained model needs.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python tools/own_cells.py own_cells --photograph '(field_[0-9]+)_' --json FILE [--cells N...] [--recipe NAME]
        [--config FILE] [--init RUN_DIR] [--splits I...] [--malaria COMMAND]

The photographs are split into five parts. For each part, models are fine-tuned on cells of the other four and tested on the part's cells,
as AUC. The training cells are the first N cells of the photographs in random order ("as they come"), and N cells of which half are infected, or
all infected ones that there are. Trained models are deleted. REGEX, with one group, finds a cell's photograph in its file name.
"""

import argparse
import csv
import json
import re
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

CLASSES = "Parasitized", "Uninfected"
PARTS = 5


def link(cells, folder):
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    for name, file in cells:
        (folder / name / file.name).symlink_to(file.resolve())
    return folder


def auc(malaria, model, data, folder):
    predictions = folder / "predictions.csv"
    evaluate = ["evaluate", "--data", data, *(["--run", model] if model else []), "--predictions", predictions]
    subprocess.run([*malaria, *map(str, evaluate)], check=True, capture_output=True)
    rows = list(csv.DictReader(predictions.open()))
    return float(roc_auc_score([row["class"] == CLASSES[0] for row in rows], [float(row[f"probability_{CLASSES[0]}"]) for row in rows]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--photograph", type=re.compile, metavar="REGEX", required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--cells", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--splits", type=int, nargs="+", default=list(range(1, PARTS + 1)))
    parser.add_argument("--recipe", default="finetune")
    parser.add_argument("--config", type=Path)
    parser.add_argument("--init", type=Path, default=Path("data/pretrained"))
    parser.add_argument("--malaria", default="cargo run --release --quiet --bin malaria --")
    options = parser.parse_args()
    malaria = shlex.split(options.malaria)
    settings = ["--config", options.config] if options.config else ["--recipe", options.recipe]

    cells = [(name, file) for name in CLASSES for file in sorted((options.data / name).iterdir())]
    photograph = {file: options.photograph.search(file.name)[1] for _, file in cells}
    names = np.random.default_rng(0).permutation(sorted(set(photograph.values())))
    rows = []
    for part in options.splits:
        tested = set(names[part - 1 :: PARTS])
        random = np.random.default_rng(part)
        order = {name: place for place, name in enumerate(random.permutation([name for name in names if name not in tested]))}
        test = [cell for cell in cells if photograph[cell[1]] in tested]
        come = sorted((cell for cell in cells if photograph[cell[1]] in order), key=lambda cell: (order[photograph[cell[1]]], random.random()))
        infected = [cell for cell in come if cell[0] == CLASSES[0]]
        uninfected = [cell for cell in come if cell[0] != CLASSES[0]]
        chosen = [("none", [])]
        for n in options.cells:
            chosen.append(("as they come", come[:n]))
            half = min(n // 2, len(infected))
            chosen.append(("up to half infected", infected[:half] + uninfected[: n - half]))
        for how, training in chosen:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary)
                row = {"split": part, "cells": len(training), "infected": sum(name == CLASSES[0] for name, _ in training), "chosen": how}
                model = None if not training else folder / "run"
                if training:
                    train = ["train", "--data", link(training, folder / "train"), "--init", options.init, "--split", "all", *settings, "--out", model]
                    start = time.monotonic()
                    done = subprocess.run([*malaria, *map(str, train)], capture_output=True, text=True)
                    if done.returncode:
                        row["failed"] = done.stderr.strip().splitlines()[-1].replace(f"{folder}/", "")
                    row["seconds"] = round(time.monotonic() - start, 1)
                if "failed" not in row:
                    row["auc"] = auc(malaria, model or options.init, link(test, folder / "test"), folder)
                rows.append(row)
                print(row, flush=True)

    summary = []
    for how, n in dict.fromkeys((row["chosen"], row["cells"]) for row in rows):
        found = [row["auc"] for row in rows if (row["chosen"], row["cells"]) == (how, n) and "auc" in row]
        summary.append({"chosen": how, "cells": n, "splits": len(found), "auc_mean": float(np.mean(found)) if found else None,
                        "auc_range": [min(found), max(found)] if found else None})
    options.json.write_text(json.dumps({"summary": summary, "rows": rows}, indent=1) + "\n")
    print(json.dumps(summary, indent=1))


if __name__ == "__main__":
    main()
