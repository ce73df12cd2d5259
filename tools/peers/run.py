"""Measures this library and others in alternation on one machine, for `cargo xtask bench --peers`.

Each peer is a process that waits while another one works. In each round, every peer does every task once. Results are medians over
rounds, and ratios are to malaria-resnet.
"""

import argparse
import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

CELLS = 2000
OURS = ["malaria-resnet", "malaria-edge"]
PEERS = ["PyTorch", "PyTorch channels_last", "ONNX Runtime", "OpenVINO", "Keras", "ResNet-50 at 224 px (Keras)"]
TASKS = {
    "forward, batch 32": {"task": "forward", "batch": 32, "seconds": 2.0},
    "forward, batch 1": {"task": "forward", "batch": 1, "seconds": 1.0},
    "training step, batch 32": {"task": "train", "batch": 32, "seconds": 3.0},
    "training step, batch 32, beside a busy process": {"task": "train", "batch": 32, "seconds": 6.0, "busy": 1},
    "training step, batch 32, beside two busy processes": {"task": "train", "batch": 32, "seconds": 6.0, "busy": 2},
    "training step, batch 32, bfloat16": {"task": "train in bfloat16", "batch": 32, "seconds": 3.0},
    "decode, resize, augment": {"task": "pipeline", "workers": 1, "seconds": 3.0},
    "decode, resize, augment, Keras with a worker a core": {"task": "pipeline", "workers": 0, "seconds": 3.0},
}


class Peer:
    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self.process.args} ended with {self.process.wait()}")
        return json.loads(line)


def commit():
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return found.stdout.strip() or None


def machine():
    core = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in core.splitlines())}
    processor = fields.get("model name", "unknown processor")
    # A virtual machine may report only the name.
    if "cpu family" in fields:
        processor += f" (family {fields['cpu family']}, model {fields['model']})"
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {"processor": processor, "cores": os.cpu_count(), "memory_gib": round(memory / 2**30)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--onnx", required=True)
    parser.add_argument("--data", required=True, help="folder with one folder of cells per class")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", required=True)
    args = parser.parse_args()
    # malaria-edge uses every core that it may run on, and has no setting for threads. Child processes inherit this limit.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
    common = [str(args.threads), args.weights, args.onnx]
    worker = [sys.executable, str(pathlib.Path(__file__).with_name("worker.py"))]
    with tempfile.TemporaryDirectory() as folder:
        write_pngs(pathlib.Path(args.data), pathlib.Path(folder))
        for order in TASKS.values():
            if order["task"] == "pipeline":
                order["cells"] = folder
                order["workers"] = order["workers"] or args.threads
        measure(args, worker, common)


def write_pngs(data, folder):
    """Writes the first CELLS pictures of `data`, the same number of each class, as PNG."""
    from PIL import Image

    classes = sorted(path for path in data.iterdir() if path.is_dir())
    for of_class in classes:
        (folder / of_class.name).mkdir()
        pictures = sorted(path for path in of_class.rglob("*") if path.suffix.lower() in (".png", ".webp"))
        for path in pictures[: CELLS // len(classes)]:
            Image.open(path).convert("RGB").save(folder / of_class.name / f"{path.stem}.png")


@contextlib.contextmanager
def busy_processes(count):
    """Processes that use one core each, if available."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def measure(args, worker, common):
    cargo = os.environ.get("CARGO", "cargo")
    ours = [cargo, "bench", "--quiet", "-p", "malaria-resnet", "--bench", "peer", "--"]
    peers = {name: Peer([*ours, "--serve", name, *common]) for name in OURS}
    peers |= {name: Peer([*worker, name, *common]) for name in PEERS}

    agreement = compare(peers)
    rates = {task: {} for task in TASKS}
    for number in range(args.rounds):
        for task, order in TASKS.items():
            with busy_processes(order.get("busy", 0)):
                for name, peer in peers.items():
                    answer = peer.ask(order)
                    if "cannot" not in answer:
                        rates[task].setdefault(name, []).append(answer["cells"] / answer["seconds"])
        print(f"round {number + 1} of {args.rounds}", file=sys.stderr)

    report = {
        "command": "cargo xtask bench --peers --data cell_images "
        f"--run {os.path.relpath(pathlib.Path(args.weights).parent)} --rounds {args.rounds}",
        "machine": machine(),
        "threads": args.threads,
        "commit": commit(),
        "versions": {
            line.split("==")[0]: line.split("==")[1]
            for line in pathlib.Path(__file__).with_name("requirements.txt").read_text().split()
        },
        "rounds": args.rounds,
        "largest_difference_of_probabilities": agreement,
        "tasks": {},
    }
    for task, by_peer in rates.items():
        medians = {name: statistics.median(rounds) for name, rounds in by_peer.items()}
        first = medians[OURS[0]]
        print(f"\n{task}: cells per second, median of {args.rounds} rounds (lowest to highest), and ours to theirs")
        report["tasks"][task] = {}
        for name, median in sorted(medians.items(), key=lambda pair: -pair[1]):
            low, high = min(by_peer[name]), max(by_peer[name])
            print(f"  {name:28} {median:9.1f}  ({low:.1f} to {high:.1f})  {first / median:6.2f}")
            report["tasks"][task][name] = {
                "cells_per_second": median,
                "rounds": by_peer[name],
                "ours_to_theirs": first / median,
            }
    pathlib.Path(args.json).write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {args.json}")


def compare(peers):
    """Largest difference of each peer's probabilities from ours, on the same random images."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "images.npy")
        np.save(path, np.random.default_rng(1).random((8, 3, 64, 64), np.float32))
        said = {name: peer.ask({"task": "probabilities", "images": str(path)}) for name, peer in peers.items()}
    ours = np.array(said[OURS[0]]["probabilities"])
    found = {name: answer["probabilities"] for name, answer in said.items() if "probabilities" in answer}
    return {name: float(np.abs(np.array(rows) - ours).max()) for name, rows in found.items()}


if __name__ == "__main__":
    main()
