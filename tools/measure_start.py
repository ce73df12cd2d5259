"""Measures the time from the start of `malaria train` to the end of its first step, and its peak memory over the first steps.

    pip install pillow==13.0.0
    cargo build --release -p malaria-cli
    python tools/measure_start.py cell_images [--cells 27558] [--rounds 3] [--json FILE]

The cells are first written to a folder as PNG, some of them twice if there are fewer than --cells, so that they are in the system's file
cache when they are read. Times are medians over the rounds, memory (VmHWM of Linux) is the maximum.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from PIL import Image

PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
THREADS, STEPS = 2, 60
PROGRAM = Path("target/release/malaria")


def as_png(paths):
    source, target = paths
    with Image.open(source) as picture:
        picture.convert("RGB").save(target)


def written(data, count, folder):
    """Writes `count` cells of `data` as PNG into folders named after their classes, the same number of each class."""
    classes = [sorted(p for p in place.rglob("*") if p.suffix.lower() in PICTURES) for place in sorted(data.iterdir()) if place.is_dir()]
    found = [cell for pair in zip(*classes) for cell in pair]
    for place in data.iterdir():
        if place.is_dir():
            (folder / place.name).mkdir(parents=True)
    target = lambda i, cell: folder / cell.relative_to(data).parts[0] / f"{cell.stem}_{i // len(found)}.png"
    jobs = [(found[i % len(found)], target(i, found[i % len(found)])) for i in range(min(count, len(found)))]
    with ProcessPoolExecutor(THREADS) as pool:
        list(pool.map(as_png, jobs, chunksize=64))
    for i in range(len(jobs), count):
        shutil.copy(jobs[i % len(found)][1], target(i, found[i % len(found)]))


def started(folder, batch_size, precision):
    """Seconds to the end of the first step, and peak memory in bytes after STEPS steps."""
    with tempfile.TemporaryDirectory() as runs:
        flags = ["--recipe", "tutorial", "--epochs", "1", "--threads", str(THREADS), "--progress", "json", "--out", f"{runs}/run"]
        command = [PROGRAM, "train", "--data", folder, "--batch-size", str(batch_size), "--precision", precision, *flags]
        start, steps, first = time.perf_counter(), 0, None
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            for line in process.stdout:
                steps += json.loads(line)["event"] == "batch"
                if steps == 1 and first is None:
                    first = time.perf_counter() - start
                if steps == STEPS:
                    break
            if steps < STEPS:
                raise SystemExit(f"{steps} steps instead of {STEPS}: use more cells, {' '.join(map(str, command))}")
            status = Path(f"/proc/{process.pid}/status").read_text()
            process.kill()
    return first, 1024 * int(status.split("VmHWM:")[1].split()[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--cells", type=int, default=27558)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        written(args.data, args.cells, Path(folder) / "cells")
        for batch_size in (32, 64):
            for precision in ("float32", "bfloat16"):
                rounds = [started(Path(folder) / "cells", batch_size, precision) for _ in range(args.rounds)]
                measured.append(
                    {
                        "cells": args.cells,
                        "batch_size": batch_size,
                        "precision": precision,
                        "threads": THREADS,
                        "seconds_to_first_step": round(statistics.median(first for first, _ in rounds), 2),
                        f"peak_bytes_over_{STEPS}_steps": max(peak for _, peak in rounds),
                    }
                )
                print(json.dumps(measured[-1]), flush=True)
    if args.json:
        args.json.write_text(json.dumps({"measured": measured}, indent=2) + "\n")


if __name__ == "__main__":
    main()
