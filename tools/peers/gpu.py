"""Measures PyTorch with the tutorial's network: eager, channels_last, in float32, in TF32 and under autocast to bfloat16.

`cargo xtask gpu-check` runs it if python3 has PyTorch. Prints JSON: {"version": ..., "tasks": [{"task", "precision", "batch",
"cells_per_second"}]}.
"""

import argparse
import json
import time

import torch
from network import Network
from torch import nn

PRECISIONS = ("float32", "TF32", "bfloat16")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=1.0, help="minimum time of each measurement")
    parser.add_argument("--batches", type=int, nargs="+", default=[32, 128, 512])
    args = parser.parse_args()
    device = torch.device(args.device)
    tasks = []
    for batch in args.batches:
        for precision in PRECISIONS:
            torch.backends.cudnn.allow_tf32 = precision == "TF32"
            for task, work in (
                ("forward", forward(device, batch, precision)),
                ("step", step(device, batch, precision)),
            ):
                speed = rate(device, batch, args.seconds, work)
                tasks.append({"task": task, "precision": precision, "batch": batch, "cells_per_second": speed})
    print(json.dumps({"version": torch.__version__, "tasks": tasks}))


def prepared(device, batch):
    images = torch.rand(batch, 3, 64, 64, device=device).to(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % 2
    return Network().to(device, memory_format=torch.channels_last), images, labels


def mixed(device, precision):
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def forward(device, batch, precision):
    network, images, _ = prepared(device, batch)
    network.eval()

    def work():
        with torch.inference_mode(), mixed(device, precision):
            network(images)

    return work


def step(device, batch, precision):
    network, images, labels = prepared(device, batch)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def work():
        optimizer.zero_grad()
        with mixed(device, precision):
            loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimizer.step()

    return work


def rate(device, batch, seconds, work):
    """Cells per second, after three warm-up repetitions; waits for a GPU after every ten repetitions."""
    for _ in range(3):
        work()
    finish(device)
    start, done = time.perf_counter(), 0
    while done == 0 or time.perf_counter() - start < seconds:
        for _ in range(10 if seconds else 1):
            work()
            done += 1
        finish(device)
    return done * batch / (time.perf_counter() - start)


def finish(device):
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    main()
