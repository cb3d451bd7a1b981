"""Published models in other runtimes, fed with bytes as here.

Each is a process of its own, which sleeps while others are measured: two runtimes in one process take each other's
threads and caches, and a benchmark that is itself large starts other processes slowly.
"""
import json
import subprocess
import sys
import time

from machine import ROOT

PEERS = ["onnxruntime", "OpenVINO"]


def newest(model):
    return max((ROOT / "zoo/models" / model).iterdir(), key=lambda version: int(version.name))


class Peer:
    """A model in a runtime, in a process of its own."""

    def __init__(self, name, model, threads):
        command = [sys.executable, __file__, name, str(newest(model) / "model.onnx"), str(threads)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def times(self, batch, seconds):
        """Microseconds of a call: the median and the 99th percentile."""
        print(batch, seconds, file=self.process.stdin, flush=True)
        return json.loads(self.process.stdout.readline())


def onnxruntime_call(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda batch: lambda images: session.run(None, {"image": images})


def openvino_call(path, threads):
    """In f32, as the others. A network for each batch, of which OpenVINO then knows all shapes."""
    import openvino

    core, requests = openvino.Core(), {}
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}

    def of(batch):
        if batch not in requests:
            network = core.read_model(path)
            network.reshape([batch, 1, 28, 28])
            requests[batch] = core.compile_model(network, "CPU", settings).create_infer_request()
        return lambda images: requests[batch].infer([images])
    return of


def main():
    import numpy

    name, path, threads = sys.argv[1:]
    of = {"onnxruntime": onnxruntime_call, "OpenVINO": openvino_call}[name](path, int(threads))
    for line in sys.stdin:
        batch, seconds = int(line.split()[0]), float(line.split()[1])
        images = (numpy.arange(batch * 784) * 7 % 256).astype(numpy.uint8).reshape(batch, 1, 28, 28)
        call = of(batch)
        call(images)
        times, started = [], time.perf_counter()
        while len(times) < 2 or time.perf_counter() - started < seconds:
            at = time.perf_counter()
            call(images)
            times.append(1e6 * (time.perf_counter() - at))
        times.sort()
        print(json.dumps([times[len(times) // 2], times[round(0.99 * (len(times) - 1))]]), flush=True)


if __name__ == "__main__":
    main()
