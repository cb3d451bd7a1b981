"""Published models in other runtimes, fed with bytes as here. Every peer has `times`."""
import time
from pathlib import Path

import numpy

ROOT = Path(__file__).resolve().parent.parent


def newest(model):
    return max((ROOT / "zoo/models" / model).iterdir(), key=lambda version: int(version.name))


def repeated(call, batch, seconds):
    """Microseconds of every call, sorted."""
    images = (numpy.arange(batch * 784) * 7 % 256).astype(numpy.uint8).reshape(batch, 1, 28, 28)
    call(images)
    times, started = [], time.perf_counter()
    while len(times) < 2 or time.perf_counter() - started < seconds:
        at = time.perf_counter()
        call(images)
        times.append(1e6 * (time.perf_counter() - at))
    return sorted(times)


class Onnxruntime:
    def __init__(self, model, threads):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        path = str(newest(model) / "model.onnx")
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def times(self, batch, seconds):
        return repeated(lambda images: self.session.run(None, {"image": images}), batch, seconds)


class OpenVino:
    """In f32, as the others. A network for each batch, of which OpenVINO then knows all shapes."""

    def __init__(self, model, threads):
        import openvino

        self.core, self.path = openvino.Core(), newest(model) / "model.onnx"
        self.settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
                         "PERFORMANCE_HINT": "LATENCY"}
        self.requests = {}

    def times(self, batch, seconds):
        if batch not in self.requests:
            network = self.core.read_model(self.path)
            network.reshape([batch, 1, 28, 28])
            self.requests[batch] = self.core.compile_model(network, "CPU", self.settings).create_infer_request()
        request = self.requests[batch]
        return repeated(lambda images: request.infer([images]), batch, seconds)


PEERS = {"onnxruntime": Onnxruntime, "OpenVINO": OpenVino}
