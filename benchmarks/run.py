# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
#     "onnx==1.19.1",
#     "onnxruntime==1.32.0",
#     "onnxscript==0.7.2",
#     "openvino==2026.4.1",
#     "pillow==12.0.0",
#     "torch==2.13.0",
#     "torchvision==0.28.0",
# ]
# ///
"""Measures this project and its peers side by side and writes BENCHMARKS.md.

Every comparison alternates between the sides, so that both meet the same machine; what is
written is the median of the rounds, and the median of each round's ratio with its interval. Run it
as `uv run benchmarks/run.py`. Needs trainer, infer and zoo built (see the Makefile: `make bench`),
and wrk. Takes about 55 minutes, and once 10 more to build the peers.
"""
import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import foreign
import serving
from comparing import ROUNDS, alternate, compared, ratio, table
from machine import ROOT, machine, run, speed
from peers import PEERS, Peer, newest

# The pinned peers, as the head of this file names them.
PACKAGES = re.findall(r'^#     "(.+)",$', Path(__file__).read_text(), re.MULTILINE)
HERE = ROOT / "benchmarks"
TRAIN_IMAGES = 55_000
# Images to a call.
BATCHES = (1, 8, 32, 256, 1024)
# A large and a small network, for what is measured as whole processes or through HTTP.
LARGE_AND_SMALL = ["mnist-cnn", "mnist-lite"]


def megabytes(command):
    """The largest resident set of a process, by a small parent: that of a child of Python is never told smaller than
    Python's own."""
    with tempfile.NamedTemporaryFile("r") as report:
        run(["/usr/bin/time", "-f", "%M", "-o", report.name, *command], stderr=subprocess.DEVNULL)
        return int(report.read()) / 1024


def epoch_seconds(trainer, work, isa="portable2"):
    place = Path(tempfile.mkdtemp(dir=work))
    recipe = place.with_suffix(".yaml")
    profile = f"numeric_profile: {{threads: 2, isa: {isa}}}\n"
    recipe.write_text((HERE / "epoch.yaml").read_text() + profile)
    run([trainer, "train", recipe, "--run", place, "--datasets", ROOT / "datasets"], stderr=subprocess.DEVNULL)
    return json.loads((place / "run.json").read_text())["seconds"]


def training(trainer, work):
    """Seconds of one epoch, the checkpoint included on our side."""
    def torch(*mode):
        return lambda: float(run([sys.executable, HERE / "torch_epoch.py", *mode])[0])

    peak = lambda: float(run([sys.executable, HERE / "torch_epoch.py", "--peak"])[0])
    values = alternate({"here": lambda: epoch_seconds(trainer, work),
                        "here, `isa: portable`": lambda: epoch_seconds(trainer, work, "portable"),
                        "here, not portable (`isa: avx2`)": lambda: epoch_seconds(trainer, work, "avx2"),
                        "PyTorch": torch(), "PyTorch, channels-last, fused Adam": torch("--fast"),
                        "peak": peak})
    peaks = values.pop("peak")
    # Three products per weight and image, but none for the gradient of the first layer's input.
    flop = 2 * TRAIN_IMAGES * (3 * 4_796_416 - 460_800)
    share = statistics.median(flop / s / (1e9 * p) for s, p in zip(values["here"], peaks))
    return compared(values, "s") + (
        f"\nThe largest product of matrices that PyTorch makes here: {statistics.median(peaks):.0f} GFLOP/s. "
        f"An epoch's multiplications by the definition in its time are {100 * share:.0f} % of that.\n")


