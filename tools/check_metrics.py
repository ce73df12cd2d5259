"""Recomputes the metrics of metrics.json from predictions.csv with scikit-learn and SciPy, and compares them.

    pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1
    python tools/check_metrics.py RUN_DIR

RUN_DIR is a run or a cross-validation with at least ten cells of each class. The exit code is 1 if a metric differs by more than 1e-12 (relative
for values above 1), or is undefined (null) in only one of the two. Limits of patients are
compared with a simulation of a million patients, to five standard errors. Bootstrap intervals over patients are not compared.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

TOLERANCE = 1e-12
BINS = 10
# A share with a denominator of 0 is undefined; scikit-learn's default is a number.
UNDEFINED = {"zero_division": np.nan}
CONFIDENCE = 0.95


def main(run):
    said = json.loads((run / "metrics.json").read_text())
    with open(run / "predictions.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    classes, positive = said["classes"], said["positive_class"]
    truth = np.array([classes.index(row["class"]) for row in rows])
    probabilities = np.array([[float(row[f"probability_{name}"]) for name in classes] for row in rows])
    is_positive, scores = truth == classes.index(positive), probabilities[:, classes.index(positive)]
    argmax = probabilities.argmax(axis=1)
    assert [classes[i] for i in argmax] == [row["most_probable"] for row in rows], "the column `most_probable`"
    predicted = argmax
    if said["decision_rule"] != "argmax":
        threshold = said["threshold"]["threshold"]
        if said["decision_rule"] == "fold-thresholds":
            # The cells of each fold are called at the threshold chosen on the other folds.
            of_fold = {str(fold["fold"]): fold["threshold"] for fold in said["folds"]}
            threshold = np.array([of_fold[row["fold"]] for row in rows])
        others = np.where(np.arange(len(classes)) == classes.index(positive), -1.0, probabilities).argmax(axis=1)
        predicted = np.where(scores >= threshold, classes.index(positive), others)
    assert [classes[i] for i in predicted] == [row["predicted"] for row in rows], "the column `predicted`"

    def binary(called):
        score = lambda function, label: function(is_positive, called, pos_label=label, **UNDEFINED)
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
        "accuracy_argmax": metrics.accuracy_score(truth, argmax),
        **binary(called),
        "f1": metrics.f1_score(is_positive, called, **UNDEFINED),
        "auc": metrics.roc_auc_score(is_positive, scores),
        # scikit-learn returns 0 if all cells have the same class.
        "mcc": metrics.matthews_corrcoef(truth, predicted) if len(set(predicted)) > 1 else np.nan,
        "cohens_kappa": metrics.cohen_kappa_score(truth, predicted),
        "balanced_accuracy": metrics.balanced_accuracy_score(truth, predicted),
        "average_precision": metrics.average_precision_score(is_positive, scores),
        "log_loss": metrics.log_loss(truth, probabilities),
        "brier": metrics.brier_score_loss(truth, probabilities, labels=range(len(classes))),
        "calibration_error": calibration_error(is_positive, scores),
    }
    compared = [(name, said[name], value) for name, value in figures.items()]
    own = said["intervals_over_cells"]
    over_cells = {
        "accuracy": wilson(predicted == truth),
        "sensitivity": wilson(called[is_positive]),
        "specificity": wilson(~called[~is_positive]),
        "auc": delong(is_positive, scores),
    }
    for name, ends in over_cells.items():
        compared += [(f"intervals_over_cells.{name}", own[name][end], value) for end, value in zip(["low", "high"], ends)]

    sensitivity, specificity = (binary(called)[name] for name in ["sensitivity", "specificity"])
    for i, at in enumerate(said["at_prevalence"]):
        share = at["prevalence"]
        right, alarms = share * sensitivity, (1 - share) * (1 - specificity)
        spared, missed = (1 - share) * specificity, share * (1 - sensitivity)
        compared += [(f"at_prevalence[{i}].ppv", at["ppv"], right / (right + alarms) if alarms > 0 else np.nan)]
        compared += [(f"at_prevalence[{i}].npv", at["npv"], spared / (spared + missed) if missed > 0 else np.nan)]
    if said["roll_up"] is not None:
        compared += patients(said, rows, is_positive, scores)
    matrix = metrics.confusion_matrix(truth, predicted, labels=range(len(classes)))
    for i, row in enumerate(matrix):
        compared += [(f"confusion[{i}][{j}]", said["confusion"][i][j], value) for j, value in enumerate(row)]

    by_class = metrics.precision_recall_fscore_support(truth, predicted, labels=range(len(classes)), **UNDEFINED)
    for name, values in zip(["precision", "recall", "f1", "support"], by_class):
        compared += [(f"by_class[{i}].{name}", said["by_class"][i][name], value) for i, value in enumerate(values)]

    for average, ours in said["averages"].items():
        theirs = metrics.precision_recall_fscore_support(truth, predicted, average=average, **UNDEFINED)
        names = ["precision", "recall", "f1"]
        compared += [(f"averages.{average}.{name}", ours[name], value) for name, value in zip(names, theirs)]

    differences = []
    for name, ours, theirs in compared:
        ours = np.nan if ours is None else ours
        both_undefined = np.isnan(ours) and np.isnan(theirs)
        differences.append(0.0 if both_undefined else abs(ours - theirs) / max(1.0, abs(theirs)))
        print(f"{name:<36} {ours:<22} {theirs:<22} {differences[-1]:.1e}")
    # NaN if only one of the two is undefined, which exceeds every tolerance.
    worst = np.max(differences)
    print(f"largest difference {worst:.1e}, allowed {TOLERANCE}")
    return 0 if worst <= TOLERANCE else 1


def calibration_error(is_positive, scores):
    share, mean = calibration_curve(is_positive, scores, n_bins=BINS)
    # Sizes of the bins of calibration_curve, which does not return them.
    sizes = np.bincount(np.searchsorted(np.linspace(0, 1, BINS + 1)[1:-1], scores), minlength=BINS)
    return np.average(abs(share - mean), weights=sizes[sizes > 0])


def wilson(right):
    ends = stats.binomtest(int(right.sum()), len(right)).proportion_ci(CONFIDENCE, "wilson")
    return ends.low, ends.high


def delong(is_positive, scores):
    area, ranks = metrics.roc_auc_score(is_positive, scores), stats.rankdata(scores)
    variance = 0.0
    for side in (is_positive, ~is_positive):
        below = (ranks[side] - stats.rankdata(scores[side])) / (~side).sum()
        variance += below.var(ddof=1) / side.sum()
    if variance == 0:
        return np.nan, np.nan
    half = stats.norm.ppf((1 + CONFIDENCE) / 2) * variance**0.5
    return max(area - half, 0.0), min(area + half, 1.0)


def patients(said, rows, is_positive, scores):
    """Pairs of rates of the patient rule to compare, and whether its limits hold in simulated patients."""
    names, rule = np.array([row["patient"] for row in rows]), said["roll_up"]["rule"]
    known, called, pairs = names != "", scores >= rule["threshold"], []
    # The rates of a run are those of its validation set, the rates of a cross-validation those of these cells.
    for kind, cells in [("infected", is_positive & known), ("uninfected", ~is_positive & known)] if "folds" in said else []:
        of_whom = np.unique(names[cells], return_inverse=True)[1]
        sizes, found = np.bincount(of_whom), np.bincount(of_whom, weights=called[cells])
        share, total = found / sizes, sizes.sum()
        between = (sizes * (share - found.sum() / total) ** 2).sum() / (len(sizes) - 1)
        within = (sizes * share * (1 - share)).sum() / (total - len(sizes))
        size = (total - (sizes**2).sum() / total) / (len(sizes) - 1)
        alike = (between - within) / (between + (size - 1) * within)
        theirs = {"mean": found.sum() / total, "correlation": max(alike, 0.0), "patients": len(sizes), "cells": total}
        pairs += [(f"roll_up.rule.{kind}.{name}", rule[kind][name], value) for name, value in theirs.items()]

    rng, draws = np.random.default_rng(0), 1_000_000

    def rates(kind):
        mean, correlation, weight = np.array(rule[kind]["points"]).T
        chosen = rng.choice(len(mean), draws, p=weight / weight.sum())
        size = 1 / correlation[chosen] - 1
        return rng.beta(mean[chosen] * size, (1 - mean[chosen]) * size)

    alarms, found = rates("uninfected"), rates("infected")
    for limit in said["roll_up"]["detection_limits"]:
        above = lambda count, share: (rng.binomial(limit["cells"], (1 - share) * alarms + share * found) > count).mean()
        blank, share, error = limit["limit_of_blank"], limit["infected_share"], 5 * (0.05 * 0.95 / draws) ** 0.5
        holds = above(blank, 0.0) <= 0.05 + error and (blank == 0 or above(blank - 1, 0.0) >= 0.05 - error)
        holds &= above(blank, 1.0) <= 0.95 + error if share is None else abs(above(blank, share) - 0.95) <= error
        pairs += [(f"roll_up.detection_limits of {limit['cells']} cells hold", 1, int(holds))]
    return pairs


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))
