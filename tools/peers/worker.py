"""One peer of the benchmark: reads tasks from standard input, one JSON object per line, and prints the time that each took.

    {"task": "forward", "batch": 32, "seconds": 1.0}   forward passes on random images for at least this long
    {"task": "train", "batch": 32, "seconds": 1.0}     training steps in float32
    {"task": "train in bfloat16", ...}                 the same in the library's mixed precision
    {"task": "pipeline", "cells": "FOLDER", "workers": 1, "seconds": 1.0}
                                                       reads every PNG of FOLDER, resizes to 64 px and augments, repeatedly
    {"task": "probabilities", "images": "FILE.npy"}    probabilities of float32 images [N, 3, 64, 64]

Answers {"cells": N, "seconds": S}, {"probabilities": [[...]]}, or {"cannot": true} if the peer does not support the task.

    worker.py NAME THREADS WEIGHTS.safetensors MODEL.onnx
"""

import json
import os
import sys
import time

name, threads, weights, onnx = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
os.environ.update(OMP_NUM_THREADS=str(threads), TF_CPP_MIN_LOG_LEVEL="3", CUDA_VISIBLE_DEVICES="")

import numpy as np  # noqa: E402

STAGES, FILTERS = [3, 4, 6], [64, 128, 256, 512]
rng = np.random.default_rng(0)


def pytorch(channels_last):
    import torch
    from network import Network
    from safetensors.torch import load_file
    from torch import nn

    torch.set_num_threads(threads)

    network = Network()
    missing, unexpected = network.load_state_dict(load_file(weights), strict=False)
    assert not unexpected and all(key.endswith("num_batches_tracked") for key in missing), (missing, unexpected)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    network = network.to(memory_format=layout)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.0, momentum=0.9, nesterov=True, weight_decay=5e-4)

    def images(batch):
        return torch.from_numpy(rng.random((batch, 3, 64, 64), np.float32)).to(memory_format=layout)

    def forward(batch):
        x = images(batch)
        network.eval()

        def step():
            with torch.inference_mode():
                network(x)

        return step

    def train(batch, mixed=False):
        x, y = images(batch), torch.arange(batch) % 2
        network.train()

        def step():
            optimizer.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            optimizer.step()
            loss.item()

        return step

    def probabilities(x):
        network.eval()
        with torch.inference_mode():
            return network(torch.from_numpy(x).to(memory_format=layout)).softmax(1).numpy()

    return {
        "forward": forward,
        "train": train,
        "train in bfloat16": lambda batch: train(batch, mixed=True),
        "probabilities": probabilities,
    }


def onnxruntime():
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

    def forward(batch):
        x = rng.random((batch, 3, 64, 64), np.float32)
        return lambda: session.run(None, {"images": x})

    return {"forward": forward, "probabilities": lambda x: session.run(None, {"images": x})[0]}


def openvino():
    import openvino as ov

    core = ov.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}

    def compiled(batch):
        network = core.read_model(onnx)
        network.reshape([batch, 3, 64, 64])
        return core.compile_model(network, "CPU", settings)

    def forward(batch):
        x, network = rng.random((batch, 3, 64, 64), np.float32), compiled(batch)
        return lambda: network([x])

    return {"forward": forward, "probabilities": lambda x: compiled(len(x))([x])[0]}


def tensorflow():
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    import keras

    return tf, keras


