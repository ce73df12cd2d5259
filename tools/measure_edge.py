"""Measures the accuracy and speed of exported models in malaria-edge and, in alternation, their speed in ONNX Runtime.

    pip install numpy==2.4.6 onnxruntime==1.32.0
    cargo build --release -p malaria-edge
    python tools/measure_edge.py cell_images RUN_DIR REFERENCE.onnx MODEL.onnx... [--json FILE]
    python tools/measure_edge.py --speeds-only REFERENCE.onnx MODEL.onnx... [--json FILE]

Accuracy, sensitivity and specificity are on the test cells of RUN_DIR; no model may have been trained on their patients. Cells called
differently are counted against REFERENCE. Speeds are medians over rounds in which the models take turns, with two threads and batches
of 32; quote them as ratios. Processor time and memory are those of the whole program.
"""

import argparse
import csv
import json
import os
import re
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import onnxruntime

THREADS, BATCH, SECONDS = 2, 32, 2.0
FOLDER = 1000


def run(*command):
    """Output of a command in an empty environment, and its processor time in seconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = subprocess.run(command, env={}, check=True, stdout=subprocess.PIPE, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return output, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peak_memory(*command):
    """Peak memory of a command in bytes."""
    process = subprocess.Popen(command, env={}, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return usage.ru_maxrss * 1024


def linked(cells, folder):
    """Fills `folder` with links to `cells`, each in a folder named after its class."""
    for cell in cells:
        place = Path(folder) / cell.parent.name
        place.mkdir(exist_ok=True)
        (place / cell.name).symlink_to(cell.resolve())
    return folder


def by_edge(binary, model):
    output, _ = run(binary, "bench", model, "--seconds", str(3 * SECONDS))
    return float(re.search(rf"{BATCH} at once: (\d+) cells/s", output)[1])


def by_onnxruntime(session):
    side = session.get_inputs()[0].shape[2]
    images = np.random.default_rng(0).random((BATCH, 3, side, side), dtype=np.float32)
    session.run(None, {"images": images})
    start, done = time.perf_counter(), 0
    while time.perf_counter() - start < SECONDS:
        session.run(None, {"images": images})
        done += BATCH
    return done / (time.perf_counter() - start)


def session(model):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = THREADS
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def main():
    parser = argparse.ArgumentParser()
    help = "the cells, the run, and the models, of which the first is the reference"
    parser.add_argument("paths", nargs="+", metavar="PATH", help=help)
    parser.add_argument("--speeds-only", action="store_true", help="all PATHs are models; no cells are classified")
    parser.add_argument("--binary", default="target/release/malaria-edge")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    models = args.paths if args.speeds_only else args.paths[2:]
    if not models:
        parser.error("expected the cells, the run and at least one model; found no model")
    # malaria-edge uses every core that it may run on, so it is limited to as many as ONNX Runtime. Child processes inherit this.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])
    found = {model: {"model": Path(model).name, "bytes": Path(model).stat().st_size} for model in models}
    if not args.speeds_only:
        judge(args.binary, Path(args.paths[0]), Path(args.paths[1]), found)
    measure(args.binary, args.rounds, found)
    for figures in found.values():
        print("\n".join(f"{name:<36} {value}" for name, value in figures.items()), end="\n\n")
    if args.json:
        words = ["--speeds-only"] if args.speeds_only else args.paths[:2]
        words += [Path(model).name for model in models] + ["--rounds", str(args.rounds)]
        report = {
            "command": "python tools/measure_edge.py " + " ".join(words),
            "binary_bytes": Path(args.binary).stat().st_size,
            "threads": THREADS,
            "batch": BATCH,
            "rounds": args.rounds,
            "models": list(found.values()),
        }
        args.json.write_text(json.dumps(report, indent=2) + "\n")


def judge(binary, data, run_dir, found):
    """Adds the accuracy of each model on the test cells of a run to `found`, with the program's time and memory."""
    with open(run_dir / "split.csv", newline="") as file:
        cells = [data / row["path"] for row in csv.DictReader(file) if row["subset"] == "test"]
    with tempfile.TemporaryDirectory() as all_cells, tempfile.TemporaryDirectory() as some:
        linked(cells, all_cells)
        linked(cells[:: max(1, len(cells) // FOLDER)][:FOLDER], some)
        reference = None
        for model, figures in found.items():
            output, _ = run(binary, "classify", model, all_cells, "--json")
            said = json.loads(output)["cells"]
            truth = np.array([Path(cell["path"]).parent.name for cell in said])
            called = np.array([cell["class"] for cell in said])
            reference = called if reference is None else reference
            description = json.loads(run(binary, "info", model)[0])["description"]
            positive = description["positive"]
            infected = truth == positive
            figures["n_test"] = len(said)
            figures["decision_rule"] = "threshold" if description["threshold"] else "argmax"
            figures["accuracy"] = float((called == truth).mean())
            figures["sensitivity"] = float((called[infected] == positive).mean())
            figures["specificity"] = float((called[~infected] != positive).mean())
            figures["called_otherwise"] = int((called != reference).sum())
            starts = [run(binary, "classify", model, str(cells[0]))[1] for _ in range(5)]
            figures["cpu_seconds_to_first_answer"] = round(statistics.median(starts), 3)
            figures["peak_bytes_on_1000_cells"] = peak_memory(binary, "classify", model, some, "--csv")


def measure(binary, rounds, found):
    """Adds the speed of each model to `found`."""
    sessions = {model: session(model) for model in found}
    speeds = {model: {"edge": [], "onnxruntime": []} for model in found}
    for _ in range(rounds):
        for model in found:
            speeds[model]["edge"].append(by_edge(binary, model))
            speeds[model]["onnxruntime"].append(by_onnxruntime(sessions[model]))
    for model, figures in found.items():
        for runtime, values in speeds[model].items():
            figures[f"{runtime}_cells_per_second"] = round(statistics.median(values), 1)
    base = found[next(iter(found))]
    for figures in found.values():
        edge = figures["edge_cells_per_second"]
        figures["edge_to_reference_in_edge"] = round(edge / base["edge_cells_per_second"], 2)
        figures["edge_to_reference_in_onnxruntime"] = round(edge / base["onnxruntime_cells_per_second"], 2)


if __name__ == "__main__":
    main()
