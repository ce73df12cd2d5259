"""Computes the figures of metrics.json again, by scikit-learn from predictions.csv, and compares them.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    python tools/check_metrics.py RUN_DIR

RUN_DIR is that of a run, or of a cross-validation. Ends with 1 if a figure differs by more than 1e-12 (relative, where it is above 1).
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from sklearn import metrics

TOLERANCE = 1e-12


def main(run):
    said = json.loads((run / "metrics.json").read_text())
    with open(run / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    classes, positive = said["classes"], said["positive_class"]
    truth = np.array([classes.index(row["class"]) for row in rows])
    probabilities = np.array([[float(row[f"probability_{name}"]) for name in classes] for row in rows])
    predicted = probabilities.argmax(axis=1)
    assert [classes[i] for i in predicted] == [row["predicted"] for row in rows], "the column `predicted`"
    is_positive, scores = truth == classes.index(positive), probabilities[:, classes.index(positive)]

    def binary(called):
        score = lambda function, label: function(is_positive, called, pos_label=label)
        positive_ratio, negative_ratio = metrics.class_likelihood_ratios(is_positive, called)
        return {
            "sensitivity": score(metrics.recall_score, True),
            "specificity": score(metrics.recall_score, False),
            "ppv": score(metrics.precision_score, True),
            "npv": score(metrics.precision_score, False),
            "youdens_j": metrics.balanced_accuracy_score(is_positive, called, adjusted=True),
            "positive_likelihood_ratio": positive_ratio,
            "negative_likelihood_ratio": negative_ratio,
        }

    called = predicted == classes.index(positive)
    figures = {
        "n": len(rows),
        "accuracy": metrics.accuracy_score(truth, predicted),
        **binary(called),
        "f1": metrics.f1_score(is_positive, called),
        "auc": metrics.roc_auc_score(is_positive, scores),
        "mcc": metrics.matthews_corrcoef(truth, predicted),
        "cohens_kappa": metrics.cohen_kappa_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "average_precision": metrics.average_precision_score(is_positive, scores),
        "log_loss": metrics.log_loss(truth, probabilities),
        "brier": metrics.brier_score_loss(truth, probabilities, labels=range(len(classes))),
    }
    compared = [(name, said[name], value) for name, value in figures.items()]
    if said["at_threshold"] is not None:
        at = said["at_threshold"]
        called = scores >= at["threshold"]
        theirs = {"accuracy": metrics.accuracy_score(is_positive, called), **binary(called)}
        compared += [(f"at_threshold.{name}", at[name], value) for name, value in theirs.items()]
    matrix = metrics.confusion_matrix(truth, predicted, labels=range(len(classes)))
    for i, row in enumerate(matrix):
        compared += [(f"confusion[{i}][{j}]", said["confusion"][i][j], value) for j, value in enumerate(row)]

    by_class = metrics.precision_recall_fscore_support(truth, predicted, labels=range(len(classes)))
    for name, values in zip(["precision", "recall", "f1", "support"], by_class):
        compared += [(f"by_class[{i}].{name}", said["by_class"][i][name], value) for i, value in enumerate(values)]

    for average, ours in said["averages"].items():
        theirs = metrics.precision_recall_fscore_support(truth, predicted, average=average)
        names = ["precision", "recall", "f1"]
        compared += [(f"averages.{average}.{name}", ours[name], value) for name, value in zip(names, theirs)]

    worst = 0.0
    for name, ours, theirs in compared:
        if ours is None:
            # scikit-learn has a number for what is undefined.
            print(f"{name:<28} undefined")
            continue
        difference = abs(ours - theirs) / max(1.0, abs(theirs))
        worst = max(worst, difference)
        print(f"{name:<28} {ours:<22} {theirs:<22} {difference:.1e}")
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