def keras_network():
    tf, keras = tensorflow()
    from keras import layers

    def norm_relu(x):
        return layers.ReLU()(layers.BatchNormalization(epsilon=2e-5, momentum=0.9)(x))

    def conv(x, filters, side, stride=1):
        regularizer = keras.regularizers.l2(1e-4)
        return layers.Conv2D(
            filters, side, stride, "same", use_bias=False, kernel_regularizer=regularizer
        )(x)

    def build(policy):
        keras.config.set_dtype_policy(policy)
        inputs = keras.Input((64, 64, 3))
        x = layers.BatchNormalization(epsilon=2e-5, momentum=0.9)(inputs)
        x = norm_relu(conv(x, FILTERS[0], 5))
        x = layers.MaxPooling2D(3, 2)(layers.ZeroPadding2D(1)(x))
        for stage, (count, filters) in enumerate(zip(STAGES, FILTERS[1:])):
            for module in range(count):
                stride = 2 if stage and not module else 1
                active = norm_relu(x)
                inner = norm_relu(conv(active, filters // 4, 1))
                inner = norm_relu(conv(inner, filters // 4, 3, stride))
                shortcut = x if module else conv(active, filters, 1, stride)
                x = layers.add([conv(inner, filters, 1), shortcut])
        x = layers.GlobalAveragePooling2D()(norm_relu(x))
        network = keras.Model(inputs, layers.Dense(2, activation="softmax", dtype="float32")(x))
        network.compile(keras.optimizers.SGD(0.0, momentum=0.9), "binary_crossentropy")
        return network

    network = build("float32")
    call = tf.function(lambda x: network(x, training=False))

    def forward(batch):
        x = tf.constant(rng.random((batch, 64, 64, 3), np.float32))
        return lambda: call(x).numpy()

    def train(batch, network=network):
        x = rng.random((batch, 64, 64, 3), np.float32)
        y = np.eye(2, dtype=np.float32)[np.arange(batch) % 2]
        return lambda: network.train_on_batch(x, y)

    def pipeline(folder, workers, seconds):
        # The tutorial's generator. By default Keras's `fit` reads from it in one thread.
        from concurrent.futures import ThreadPoolExecutor

        from keras.src.legacy.preprocessing.image import ImageDataGenerator

        generator = ImageDataGenerator(
            rescale=1 / 255.0,
            rotation_range=20,
            zoom_range=0.05,
            width_shift_range=0.05,
            height_shift_range=0.05,
            shear_range=0.05,
            horizontal_flip=True,
            fill_mode="nearest",
        )
        flow = generator.flow_from_directory(folder, target_size=(64, 64), batch_size=32)
        with ThreadPoolExecutor(workers) as pool:
            cells, start = 0, time.perf_counter()
            while (elapsed := time.perf_counter() - start) < seconds or cells == 0:
                cells += sum(len(labels) for _, labels in pool.map(flow.__getitem__, range(len(flow))))
            return cells, elapsed

    return {
        "forward": forward,
        "train": train,
        "train in bfloat16": lambda batch: train(batch, build("mixed_bfloat16")),
        "pipeline": pipeline,
    }


def keras_resnet50():
    tf, keras = tensorflow()
    network = keras.applications.ResNet50(weights=None, input_shape=(224, 224, 3), classes=2)
    call = tf.function(lambda x: network(x, training=False))

    def forward(batch):
        x = tf.constant(rng.random((batch, 224, 224, 3), np.float32))
        return lambda: call(x).numpy()

    return {"forward": forward}


PEERS = {
    "PyTorch": lambda: pytorch(False),
    "PyTorch channels_last": lambda: pytorch(True),
    "ONNX Runtime": onnxruntime,
    "OpenVINO": openvino,
    "Keras": keras_network,
    "ResNet-50 at 224 px (Keras)": keras_resnet50,
}


def repeat(step, batch, seconds):
    for _ in range(2):
        step()
    done, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds or done == 0:
        step()
        done += batch
    return {"cells": done, "seconds": elapsed}


def main():
    tasks, steps = PEERS[name](), {}
    # The output of libraries must not be mixed with the answers.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        order = json.loads(line)
        task = order["task"]
        if task not in tasks:
            answer = {"cannot": True}
        elif task == "probabilities":
            answer = {"probabilities": np.asarray(tasks[task](np.load(order["images"]))).tolist()}
        elif task == "pipeline":
            cells, seconds = tasks[task](order["cells"], order["workers"], order["seconds"])
            answer = {"cells": cells, "seconds": seconds}
        else:
            batch = order["batch"]
            # Built only once, since this may compile it.
            step = steps.setdefault((task, batch), None) or tasks[task](batch)
            steps[(task, batch)] = step
            answer = repeat(step, batch, order["seconds"])
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
