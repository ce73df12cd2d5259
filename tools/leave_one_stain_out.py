"""Measures training settings on stains that are not in the training set, with cells of one clinic.

    pip install numpy==2.4.6 pillow==13.0.0 scikit-image==0.26.0 scikit-learn==1.9.1
    python tools/leave_one_stain_out.py cell_images CONFIG.json... --json FILE [--out DIR] [--malaria COMMAND]
        [--external DIR]

Patients are clustered by the mean colour of their uninfected cells in CIELAB (k-means, four clusters; the two smaller ones count as one).
For each cluster and each CONFIG.json, `malaria train` trains on about 5,000 cells of the patients outside the cluster, with equal numbers
per patient, and `malaria evaluate` measures the AUC on up to 25 cells per class of each patient inside. Settings are compared by these
AUCs. With --external, the AUC on that folder is also reported; settings must not be chosen by it. Runs and cells are stored in DIR;
existing runs are not repeated.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.color import rgb2lab
from sklearn.cluster import KMeans

CLASSES = "Parasitized", "Uninfected"
CLUSTERS, TRAIN_CELLS, TEST_CELLS, COLOUR_CELLS = 4, 5000, 25, 25
# Pixels darker than this in all channels are the black background around a cell.
BLACK = 32


def cells_by_patient(data):
    found = defaultdict(list)
    for name in CLASSES:
        for file in sorted((data / name).iterdir()):
            if patient := re.match(r"C(\d+)", file.name):
                found[patient[0], name].append(file)
    return found


def colour(file):
    pixels = np.asarray(Image.open(file).convert("RGB"))
    return rgb2lab(pixels)[pixels.max(axis=2) >= BLACK].mean(axis=0)


def clusters(cells, random):
    """The cluster of each patient: 0 and 1 for the larger clusters, 2 for the others."""
    patients = sorted({patient for patient, _ in cells})
    colours = []
    for patient in patients:
        files = cells[patient, "Uninfected"] or cells[patient, "Parasitized"]
        colours.append(np.mean([colour(files[i]) for i in random.permutation(len(files))[:COLOUR_CELLS]], axis=0))
    colours = np.array(colours)
    labels = KMeans(CLUSTERS, n_init=20, random_state=0).fit(colours / colours.std(axis=0)).labels_
    rank = {label: min(place, 2) for place, (label, _) in enumerate(Counter(labels).most_common())}
    cluster = {patient: rank[label] for patient, label in zip(patients, labels)}
    means = [colours[[cluster[patient] == k for patient in patients]].mean(axis=0).round(1).tolist() for k in range(3)]
    return cluster, means


def link(files, folder):
    folder.mkdir(parents=True)
    for file in files:
        os.symlink(file.resolve(), folder / file.name)


def write_cells(cells, cluster, held_out, folder, random):
    inside = {patient for patient, k in cluster.items() if k == held_out}
    # The largest number of cells per patient and class with which the other patients have at most TRAIN_CELLS.
    sizes = [len(files) for (patient, _), files in cells.items() if patient not in inside]
    most = max(most for most in range(1, 1000) if sum(min(size, most) for size in sizes) <= TRAIN_CELLS)
    for part, limit in (("train", most), ("test", TEST_CELLS)):
        for name in CLASSES:
            chosen = []
            for (patient, of), files in sorted(cells.items()):
                if of == name and (patient in inside) == (part == "test"):
                    chosen += [files[i] for i in random.permutation(len(files))[:limit]]
            link(chosen, folder / part / name)


def malaria(command, *arguments):
    result = subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"error: {shlex.join([*command, *map(str, arguments)])}\n{result.stderr}")


def auc(command, run, data, file):
    malaria(command, "evaluate", "--run", run, "--data", data, "--json", file)
    return json.loads(file.read_text())["auc"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("configs", type=Path, nargs="+", metavar="CONFIG.json")
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/leave-one-stain-out"))
    parser.add_argument("--malaria", default="cargo run --release --quiet --bin malaria --")
    parser.add_argument("--external", type=Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()
    command = shlex.split(options.malaria)

    random = np.random.default_rng(0)
    cells = cells_by_patient(options.data)
    cluster, means = clusters(cells, random)
    for held_out in range(3):
        folder = options.out / f"cells-{held_out}"
        shutil.rmtree(folder, ignore_errors=True)
        write_cells(cells, cluster, held_out, folder, random)

    runs = []
    for config in options.configs:
        for held_out in range(3):
            run, folder = options.out / f"{config.stem}-{held_out}", options.out / f"cells-{held_out}"
            result = run.with_name(f"{run.name}.json")
            if not result.exists():
                shutil.rmtree(run, ignore_errors=True)
                malaria(command, "train", "--config", config, "--data", folder / "train", "--split", "all", "--threads",
                        options.threads, "--out", run)
                auc(command, run, folder / "test", result)
            row = {"settings": config.stem, "held_out": held_out, "auc": json.loads(result.read_text())["auc"]}
            if options.external:
                row["external_auc"] = auc(command, run, options.external, run.with_name(f"{run.name}.external.json"))
            runs.append(row)
            print(row, flush=True)
    patients = Counter(cluster.values())
    document = {
        "clusters": [{"patients": patients[k], "mean_lab": means[k]} for k in range(3)],
        "mean_auc": {
            config.stem: float(np.mean([row["auc"] for row in runs if row["settings"] == config.stem]))
            for config in options.configs
        },
        "runs": runs,
    }
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    print(f"written: {options.json}")


if __name__ == "__main__":
    main()
