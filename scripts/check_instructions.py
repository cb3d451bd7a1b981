# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Fails if something takes more than 10 % more instructions than benchmarks/instructions.json says: a whole
`infer predict` and what each further image adds, a request to `zoo serve`, and the convolutions of a training step.

Counted by valgrind's callgrind, so that it does not depend on the clock or on what else runs. What
a request takes is the difference of two processes, one of which has more of them. Counts fall and rise with the
compiler: `--write` records new ones, to be committed with the reason.
Needs valgrind, and infer as it is shipped (`make dist`) in the folder given: in the build for tests,
tract is not optimised, and nothing else would be seen beside it. Server and training step are those of the build for tests:
the layers of the server are not optimised in it, so its count tells of more work, not of time.
"""
import argparse
import http.client
import json
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECORD = ROOT / "benchmarks/instructions.json"
MODELS = ["mnist-cnn", "mnist-lite"]
MORE_IMAGES = 20
MORE_REQUESTS = 300
MORE_STEPS = 4
ALLOWED = 1.10


def counting(command, work, **options):
    """A process under callgrind."""
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={work}/out", "--log-file=" + f"{work}/log"]
    return subprocess.Popen([str(part) for part in [*callgrind, *command]], text=True, **options)


def counted(process, work):
    """Its instructions, once it has ended well."""
    output = process.communicate()
    log = (Path(work) / "log").read_text()
    found = re.search(r"Collected : (\d+)", log)
    if process.returncode != 0 or not found:
        sys.exit(f"error: {process.args}: {output}\n{log}")
    return int(found[1])


def predicted(infer, model, images):
    with tempfile.TemporaryDirectory() as work:
        command = [infer, "predict", *[ROOT / "docs/seven.png"] * images, "--model", model, "--zoo", ROOT / "zoo"]
        return counted(counting(command, work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), work)


def trained(program, steps):
    with tempfile.TemporaryDirectory() as work:
        return counted(counting([program, steps], work, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE), work)


def served(server, requests):
    """Instructions of a server that answers so many requests, one after another."""
    pixels = bytes(i * 7 % 256 for i in range(784))
    inputs = [{"name": "image", "shape": [1, 1, 28, 28], "datatype": "UINT8", "parameters": {"binary_data_size": 784}}]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    with tempfile.TemporaryDirectory() as work:
        # A look through the zoo is no part of a request: only the first one falls into this time.
        command = [server, "serve", "--zoo", ROOT / "zoo", "--listen", "127.0.0.1:0", "--json", "--log-level", "error",
                   "--poll", "3600", "--threads", "1"]
        process = counting(command, work, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        text = ""
        while "}" not in text:
            text += process.stdout.readline()
        address = json.loads(text)["url"].removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=300)
        while not ready(connection):
            time.sleep(0.5)
        for _ in range(requests):
            connection.request("POST", "/v2/models/mnist-lite/infer", head + pixels,
                               {"Inference-Header-Content-Length": str(len(head))})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
        connection.close()
        process.send_signal(signal.SIGTERM)
        return counted(process, work)


def ready(connection):
    connection.request("GET", "/v2/models/mnist-lite/ready")
    answer = connection.getresponse()
    answer.read()
    return answer.status == 200


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path, help="of the infer that is shipped")
    parser.add_argument("--server", default=ROOT / "target/debug/zoo")
    parser.add_argument("--training", default=ROOT / "target/debug/examples/training_step")
    parser.add_argument("--write", action="store_true", help="record the counts instead of comparing")
    arguments = parser.parse_args()
    found = {}
    for model in MODELS:
        one, many = (predicted(arguments.folder / "infer", model, count) for count in (1, 1 + MORE_IMAGES))
        found[model] = {"process": one, "image": (many - one) // MORE_IMAGES}
    few, many = (served(arguments.server, count) for count in (100, 100 + MORE_REQUESTS))
    found["zoo serve"] = {"request": (many - few) // MORE_REQUESTS}
    few, many = (trained(arguments.training, count) for count in (1, 1 + MORE_STEPS))
    found["training"] = {"step": (many - few) // MORE_STEPS}
    if arguments.write:
        RECORD.write_text(json.dumps(found, indent=2) + "\n")
        return
    recorded = json.loads(RECORD.read_text())
    worse = False
    for name, counts in found.items():
        for what, count in counts.items():
            ratio = count / recorded[name][what]
            worse = worse or ratio > ALLOWED
            print(f"{name}, {what}: {count:,} instructions, {ratio:.3f} of those recorded")
    if worse:
        sys.exit(f"error: more than {ALLOWED:.2f} of the instructions recorded in {RECORD.relative_to(ROOT)}\n"
                 "hint: if it is worth it, record them anew with scripts/check_instructions.py --write")


if __name__ == "__main__":
    main()