def time_to_99(trainer, work):
    """Whole process of a training, and what it gets on the test split."""
    text = (ROOT / "recipes/mnist-fast.yaml").read_text()
    assert "\nseed: 1\n" in text
    rows, seconds, accuracies = [], [], []
    for seed in range(1, 6):
        recipe, place, zoo = work / f"fast-{seed}.yaml", work / f"fast-{seed}", work / f"zoo-{seed}"
        recipe.write_text(text.replace("\nseed: 1\n", f"\nseed: {seed}\n"))
        data = ["--datasets", ROOT / "datasets"]
        _, took = run([trainer, "train", recipe, "--run", place, *data], stderr=subprocess.DEVNULL)
        (zoo / "models").mkdir(parents=True)
        run([trainer, "publish", "--run", place, "--zoo", zoo, *data], stderr=subprocess.DEVNULL)
        correct = json.loads((zoo / "index.json").read_text())["models"][0]["versions"][0]["test"]
        right, total = map(int, correct.split("/"))
        seconds.append(took)
        accuracies.append(100 * right / total)
        rows.append([seed, f"{took:.1f} s", f"{accuracies[-1]:.2f} %"])
        print(f"  seed {seed}: {took:.1f} s, {correct}", file=sys.stderr, flush=True)
    rows.append(["mean", f"{statistics.mean(seconds):.1f} s", f"{statistics.mean(accuracies):.2f} %"])
    return table(["seed", "whole process", "test split of MNIST"], rows)


def published():
    """Names of all models of the zoo, of which the newest versions are measured."""
    return sorted(folder.name for folder in (ROOT / "zoo/models").iterdir())


def latency(infer, model, peers):
    """One image to a call, one thread: a row for each side."""
    tails = {name: [] for name in ["here", *peers]}

    def here():
        measured = speed(infer, model, 1, 1)
        tails["here"].append(measured["p99_us"])
        return measured["p50_us"]

    def there(name):
        median, tail = peers[name].times(1, 1.0)
        tails[name].append(tail)
        return median

    values = alternate({"here": here} | {name: partial(there, name) for name in peers})
    return [[model, name, f"{statistics.median(measured):.1f} us", f"{statistics.median(tails[name]):.1f} us",
             "" if name == "here" else ratio(measured, values["here"])] for name, measured in values.items()]


def throughput(infer, model, threads, peers):
    """Images per second by images to a call: a row for each side, with the ratio of the best batches."""
    sides = {}
    for batch in BATCHES:
        sides["here", batch] = lambda b=batch: speed(infer, model, b, threads, 0.4)["images_per_second"]
        for name, peer in peers.items():
            sides[name, batch] = lambda b=batch, p=peer: 1e6 * b / p.times(b, 0.4)[0]
    values = alternate(sides)
    median = lambda name, batch: statistics.median(values[name, batch])
    best = {name: values[name, max(BATCHES, key=lambda batch: median(name, batch))] for name in ["here", *peers]}
    return [[model, threads, name, *(f"{median(name, batch):,.0f}" for batch in BATCHES),
             "" if name == "here" else ratio(best["here"], best[name])] for name in ["here", *peers]]


def prediction(infer, models):
    """Latency of one image, and throughput by batch."""
    latencies, throughputs = [], []
    for model in models:
        for threads in (1, 2):
            with ExitStack() as stack:
                peers = {name: stack.enter_context(Peer(name, model, threads)) for name in PEERS}
                if threads == 1:
                    latencies += latency(infer, model, peers)
                throughputs += throughput(infer, model, threads, peers)
    return (table(["model", "", "median", "99 %", "there / here"], latencies)
            + "\nImages per second by images to a call; the last column compares the best batch of each side. "
              "Above 1: faster here.\n\n"
            + table(["model", "threads", "", *(f"{batch:,}" for batch in BATCHES), "here / there"], throughputs))


def milliseconds(command):
    """From starting a process to its end, its output thrown away.

    `subprocess` adds a pipe, a thread and decoding of its own, 1 to 2 ms that are not the command's."""
    command = [str(part) for part in command]
    silent = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
    started = time.perf_counter()
    process = os.posix_spawn(command[0], command, os.environ, file_actions=silent)
    _, status = os.waitpid(process, 0)
    took = time.perf_counter() - started
    if status != 0:
        sys.exit(f"error: {' '.join(command)} failed with {os.waitstatus_to_exitcode(status)}")
    return 1e3 * took


