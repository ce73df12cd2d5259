"""Sends valid and invalid requests to `malaria-edge serve` over many connections at once, and checks the answers.

    cargo build --release -p malaria-edge
    python tools/load_serve.py MODEL.onnx PICTURES [--smears] [--requests N] [--connections N] [--json FILE]

PICTURES is a folder of pictures of cells or, with --smears, of photographs. Of 100 requests, 90 have one to eight cells or one photograph,
4 have a truncated picture (of a cell, beside a valid one), 2 are larger than the server accepts, 2 are not a form, and 2 send their body
at a byte per second for 20 s and then nothing. The expected answers are 200, 200, 413, 400, and 400 or a closed connection. The exit code is
1 after any other answer. Needs only Python.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import time
from pathlib import Path

KINDS = ["good"] * 90 + ["half"] * 4 + ["large"] * 2 + ["no form"] * 2 + ["slow"] * 2
EXPECTED = {"good": {200}, "half": {200}, "large": {413}, "no form": {400}, "slow": {400, None}}
FORM = "multipart/form-data; boundary=between"


def form(pictures):
    parts = [
        b'--between\r\nContent-Disposition: form-data; name="picture"; filename="%s"\r\n\r\n%s\r\n' % (name.encode(), data)
        for name, data in pictures
    ]
    return b"".join(parts) + b"--between--\r\n"


def body_of(kind, cells, smears, draw):
    """Content type and body of a request."""
    if kind == "good":
        return FORM, form(draw.sample(cells, 1 if smears else draw.randint(1, 8)))
    if kind == "half":
        (name, data), good = draw.sample(cells, 2)
        return FORM, form([("half-" + name, data[: len(data) // 2])] + ([] if smears else [good]))
    if kind == "large":
        return FORM, form([("large.png", bytes((65 if smears else 17) << 20))])
    if kind == "no form":
        return "text/plain", b"hello"
    return FORM, form([draw.choice(cells)])


async def ask(address, kind, cells, smears, draw):
    """Status of the answer (None if the connection was closed without one), its JSON, and the seconds until its end."""
    content_type, body = body_of(kind, cells, smears, draw)
    host, port = address
    started = time.monotonic()
    reader, writer = await asyncio.open_connection(host, port)
    head = (
        f"POST {'/smear' if smears else '/classify'} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    try:
        writer.write(head.encode())
        if kind == "slow":
            for second in range(20):
                writer.write(body[second : second + 1])
                await writer.drain()
                await asyncio.sleep(1)
        else:
            writer.write(body)
            await writer.drain()
    except (ConnectionError, BrokenPipeError):
        # The server may answer and close before it has read everything.
        pass
    try:
        answer = await reader.read()
    except ConnectionError:
        answer = b""
    finally:
        writer.close()
    seconds = time.monotonic() - started
    if not answer:
        return None, None, seconds
    head, _, said = answer.partition(b"\r\n\r\n")
    status = int(head.split()[1])
    return status, json.loads(said) if said else None, seconds


def right(kind, status, said, smears):
    """Whether this is an expected answer to a request of this kind."""
    if status not in EXPECTED[kind]:
        return False
    if smears and kind in {"good", "half"}:
        return (said["refusal"] is None) == (kind == "good") and (said["count"]["red_cells"] > 0) == (kind == "good")
    if kind == "good":
        return all(cell["error"] is None and 0 <= cell["probability"] <= 1 for cell in said)
    if kind == "half":
        return [cell["error"] is None for cell in said] == [False, True]
    return status is None or "error" in said


def of_process(pid, name):
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(name)).split()[1])


async def load(address, cells, smears, requests, connections):
    draw = random.Random(0)
    free = asyncio.Semaphore(connections)
    answers = {kind: [] for kind in EXPECTED}
    wrong = []

    async def one(number):
        kind = KINDS[draw.randrange(100)]
        async with free:
            status, said, seconds = await ask(address, kind, cells, smears, random.Random(number))
        answers[kind].append((status, seconds))
        if not right(kind, status, said, smears):
            wrong.append((kind, status, str(said)[:200]))

    await asyncio.gather(*(one(number) for number in range(requests)))
    return answers, wrong


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("model", type=Path)
    arguments.add_argument("pictures", type=Path)
    arguments.add_argument("--smears", action="store_true")
    arguments.add_argument("--requests", type=int, default=10_000)
    arguments.add_argument("--connections", type=int, default=200)
    arguments.add_argument("--binary", type=Path, default=Path("target/release/malaria-edge"))
    arguments.add_argument("--json", type=Path)
    options = arguments.parse_args()

    paths = sorted(path for path in options.pictures.rglob("*") if path.suffix in {".png", ".webp", ".jpg"})
    cells = [(path.name, path.read_bytes()) for path in random.Random(0).sample(paths, min(500, len(paths)))]
    server = subprocess.Popen([options.binary, "serve", options.model, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        host, port = server.stdout.readline().strip().removeprefix("http://").removesuffix("/").split(":")
        started = time.monotonic()
        answers, wrong = asyncio.run(
            load((host, int(port)), cells, options.smears, options.requests, options.connections)
        )
        seconds = time.monotonic() - started
        alive = server.poll() is None
        peak = of_process(server.pid, "VmHWM") * 1024 if alive else None
        threads = of_process(server.pid, "Threads") if alive else None
    finally:
        server.terminate()
        server.wait()

    good = sorted(seconds for _, seconds in answers["good"])
    report = {
        "model": options.model.name,
        "requests": options.requests,
        "connections_at_once": options.connections,
        "cores": os.cpu_count(),
        "wall_seconds": round(seconds, 1),
        "answers": {
            kind: {str(status): sum(s == status for s, _ in said) for status in sorted({s for s, _ in said}, key=str)}
            for kind, said in answers.items()
        },
        "wrong_answers": len(wrong),
        "good_requests_seconds": {
            "p50": round(statistics.median(good), 3),
            "p99": round(good[int(0.99 * (len(good) - 1))], 3),
            "longest": round(good[-1], 3),
        },
        "peak_memory_bytes": peak,
        "threads_at_the_end": threads,
        "server_alive": alive,
    }
    print(json.dumps(report, indent=2))
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")
    for kind, status, said in wrong[:10]:
        print(f"wrong: {kind}: {status}: {said}")
    if wrong or not alive:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
