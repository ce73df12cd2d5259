"""Recomputes the metrics of metrics.json from predictions.csv with scikit-learn and SciPy, and compares them.

    pip install numpy==2.4.6 scikit-learn==1.9.1 scipy==1.17.1
    python tools/check_metrics.py RUN_DIR
    python tools/check_metrics.py results/rule-field.json results/oof-field.csv.gz

RUN_DIR is a run or a cross-validation with at least ten cells of each class. The second form checks the patients in the output of
`malaria-edge calibrate --json`. The exit code is 1 if a metric differs by more than 1e-12 (relative for values above 1), or is undefined
(null) in only one of the two.

Of a cross-validation, the rates, thresholds for smears and limits of blank are derived again, with a posterior on a denser grid. Of a run,
whose rates are those of its validation set, the stored posterior is used. Limits have to hold in a million simulated patients, to five
standard errors. The shares of patients found with 0, 1 and 5 % infected cells may differ by 0.005 from a simulation in which patients
have the rates that their own cells make probable (importance weighting). Bootstrap intervals over patients are not compared.
"""

import csv
import gzip
import json
import sys
from pathlib import Path

import numpy as np
from scipy import special, stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

TOLERANCE = 1e-12
BINS = 10
# A share with a denominator of 0 is undefined; scikit-learn's default is a number.
UNDEFINED = {"zero_division": np.nan}
CONFIDENCE = 0.95
FALSE_ALARMS, POWER = 0.04, 0.95
# Simulated patients: for the limits, for the choice of a threshold, and with the rates of a test patient.
MILLION, DRAWS, PAIRS = 1_000_000, 40_000, 4_000


def main(path, predictions=None):
    said = json.loads((path if predictions else path / "metrics.json").read_text())
    predictions = predictions or path / "predictions.csv"
    with (gzip.open if predictions.suffix == ".gz" else open)(predictions, "rt", newline="") as file:
        rows = list(csv.DictReader(file))
    if "assessment" in said:
        is_positive, scores = np.array([(row["class"] == "Parasitized", float(row["probability"])) for row in rows]).T
        return compare(patients(said["assessment"] | {"folds": said["folds"]}, rows, is_positive == 1, scores))
    classes, positive = said["classes"], said["positive_class"]
    truth = np.array([classes.index(row["class"]) for row in rows])
    probabilities = np.array([[float(row[f"probability_{name}"]) for name in classes] for row in rows])
    is_positive, scores = truth == classes.index(positive), probabilities[:, classes.index(positive)]
    argmax = probabilities.argmax(axis=1)
    assert [classes[i] for i in argmax] == [row["argmax"] for row in rows], "the column `argmax`"
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
    if said["patient_level"] is not None:
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

    return compare(compared)


def compare(compared):
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


def counts(names, called):
    of_whom = np.unique(names, return_inverse=True)[1]
    return np.bincount(of_whom), np.bincount(of_whom, weights=called)


def posterior(cells, positive):
    """Means, correlations and weights of points of the posterior, with the prior of PositiveRate::estimate."""
    centre = special.logit((positive.sum() + 0.5) / (cells.sum() + 1))
    limits = ends = np.clip([[centre - 5, centre + 5], [special.logit(1e-4), 0]], -14, 14)
    alike, times = np.unique([cells, positive], axis=1, return_counts=True)
    for _ in range(3):
        # The middles of the cells of a grid, narrowed to where the density is.
        steps = (ends[:, 1] - ends[:, 0]) / 50
        mean, odds = np.meshgrid(*(ends[:, :1] + steps[:, None] * (np.arange(50) + 0.5)))
        a, b = special.expit(mean) * np.exp(-odds), special.expit(-mean) * np.exp(-odds)
        density = (special.log_expit(mean) + special.log_expit(-mean) + odds) / 2
        for (n, k), number in zip(alike.T, times):
            density += number * (special.betaln(a + k, b + n - k) - special.betaln(a, b))
        dense = density > density.max() - 14
        ends = np.array([[x[dense].min() - step, x[dense].max() + step] for x, step in zip([mean, odds], steps)])
        ends = np.clip(ends, limits[:, :1], limits[:, 1:])
    weights = np.exp(density - density.max())[dense]
    return special.expit(mean[dense]), special.expit(odds[dense]), weights / weights.sum()


def rates(points, draws, rng):
    """Rates of simulated patients, evenly over the points of the posterior."""
    mean, correlation, weights = points
    chosen = np.searchsorted(weights.cumsum() / weights.sum(), (np.arange(draws) + 0.5) / draws)
    size = 1 / correlation[chosen] - 1
    return rng.permutation(rng.beta(mean[chosen] * size, (1 - mean[chosen]) * size))


def common_limit(smear, cells, positive):
    """The limit of blank if patients do not differ."""
    return stats.betabinom.ppf(1 - FALSE_ALARMS, smear, positive + 1, cells - positive) if cells > positive else 0


