"""Measures how many infected and uninfected cells of composed photographs are found, and how many other objects are taken for cells.

    pip install scipy==1.17.1
    python tools/measure_finder.py COMPOSED malaria-edge --json results/finder.json

COMPOSED is a folder of `tools/compose_smears.py`; the results in the repository are those of
`compose_smears.py cell_images composed --fields 40 --cells 130 --parasitaemia 0.3 --varied --seed 5`. A cell is found if its box and
that of a red cell overlap by half (intersection over union), the best pairs first. Photographs in which no cell is counted do not
change the share of infected cells and are only listed. Intervals are exact (Clopper and Pearson), 95 %.

`odds_ratio` is (uninfected found + extra per cell) / infected found, the factor between the odds of infection among the cells that are
counted and among all cells; its ends are those of the three intervals combined.
"""

import argparse
import csv
import io
import json
import subprocess
from collections import Counter, defaultdict
from pathlib import Path

from scipy.stats import beta

OVERLAP = 0.5
CLASSES = {"infected": "infected", "red blood cell": "uninfected"}


def box(row):
    x, y, w, h = (float(row[side]) for side in "xywh")
    return x, y, x + w, y + h


def overlap(a, b):
    inside = max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
    return inside / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - inside)


def share(count, total):
    low = beta.ppf(0.025, count, total - count + 1) if count else 0
    high = beta.ppf(0.975, count + 1, total - count) if count < total else 1
    return {"count": count, "of": total, "share": count / total, "interval": [float(low), float(high)]}


def measured(cells, objects):
    """Counts of one photograph."""
    red = [row for row in objects if not row["excluded"]]
    pairs = [(overlap(box(cell), box(found)), i, j) for i, cell in enumerate(cells) for j, found in enumerate(red)]
    partners, taken = {}, set()
    for value, i, j in sorted(pairs, reverse=True):
        if value >= OVERLAP and i not in partners and j not in taken:
            partners[i] = j
            taken.add(j)
    clumps = [box(row) for row in objects if row["excluded"] == "clump"]
    counts = Counter(red_cells=len(red))
    for i, cell in enumerate(cells):
        name = CLASSES[cell["class"]]
        left, top, right, bottom = box(cell)
        x, y = (left + right) / 2, (top + bottom) / 2
        clumped = any(c[0] <= x < c[2] and c[1] <= y < c[3] for c in clumps)
        counts[name] += 1
        counts[f"{name}_found"] += i in partners
        counts[f"{name}_in_clumps"] += i not in partners and clumped
    extra = [row for j, row in enumerate(red) if j not in taken]
    counts["extra"] = len(extra)
    counts["extra_called_infected"] = sum(row["called"] == "Parasitized" for row in extra)
    return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("composed", type=Path)
    parser.add_argument("program")
    parser.add_argument("--json", required=True)
    arguments = parser.parse_args()
    command = [arguments.program, "smear", arguments.composed / "images", "--csv"]
    finished = subprocess.run(command, capture_output=True, text=True)
    # 1 means that photographs were refused.
    if finished.returncode not in (0, 1):
        parser.error(finished.stderr)
    cells, objects = defaultdict(list), defaultdict(list)
    for row in csv.DictReader(open(arguments.composed / "boxes.csv", newline="")):
        cells[row["image"]].append(row)
    for row in csv.DictReader(io.StringIO(finished.stdout)):
        objects[Path(row["image"]).name].append(row)
    fields = {name: measured(cells[name], objects[name]) for name in sorted(cells)}
    total = sum((counts for counts in fields.values() if counts["red_cells"]), Counter())
    infected, uninfected = (share(total[f"{name}_found"], total[name]) for name in CLASSES.values())
    extra = share(total["extra"], total["infected"] + total["uninfected"])
    low, high = (
        (uninfected["interval"][end] + extra["interval"][end]) / infected["interval"][1 - end] for end in (0, 1)
    )
    result = {
        "command": f"python tools/measure_finder.py composed malaria-edge --json {arguments.json}",
        "infected_found": infected,
        "uninfected_found": uninfected,
        "extra_per_cell": extra,
        "odds_ratio": [low, high],
        "in_clumps": {name: total[f"{name}_in_clumps"] for name in CLASSES.values()},
        "extra_called_infected": total["extra_called_infected"],
        "without_cells": [name for name, counts in fields.items() if not counts["red_cells"]],
        "fields": [{"image": name, **dict(sorted(counts.items()))} for name, counts in fields.items()],
    }
    Path(arguments.json).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "fields"}, indent=1))


if __name__ == "__main__":
    main()
