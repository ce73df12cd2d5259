"""Measures whether a classifier warns when colours are too far from those it was trained on.

    pip install numpy==2.4.6 pillow==13.0.0 scikit-learn==1.9.1 onnxruntime==1.32.0
    python tools/stain_shifts.py cell_images CV --json FILE [--folds I...] [--cells N] [--malaria COMMAND]

CV is the folder of a cross-validation by patient. The cells of each fold's test patients (N of each class and patient) are changed by a grid of
shifts of exposure, white balance, dyes, gamma and hue, and by random combinations of them, in optical density. For each fold and
shift, the script computes the AUC of the fold's model and whether the share of uncertain cells (probability from 10 to 90 %) exceeds that
of 99 of 100 patients of the other folds, in which case the programs warn about the cells. Without a shift, each patient is evaluated separately.
"""

import argparse
import csv
import json
import shlex
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image
from sklearn.metrics import roc_auc_score

POSITIVE = "Parasitized"
# As in malaria-classifier.
UNCERTAIN, MIN_CELLS, USUAL = (0.1, 0.9), 30, 0.99
# Pixels darker than this in all channels are the black background around a cell.
BLACK = 31.5 / 255
# Optical density that gamma does not change.
PIVOT = 0.45
# Methylene blue and eosin (Ruifrok and Johnston 2001), and the perpendicular direction.
DYES = np.array([[0.834750233, 0.513556283, 0.196330403], [0.092789, 0.954111, 0.283111]])
DYES = np.vstack([DYES, np.cross(*DYES)])


def uncertain(probabilities):
    low, high = UNCERTAIN
    return float(np.mean((probabilities >= low) & (probabilities <= high)))


def grid(random):
    shifts = [{"exposure": e} for e in (-0.9, -0.6, -0.3, -0.15, 0.15, 0.3, 0.45, 0.6)]
    for channel in range(3):
        shifts += [{"cast": [e if i == channel else 0 for i in range(3)]} for e in (-0.6, -0.3, -0.15, 0.15, 0.3, 0.45)]
    for dye in range(2):
        shifts += [{"dyes": [e if i == dye else 0 for i in range(3)]} for e in (-2, -1, -0.5, 0.5, 1, 1.5, 2)]
    shifts += [{"gamma": g} for g in (-1.5, -1, -0.5, 0.5, 1, 1.5)]
    shifts += [{"hue": h} for h in (-0.3, -0.2, -0.1, -0.05, 0.05, 0.1, 0.2, 0.3)]
    for scale in [0.5] * 15 + [1] * 15 + [2] * 15 + [3] * 15:
        uniform = lambda low, high, size=None: (scale * random.uniform(low, high, size)).tolist() if size else float(scale * random.uniform(low, high))
        shifts.append(
            {
                "gamma": uniform(-0.5, 0.5),
                "dyes": [uniform(-0.7, 0.7), uniform(-0.35, 0.35), uniform(-0.35, 0.35)],
                "hue": uniform(-0.04, 0.04),
                "exposure": uniform(-0.25, 0.15),
                "cast": uniform(-0.1, 0.1, 3),
            }
        )
    return shifts


def shifted(images, gamma=0.0, dyes=(0, 0, 0), hue=0.0, exposure=0.0, cast=(0, 0, 0)):
    """Changes the cells of `images`, [N, H, W, 3] in [0, 1], and leaves the black."""
    density = -np.log(np.maximum(images, 1 / 255))
    density = (density - PIVOT) * np.exp(gamma) + PIVOT
    density = density @ np.linalg.inv(DYES) * np.exp(dyes) @ DYES
    grey = density.mean(axis=-1, keepdims=True)
    before, after = density[..., [2, 0, 1]], density[..., [1, 2, 0]]
    angle = 2 * np.pi * hue
    density = grey + np.cos(angle) * (density - grey) + np.sin(angle) * (before - after) / np.sqrt(3)
    changed = np.clip(np.exp(-(density - exposure - np.array(cast))), 0, 1)
    inside = images.max(axis=-1, keepdims=True) >= BLACK
    # Pictures are stored as bytes.
    return np.round(np.where(inside, changed, images) * 255).astype(np.float32) / 255


