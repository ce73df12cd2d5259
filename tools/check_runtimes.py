"""Compares the probabilities of exported models in ONNX Runtime, OpenVINO and tract with those of malaria-edge.

    pip install numpy==2.4.6 onnxruntime==1.32.0 openvino==2026.4.0 tract==0.23.9 Pillow==13.0.0
    cargo build --release -p malaria-edge
    python tools/check_runtimes.py MODEL.onnx...

The cells are random noise of the model's image size, so that nothing is resized. The exit code is 1 if a probability differs by more
than 1e-5.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import openvino
import tract
from PIL import Image

TOLERANCE, CELLS = 1e-5, 5


def by_onnxruntime(path, images):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: images})[0]


def by_openvino(path, images):
    # By default it computes in bfloat16 on processors that support it.
    return openvino.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0"})(images)[0]


def by_tract(path, images):
    model = tract.onnx().load(str(path))
    model.set_input_fact(0, ",".join(map(str, images.shape)) + ",f32")
    model.analyse()
    return model.into_model().into_runnable().run([images])[0].to_numpy()


def by_edge(path, pixels):
    """Probability of the positive class of each cell, in the order of `pixels`."""
    with tempfile.TemporaryDirectory() as folder:
        for number, cell in enumerate(pixels):
            Image.fromarray(cell).save(Path(folder) / f"{number}.png")
        command = ["target/release/malaria-edge", "classify", "--json", path, folder]
        said = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return np.array([cell["probability"] for cell in said["cells"]])


def main(paths):
    worst = 0.0
    for path in paths:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        side = session.get_inputs()[0].shape[2]
        about = session.get_modelmeta().custom_metadata_map
        classes, positive = json.loads(about["classes"]), about["positive"]
        pixels = np.random.default_rng(0).integers(0, 256, (CELLS, side, side, 3), dtype=np.uint8)
        # NHWC bytes => NCHW in [0, 1]
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32) / 255
        ours = by_edge(path, pixels)
        for name, ask in [("ONNX Runtime", by_onnxruntime), ("OpenVINO", by_openvino), ("tract", by_tract)]:
            difference = np.abs(ask(path, images)[:, classes.index(positive)] - ours).max()
            worst = max(worst, difference)
            print(f"{path}: {name:<13} differs by {difference:.1e}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
