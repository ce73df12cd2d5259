"""Compares two methods of detecting infected cells in a smear, on out-of-fold scores: counting cells above a threshold, and estimating the
infected share from all scores by expectation maximisation (Saerens et al., Neural Computation 14 (2002)).

    pip install numpy==2.4.6
    python tools/infected_share_by_em.py results/oof-field.csv.gz --json results/em-field.json

For each fold, the densities of the scores, the threshold and the limits of blank (which 95 % of smears without infected cells do not exceed) come
from the other folds. Smears of 5,000 cells are sampled from each patient's own cells, so cells of patients with few cells repeat: the
comparison of the two methods is valid, but the shares themselves are optimistic.
"""

import argparse
import csv
import gzip
import json
from collections import defaultdict

import numpy as np

CELLS, DRAWS, SHARES = 5_000, 8, (0, 0.005, 0.01, 0.02, 0.05)
# Bins of log-odds, and the candidate thresholds.
EDGES = np.linspace(-8, 8, 41)
BINS, THRESHOLDS = len(EDGES) + 1, range(20, len(EDGES) + 1)
# Patients with fewer cells of a kind are excluded.
FEWEST = {False: 30, True: 10}


def histograms(path):
    """For each patient the fold, and the numbers of uninfected and infected cells by score."""
    with gzip.open(path, "rt") as file:
        rows = list(csv.DictReader(file))
    patients = defaultdict(lambda: {False: np.zeros(BINS, int), True: np.zeros(BINS, int)})
    for row in rows:
        share = min(max(float(row["probability"]), 1e-6), 1 - 1e-6)
        place = np.digitize(np.log(share / (1 - share)), EDGES)
        cells = patients[row["patient"]]
        cells["fold"] = row["fold"]
        cells[row["class"] == "Parasitized"][place] += 1
    return dict(patients)


def infected_share(counts, density):
    ratio, share = density[True] / density[False], 0.01
    for _ in range(200):
        weights = share * ratio / (1 - share + share * ratio)
        last, share = share, max((counts * weights).sum() / counts.sum(), 1e-7)
        if abs(share - last) < 1e-7:
            break
    return share


def smears(patient, share, random):
    for _ in range(DRAWS):
        infected = random.binomial(CELLS, share)
        counts = random.multinomial(CELLS - infected, patient[False] / patient[False].sum())
        if infected:
            counts = counts + random.multinomial(infected, patient[True] / patient[True].sum())
        yield counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions")
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    patients = histograms(arguments.predictions)
    healthy = [p for p in patients.values() if p[False].sum() >= FEWEST[False]]
    infected = [p for p in healthy if p[True].sum() >= FEWEST[True]]
    found = defaultdict(list)
    for fold in sorted({p["fold"] for p in healthy}):
        others = [p for p in patients.values() if p["fold"] != fold]
        density = {}
        for kind in (False, True):
            density[kind] = np.mean([p[kind] / p[kind].sum() for p in others if p[kind].sum()], axis=0) + 1e-5
            density[kind] /= density[kind].sum()

        def measures(patient, share):
            each = [[infected_share(c, density), *(c[t:].sum() for t in THRESHOLDS)] for c in smears(patient, share, random)]
            return np.array(each)

        blank = np.quantile(np.concatenate([measures(p, 0) for p in healthy if p["fold"] != fold]), 0.95, axis=0)
        trial = np.concatenate([measures(p, 0.01) for p in infected if p["fold"] != fold])
        best = 1 + int(np.argmax((trial[:, 1:] > blank[1:]).mean(axis=0)))
        for share in SHARES:
            for patient in (p for p in infected if p["fold"] == fold):
                above = (measures(patient, share) > blank).mean(axis=0)
                found["expectation maximisation", share].append(above[0])
                found["threshold", share].append(above[best])
    result = {
        "command": f"python tools/infected_share_by_em.py {arguments.predictions} --json {arguments.json}",
        "patients": len(infected),
        "cells": CELLS,
        "called_positive": [
            {"by": by, "infected_share": share, "found": float(np.mean(values))} for (by, share), values in found.items()
        ],
    }
    with open(arguments.json, "w") as file:
        json.dump(result, file, indent=2)
        file.write("\n")
    for row in result["called_positive"]:
        print(f"{row['by']:<26} {row['infected_share']:>6.1%} {row['found']:>7.1%}")


if __name__ == "__main__":
    main()