class Fold:
    def __init__(self, data, folder, cells, malaria):
        self.predictions = list(csv.DictReader((folder / "predictions.csv").open()))
        with tempfile.TemporaryDirectory() as temporary:
            model = Path(temporary) / "model.onnx"
            command = [*malaria, "export", "--run", str(folder), "--out", str(model)]
            subprocess.run(command, check=True, capture_output=True)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(model, options)
        side = self.session.get_inputs()[0].shape[2]
        groups = defaultdict(list)
        for row in self.predictions:
            groups[row["patient"], row["class"]].append(row)
        random = np.random.default_rng(0)
        rows = [rows[i] for _, rows in sorted(groups.items()) for i in random.permutation(len(rows))[:cells]]
        images = [Image.open(data / row["path"]).convert("RGB").resize((side, side), Image.Resampling.BOX) for row in rows]
        self.images = np.stack([np.asarray(image) for image in images]).astype(np.float32) / 255
        self.infected = np.array([row["class"] == POSITIVE for row in rows])

    def patients(self):
        """The shares of uncertain cells of the test patients."""
        groups = defaultdict(list)
        for row in self.predictions:
            groups[row["patient"]].append(float(row[f"probability_{POSITIVE}"]))
        return {name: uncertain(np.array(p)) for name, p in groups.items() if len(p) >= MIN_CELLS}

    def probabilities(self, images):
        name = self.session.get_inputs()[0].name
        batches = (images[i : i + 64].transpose(0, 3, 1, 2) for i in range(0, len(images), 64))
        return np.concatenate([self.session.run(None, {name: np.ascontiguousarray(batch)})[0][:, 0] for batch in batches])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("cv", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--folds", type=int, nargs="+", help="folds whose models are tested with the shifts [default: all]")
    parser.add_argument("--cells", type=int, default=10)
    parser.add_argument("--malaria", default="cargo run --release --quiet --bin malaria --")
    options = parser.parse_args()
    folders = sorted(options.cv.glob("fold-*"), key=lambda folder: int(folder.name.split("-")[1]))
    folds = [Fold(options.data, folder, options.cells, shlex.split(options.malaria)) for folder in folders]
    shares = [fold.patients() for fold in folds]

    def limit(fold):
        others = sorted(share for i, fold_shares in enumerate(shares) if i != fold for share in fold_shares.values())
        return others[int(np.ceil(USUAL * len(others))) - 1]

    unshifted = {name: share for i, own in enumerate(shares) for name, share in own.items() if share > limit(i)}
    rows = []
    for i, fold in enumerate(folds):
        if options.folds and i + 1 not in options.folds:
            continue
        for shift in [{}, *grid(np.random.default_rng(1))]:
            probabilities = fold.probabilities(shifted(fold.images, **shift))
            row = {
                "fold": i + 1,
                "shift": shift,
                "auc": float(roc_auc_score(fold.infected, probabilities)),
                "uncertain_share": uncertain(probabilities),
            }
            row["warned_of"] = row["uncertain_share"] > limit(i)
            rows.append(row)
            print(row, flush=True)

    def summary(chosen):
        chosen = list(chosen)
        return {"shifts": len(chosen), "warned_of": sum(row["warned_of"] for row in chosen)}

    unchanged = {row["fold"]: row["auc"] for row in rows if not row["shift"]}
    document = {
        "patients": sum(map(len, shares)),
        "patients_warned_of": unshifted,
        "limits": [limit(i) for i in range(len(folds))],
        "auc_below_0.97": summary(row for row in rows if row["shift"] and row["auc"] < 0.97),
        "auc_0.97_to_0.985": summary(row for row in rows if row["shift"] and 0.97 <= row["auc"] <= 0.985),
        "auc_above_0.985": summary(row for row in rows if row["shift"] and row["auc"] > 0.985),
        "auc_unchanged": unchanged,
        "auc_lower_by_0.02": summary(row for row in rows if row["auc"] < unchanged[row["fold"]] - 0.02),
        "rows": rows,
    }
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    print({key: value for key, value in document.items() if key != "rows"})


if __name__ == "__main__":
    main()
