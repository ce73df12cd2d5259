"""Draws accuracy against speed and against size for the models in results/edge.json.

    pip install matplotlib==3.11.2
    python tools/plot_frontier.py results/edge.json docs/figures/frontier.png
"""

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(source, target):
    models = json.loads(Path(source).read_text())["models"]
    base = models[0]["edge_cells_per_second"]
    figure, (speed, size) = plt.subplots(1, 2, figsize=(10, 4), sharey=True, layout="constrained")
    for model in models:
        name = model["model"].removesuffix(".onnx")
        accuracy = 100 * model["accuracy"]
        for axis, x in [(speed, model["edge_cells_per_second"] / base), (size, model["bytes"] / 1e6)]:
            axis.plot(x, accuracy, "o", color="#1f5fa8")
            axis.annotate(name, (x, accuracy), xytext=(5, 5), textcoords="offset points", fontsize=8)
    speed.set(xlabel=f"times as fast as {models[0]['model'].removesuffix('.onnx')}", ylabel="accuracy on new patients, %")
    size.set(xlabel="megabytes", xscale="log")
    for axis in (speed, size):
        axis.margins(0.25)
        axis.grid(alpha=0.3)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
