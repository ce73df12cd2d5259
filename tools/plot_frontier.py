"""Plots accuracy against speed and against size for the models in a file written by tools/measure_edge.py.

    pip install matplotlib==3.11.2
    python tools/plot_frontier.py results/edge.json docs/figures/frontier.png
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def same_network(a, b):
    network = lambda model: model["model"].removesuffix(".onnx").removesuffix("-int8")
    return network(a) == network(b)


def main(source, target):
    models = json.loads(Path(source).read_text())["models"]
    base = models[0]["edge_cells_per_second"]
    figure, (speed, size) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for model in models:
        name = model["model"].removesuffix(".onnx")
        accuracy = 100 * model["accuracy"]
        for axis, x in [(speed, model["edge_cells_per_second"] / base), (size, model["bytes"] / 1e6)]:
            axis.plot(x, accuracy, "o", color="#1f5fa8")
            # The float32 and int8 points of a network are close together, so the better one is labelled above.
            others = [100 * m["accuracy"] for m in models if m is not model and same_network(m, model)]
            above = all(accuracy > other or accuracy == other and name.endswith("int8") for other in others)
            place = dict(xytext=(0, 7), va="bottom") if above else dict(xytext=(0, -7), va="top")
            axis.annotate(name, (x, accuracy), textcoords="offset points", ha="center", fontsize=8, **place)
    first = models[0]["model"].removesuffix(".onnx")
    speed.set(xlabel=f"cells a second, as a ratio to `{first}`", ylabel="accuracy on new patients, %")
    size.set(xlabel="megabytes", xscale="log")
    ticks = [0.2, 0.5, 1, 2, 5, 10]
    size.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    size.minorticks_off()
    for axis in (speed, size):
        axis.margins(0.25)
        axis.grid(alpha=0.3)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
