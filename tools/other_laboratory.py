"""Summarises a model's predictions for the cells of another laboratory, with intervals over its photographs.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    malaria evaluate --data other_cells --patient-pattern '(field_[0-9]+)_' --predictions predictions.csv --json evaluation.json
    python tools/other_laboratory.py predictions.csv evaluation.json --json FILE [--stage REGEX]

Cells of one photograph (the column `patient`) resemble each other, so photographs are resampled 2,000 times; intervals contain the
middle 95 %. REGEX, with one group, finds the stage of a parasitized cell in its file name.
"""

import argparse
import csv
import json
import re
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

DRAWS, SPECIFICITY = 2000, 0.95


def at_specificity(infected, scores, specificity):
    """Sensitivity at the lowest threshold that calls at most 1 - `specificity` of the uninfected cells positive."""
    uninfected = np.sort(scores[~infected])
    allowed = int((1 - specificity) * len(uninfected))
    return float((scores[infected] > uninfected[len(uninfected) - 1 - allowed]).mean())


def best_f1(infected, scores):
    """F1 of the infected cells at the threshold where it is highest."""
    right = np.cumsum(infected[np.argsort(-scores)])
    return float((2 * right / (np.arange(1, len(right) + 1) + infected.sum())).max())


def metrics(infected, scores, threshold):
    called = scores >= threshold
    return {
        "auc": float(roc_auc_score(infected, scores)),
        "best_f1": best_f1(infected, scores),
        "sensitivity_at_95_specificity": at_specificity(infected, scores, SPECIFICITY),
        "sensitivity": float(called[infected].mean()),
        "specificity": float((~called[~infected]).mean()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predictions", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--stage", type=re.compile, metavar="REGEX")
    options = parser.parse_args()

    evaluation = json.loads(options.evaluation.read_text())
    positive, threshold = evaluation["positive_class"], evaluation["threshold"]["threshold"]
    with open(options.predictions, newline="") as file:
        rows = list(csv.DictReader(file))
    infected = np.array([row["class"] == positive for row in rows])
    scores = np.array([float(row[f"probability_{positive}"]) for row in rows])
    names = sorted({row["patient"] for row in rows})
    cells_of = [np.flatnonzero([row["patient"] == name for row in rows]) for name in names]

    random = np.random.default_rng(0)
    draws = []
    while len(draws) < DRAWS:
        cells = np.concatenate([cells_of[i] for i in random.integers(0, len(names), len(names))])
        if 0 < infected[cells].sum() < len(cells):
            draws.append(metrics(infected[cells], scores[cells], threshold))
    document = {
        "run": evaluation["run"],
        "photographs": len(names),
        "cells": len(rows),
        "infected": int(infected.sum()),
        "threshold": threshold,
        "intervals": f"{DRAWS} resamplings of photographs, the middle 95 %",
        **{
            key: {"value": value, "interval": np.quantile([draw[key] for draw in draws], [0.025, 0.975]).tolist()}
            for key, value in metrics(infected, scores, threshold).items()
        },
    }
    if options.stage:
        stages = [options.stage.search(row["path"])[1] if sick else None for row, sick in zip(rows, infected)]
        document["by_stage"] = {
            stage: {"cells": stages.count(stage),
                    "sensitivity": float((scores[[s == stage for s in stages]] >= threshold).mean())}
            for stage in sorted(set(stages) - {None})
        }
    options.json.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
