"""Measures how often the input check of trained models warns about cells and about other pictures.

    pip install numpy==2.4.6 pillow==13.0.0 scikit-learn==1.9.1
    python tools/check_input.py cell_images RUN_DIR... [--json FILE] [--predict "COMMAND"]

Each RUN_DIR is a run with test cells, such as a fold of a cross-validation. The test cells are checked unchanged, and 400 of them
blurred and on a bright ground. The other pictures are random noise and pieces of the two photographs of scikit-learn. COMMAND
classifies pictures; the default is `cargo run --release --bin malaria -- predict`. The exit code is 1 if it warns about more than
1 % of the cells, or about less than 95 % of any other kind.
"""

import argparse
import csv
import json
import shlex
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from sklearn.datasets import load_sample_images

CELLS = "cells of the test set"
SHOWN = 400
MOST_CELLS_WARNED, LEAST_OTHERS_WARNED = 0.01, 0.95
# Pixels darker than this in all channels are the black background around a cell.
BLACK = 32


def test_cells(run, data):
    with open(run / "split.csv", newline="") as file:
        return [data / row["path"] for row in csv.DictReader(file) if row["subset"] == "test"]


def blurred(radius):
    """Blurs the whole picture with its background by a Gaussian of `radius` pixels, as if out of focus."""
    return lambda cell, _: cell.filter(ImageFilter.GaussianBlur(radius))


def on_bright_ground(cell, random):
    """Replaces the black background by a bright one, as around a cell in a smear."""
    pixels = np.asarray(cell).copy()
    ground = (pixels < BLACK).all(axis=2)
    pixels[ground] = np.clip(random.normal([228, 220, 225], 4, (ground.sum(), 3)), 0, 255)
    return Image.fromarray(pixels)


def noise(cell, random):
    return Image.fromarray(random.integers(0, 256, (cell.height, cell.width, 3), dtype=np.uint8))


def photograph(photographs, cell, random):
    photo = photographs[random.integers(len(photographs))]
    side = int(random.integers(64, 400))
    top, left = (int(random.integers(0, length - side)) for length in photo.shape[:2])
    return Image.fromarray(photo[top : top + side, left : left + side])


def warned(command, run, paths):
    """Number of pictures that the program warns about."""
    output = subprocess.run([*command, "--run", run, *paths, "--json"], capture_output=True, check=True)
    return sum(prediction["warning"] is not None for prediction in json.loads(output.stdout)["cells"])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--predict", default="cargo run --release --bin malaria -- predict")
    args = parser.parse_args()
    command, random = shlex.split(args.predict), np.random.default_rng(0)
    photographs = load_sample_images().images
    kinds = {
        "noise": noise,
        "photographs of other things": lambda *cell: photograph(photographs, *cell),
        "heavy blur, 4 px": blurred(4),
        "blur, 3 px": blurred(3),
        "bright ground": on_bright_ground,
    }
    shown, found = Counter(), Counter()
    for run in args.runs:
        cells = test_cells(run, args.data)
        shown[CELLS] += len(cells)
        found[CELLS] += warned(command, run, cells)
        for kind, make in kinds.items():
            with tempfile.TemporaryDirectory() as folder:
                for number, path in enumerate(random.choice(cells, SHOWN, replace=False)):
                    make(Image.open(path).convert("RGB"), random).save(f"{folder}/{number}.png")
                shown[kind] += SHOWN
                found[kind] += warned(command, run, [folder])
    shares = {kind: found[kind] / shown[kind] for kind in shown}
    for kind, share in shares.items():
        print(f"{kind:<30} {found[kind]:>5} of {shown[kind]:>5} warned of, {100 * share:.2f} %")
    if args.json:
        table = [{"kind": kind, "shown": shown[kind], "warned": found[kind], "share": shares[kind]} for kind in shown]
        command = f"python tools/check_input.py {args.data} {' '.join(map(str, args.runs))}"
        args.json.write_text(json.dumps({"command": command, "kinds": table}, indent=2) + "\n")
    others = [share for kind, share in shares.items() if kind != CELLS]
    return int(shares[CELLS] > MOST_CELLS_WARNED or min(others) < LEAST_OTHERS_WARNED)


if __name__ == "__main__":
    sys.exit(main())