def cold_start(infer, models):
    """Whole processes that answer for one image."""
    rows = []
    for model in models:
        image, zoo = ROOT / "docs/seven.png", ROOT / "zoo"
        commands = {
            "here": [infer, "predict", image, "--model", model, "--zoo", zoo],
            "Python, onnxruntime": [sys.executable, HERE / "onnxruntime_predict.py", newest(model) / "model.onnx", image],
        }
        sides = {name: partial(milliseconds, command) for name, command in commands.items()}
        values = alternate(sides, 15)
        for name, command in commands.items():
            share = "" if name == "here" else ratio(values["here"], values[name], 3)
            memory = statistics.median(megabytes(command) for _ in range(5))
            rows.append([model, name, f"{statistics.median(values[name]):.1f} ms", f"{memory:.0f} MB", share])
    return table(["model", "", "whole process", "memory", "here / there"], rows)


def serve(infer, zoo):
    """Throughput, tails, and what happens above the limits."""
    return (serving.throughput(zoo, LARGE_AND_SMALL, partial(speed, infer))
            + "\nFor a longer time, and above the limits:\n\n" + serving.endurance(zoo))


def peers_step(trainer, work):
    """Milliseconds of a training step of the network of `mnist-cnn`, candle and burn included."""
    steps = -(-TRAIN_IMAGES // 128)
    rows = [["here", f"{1e3 * epoch_seconds(trainer, work) / steps:.0f} ms"]]
    for peer in ("candle", "burn"):
        settings = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / "target/peers"), "RUSTFLAGS": "-C target-cpu=native"}
        run(["cargo", "build", "--release", "--quiet", "--manifest-path", HERE / peer / "Cargo.toml"], env=settings)
        output, _ = run([ROOT / f"target/peers/release/{peer}-step"])
        rows.append([output.split(":")[0], output.split(":")[1].strip()])
    return table(["network of `mnist-cnn`, batch of 128", "one training step"], rows)


def measure(arguments):
    infer, trainer = Path(arguments.infer).resolve(), ROOT / "target/debug/trainer"
    sections = {
        "epoch": ("Training: an epoch of the network of mnist-cnn", lambda w: training(trainer, w)),
        "step": ("Training: other Rust frameworks", lambda w: peers_step(trainer, w)),
        "99": ("Training: from process start to 99 %", lambda w: time_to_99(trainer, w)),
        "cold": ("Prediction: from process start to answer", lambda _: cold_start(infer, LARGE_AND_SMALL)),
        "predict": ("Prediction: a loaded model", lambda _: prediction(infer, published())),
        "foreign": ("Prediction: networks from elsewhere",
                    lambda work: foreign.times(Path(arguments.reader).resolve(), work)),
        "serve": ("Serving", lambda _: serve(infer, Path(arguments.server).resolve())),
    }
    results = HERE / "results.json"
    known = json.loads(results.read_text()) if results.exists() else {}
    for key in sections if arguments.only is None else arguments.only:
        title, section = sections[key]
        print(title, file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-") as work:
            known[key] = {"machine": machine(), "date": str(datetime.date.today()), "text": section(Path(work))}
        results.write_text(json.dumps(known, indent=1) + "\n")
    rust = run(["rustc", "--version"])[0].split()[1]
    peers = ", ".join(package.replace("==", " ") for package in PACKAGES)
    text = (HERE / "head.md").read_text().format(
        rust=rust, peers=peers, rounds=ROUNDS,
        size=f"{infer.stat().st_size / 1e6:.1f} MB")
    for key, (title, _) in sections.items():
        if key in known:
            found = known[key]
            text += (f"\n## {title}\n\n{(HERE / f'{key}.md').read_text()}{found['machine']}; {found['date']}.\n\n"
                     + found["text"])
    (ROOT / "BENCHMARKS.md").write_text(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--infer", default=ROOT / "target/debug/infer", help="the binary to measure")
    parser.add_argument("--server", default=ROOT / "target/debug/zoo", help="the binary to measure serving with")
    parser.add_argument("--reader", default=ROOT / "target/debug/infer",
                        help="a binary with the reader of adopted networks")
    parser.add_argument("--only", nargs="*", help="sections to measure again: epoch step 99 cold predict foreign serve; "
                        "with none of them BENCHMARKS.md is only written anew")
    arguments = parser.parse_args()
    measure(arguments)


if __name__ == "__main__":
    main()
