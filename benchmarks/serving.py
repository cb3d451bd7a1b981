"""`zoo serve` under load from wrk, beside the same predictor in the process (`infer bench`)."""
import json
import os
import statistics
import subprocess
from pathlib import Path
from urllib.request import urlopen

from comparing import alternate, ratio, table

HERE = Path(__file__).resolve().parent
ZOO = HERE.parent / "zoo"


class Server:
    def __init__(self, zoo, *options):
        command = [zoo, "serve", "--zoo", ZOO, "--listen", "127.0.0.1:0", "--json", "--log-level", "error", *options]
        self.process = subprocess.Popen([str(c) for c in command], stdout=subprocess.PIPE, text=True)
        text = ""
        while "}" not in text:
            text += self.process.stdout.readline()
        self.url = json.loads(text)["url"]
        while True:
            try:
                urlopen(self.url + "/v2/health/ready")
                break
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        assert self.process.wait(timeout=60) == 0

    def megabytes(self, field="VmRSS"):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024

    def load(self, model, images, connections, seconds, delay=0.0):
        """`delay`: milliseconds that each connection waits before its next request, on average."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--latency", "-s", HERE / "serve.lua", self.url]
        environment = {**os.environ, "MODEL": model, "IMAGES": str(images), "DELAY_MS": str(delay)}
        output = subprocess.run([str(c) for c in command], env=environment, check=True, capture_output=True, text=True)
        line = next(line for line in output.stdout.splitlines() if line.startswith("RESULT "))
        result = json.loads(line.removeprefix("RESULT "))
        result["images_per_second"] = (result["requests"] - result["refused"]) * images / result["seconds"]
        return result

    def answers(self):
        """Number of answers to inference by status."""
        lines = urlopen(self.url + "/metrics").read().decode().splitlines()
        start = 'infer_requests_total{route="/v2/models/{model}/infer",code="'
        found = (line.removeprefix(start).split('"} ') for line in lines if line.startswith(start))
        return {code: int(count) for code, count in found}


def throughput(zoo, models, speed):
    """Images per second through the server and in the process."""
    rows = []
    for model in models:
        for images, connections in [(1, 8), (1, 64), (32, 8)]:
            with Server(zoo) as server:
                loads = []

                def served():
                    loads.append(server.load(model, images, connections, 8))
                    return loads[-1]["images_per_second"]

                values = alternate({
                    "served": served,
                    "in process": lambda: speed(model, images, os.cpu_count(), 3)["images_per_second"],
                })
            median = lambda field: statistics.median(load[field] for load in loads)
            assert sum(load["broken"] + load["refused"] for load in loads) == 0, loads
            rows.append([model, images, connections, f"{statistics.median(values['served']):,.0f}",
                         f"{statistics.median(values['in process']):,.0f}",
                         ratio(values["served"], values["in process"]),
                         f"{median('p50_ms'):.2f} ms", f"{median('p99_ms'):.2f} ms"])
    return table(["model", "images to a request", "connections", "images/s served", "images/s in process",
                  "served / in process", "median", "99 %"], rows)


def below(server, model, share):
    """A load of about so much of what the server does at most, from 64 connections that wait."""
    most = server.load(model, 1, 64, 8)
    # A connection waits for its answer, and then as much longer as makes the load.
    delay = 1e3 * 64 / (share * most["images_per_second"]) - 0.4 * most["p50_ms"]
    result = server.load(model, 1, 64, 15, max(delay, 0.1))
    found = result["images_per_second"] / most["images_per_second"]
    return [f"15 s, {model}, 64 connections, {100 * found:.0f} % of the most", f"{result['requests']:,}",
            result["broken"] + result["refused"], "", f"{result['p50_ms']:.2f} ms", f"{result['p99_ms']:.2f} ms", ""]


def endurance(zoo):
    """Below the limits: most of what the server can, and a minute of all of it. And half a minute far above them."""
    rows = []
    for model in ("mnist-lite", "mnist-cnn"):
        with Server(zoo) as server:
            rows.append(below(server, model, 0.8))
            before = server.megabytes()
            result = server.load(model, 1, 64, 60)
            rows.append([f"60 s, {model}, 64 connections, one image each", f"{result['requests']:,}",
                         result["broken"] + result["refused"], "", f"{result['p50_ms']:.2f} ms",
                         f"{result['p99_ms']:.2f} ms", f"{before:.0f} to {server.megabytes():.0f} MB"])
    with Server(zoo, "--max-queue", 256, "--max-requests", 64, "--max-connections", 400) as server:
        result = server.load("fashion-cnn", 32, 300, 30)
        answers = server.answers()
        assert set(answers) <= {"200", "429", "503"}, answers
        refused = ", ".join(f"{count:,} with {code}" for code, count in sorted(answers.items()) if code != "200")
        rows.append(["30 s, 300 connections, 32 images each, room for 256 images and 64 requests",
                     f"{answers['200']:,}", f"{result['broken']}", refused, f"{result['p50_ms']:.2f} ms",
                     f"{result['p99_ms']:.2f} ms", f"at most {server.megabytes('VmHWM'):.0f} MB"])
    return table(["load", "answered", "failed", "refused", "median", "99 %", "memory"], rows)