def smallest(low, high, holds):
    """The smallest whole number from `low` to `high` for which `holds`, which it does from there on."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def smear_rule(names, is_positive, scores, smear):
    """Detection limit (in steps of 0.0001), threshold, limit of blank and rates of simulated patients: the rule with the lowest limit."""
    shares, _, thresholds = metrics.roc_curve(is_positive, scores, drop_intermediate=False)
    alarms, chosen = np.rint(shares * (~is_positive).sum()), []
    for count in np.unique(alarms[alarms <= 0.2 * (~is_positive).sum()]):
        if not chosen or count >= 1.2 * chosen[-1]:
            chosen.append(count)

    def rule(count, draws):
        threshold, rng = thresholds[alarms == count].min(), np.random.default_rng(0)
        tables = [counts(names[cells], scores[cells] >= threshold) for cells in (~is_positive, is_positive)]
        alarm, find = (rates(posterior(*table), draws, rng) for table in tables)
        above = lambda blank, share: stats.binom.sf(blank, smear, (1 - share) * alarm + share * find).mean()
        blank = smallest(0, smear, lambda blank: above(blank, 0) <= FALSE_ALARMS)
        blank = max(blank, common_limit(smear, (~is_positive).sum(), count))
        limit = smallest(0, 10_001, lambda share: above(blank, min(share / 10_000, 1)) >= POWER)
        return limit, threshold, blank, alarm[:DRAWS], find[:DRAWS]

    candidates = [count for count in chosen if count >= 10] or chosen
    limits = {count: rule(count, DRAWS)[0] for count in candidates}
    # With few draws, a limit is uncertain by some steps.
    close = [count for count in candidates if limits[count] <= min(limits.values()) + 5]
    return min((rule(count, MILLION) for count in close), key=lambda found: found[0])


def patients(said, rows, is_positive, scores):
    """Pairs of rates of the patient rule to compare, and whether its limits and shares of patients found hold in simulated patients."""
    names, patient_level, nested = np.array([row["patient"] for row in rows]), said["patient_level"], "folds" in said
    rule, found, known, rng = patient_level["rule"], patient_level["found"], names != "", np.random.default_rng(0)
    fold = np.array([row["fold"] if nested else "" for row in rows])[known]
    names, is_positive, scores = names[known], is_positive[known], scores[known]
    called, pairs, points = scores >= rule["threshold"], [], {}
    for kind, cells in [("uninfected", ~is_positive), ("infected", is_positive)]:
        if not nested:
            # The rates of a run are those of its validation set, the rates of a cross-validation those of these cells.
            points[kind] = np.array(rule[kind]["points"]).T
            continue
        sizes, hits = counts(names[cells], called[cells])
        share, total = hits / sizes, sizes.sum()
        between = (sizes * (share - hits.sum() / total) ** 2).sum() / (len(sizes) - 1)
        within = (sizes * share * (1 - share)).sum() / (total - len(sizes))
        size = (total - (sizes**2).sum() / total) / (len(sizes) - 1)
        alike = (between - within) / (between + (size - 1) * within)
        theirs = {"mean": hits.sum() / total, "correlation": max(alike, 0.0), "patients": len(sizes), "cells": total}
        pairs += [(f"patient_level.rule.{kind}.{name}", rule[kind][name], value) for name, value in theirs.items()]
        points[kind] = posterior(sizes, hits)

    alarm, find = (rates(points[kind], MILLION, rng) for kind in ("uninfected", "infected"))
    error = 5 * (FALSE_ALARMS * (1 - FALSE_ALARMS) / MILLION) ** 0.5
    for limit in patient_level["detection_limits"]:
        above = lambda count, share: (rng.binomial(limit["cells"], (1 - share) * alarm + share * find) > count).mean()
        blank, share = limit["limit_of_blank"], limit["infected_share"]
        total, mean = rule["uninfected"]["cells"], rule["uninfected"]["mean"]
        lowest = common_limit(limit["cells"], total, round(mean * total))
        holds = blank >= lowest and above(blank, 0.0) <= FALSE_ALARMS + error
        holds &= blank == lowest or above(blank - 1, 0.0) >= FALSE_ALARMS - error
        holds &= above(blank, 1.0) <= POWER + error if share is None else abs(above(blank, share) - POWER) <= error
        pairs += [(f"patient_level.detection_limits of {limit['cells']} cells hold", 1, int(holds))]

    if not patient_level["detection_limits"]:
        print("no limits and no shares of patients found: these cells are unlike the training cells")
        return pairs
    simulated, shares = {True: [], False: []}, [0.0, 0.01, 0.05]
    for own in (fold == name for name in np.unique(fold)):
        if nested:
            limit, threshold, blank, *prior = smear_rule(names[~own], is_positive[~own], scores[~own], found["cells"])
            print(f"rule for a fold: threshold {threshold}, limit of blank {blank:.0f}, detection limit {limit / 10_000}")
        else:
            threshold, prior = rule["threshold"], [alarm[:DRAWS], find[:DRAWS]]
            blank = next(limit["limit_of_blank"] for limit in patient_level["detection_limits"] if limit["cells"] == found["cells"])
        for mine in (own & (names == name) for name in np.unique(names[own & ~is_positive])):
            drawn = []
            for cells, rate in zip([mine & ~is_positive, mine & is_positive], prior):
                hits = (scores[cells] >= threshold).sum()
                weights = special.softmax(special.xlogy(hits, rate) + special.xlog1py(cells.sum() - hits, -rate))
                drawn.append(rng.choice(rate, PAIRS, p=weights))
            above = [(rng.binomial(found["cells"], (1 - share) * drawn[0] + share * drawn[1]) > blank).mean() for share in shares]
            simulated[(mine & is_positive).any()].append(above)
    stated = {at["infected_share"]: at["found"] for at in found["infected"]}
    compared = [("healthy", found["healthy"], simulated[False])] * bool(simulated[False])
    compared += [(share, stated[share], np.array(simulated[True])[:, i:]) for i, share in enumerate(shares) if simulated[True]]
    for of, ours, theirs in compared:
        theirs = np.mean(theirs, axis=0)[0]
        print(f"found: {of:<29} {ours:<22} {theirs:<22}")
        pairs += [(f"patient_level.found {of} holds", 1, int(abs(ours - theirs) <= 0.005))]
    return pairs


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    sys.exit(main(*map(Path, sys.argv[1:])))
