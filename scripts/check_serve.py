# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
#     "onnx==1.23.2",
#     "pillow==12.3.0",
#     "prometheus-client==0.23.1",
#     "tritonclient[http]==2.73.0",
# ]
# ///
"""`zoo serve` against NVIDIA's unmodified Python client `tritonclient[http]`.

Run it as `uv run scripts/check_serve.py [FOLDER OF zoo]`. For every published model: metadata, readiness, the golden data
and the first 500 test images, in JSON and in binary tensors; classification; asynchronous
requests, compressed ones, configuration and statistics; the repository's index, unload and load; and an error for what
is wrong. Both forms of the metrics go through Prometheus' own parsers, and a form through curl.
"""
import contextlib
import gzip
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from programs import ROOT, serving


def check_model(client, name, version):
    import numpy
    import onnx
    from onnx import numpy_helper
    from tritonclient.http import InferInput, InferRequestedOutput

    folder = ROOT / "zoo/models" / name / version
    assert client.is_model_ready(name) and client.is_model_ready(name, version)
    metadata = client.get_model_metadata(name, version)
    assert metadata["inputs"][0]["name"] == "image" and metadata["outputs"][0]["datatype"] == "FP32", metadata

    def infer(images, binary, **options):
        tensor = InferInput("image", images.shape, "UINT8")
        tensor.set_data_from_numpy(images, binary_data=binary)
        output = InferRequestedOutput("probabilities", binary_data=binary)
        result = client.infer(name, [tensor], model_version=version, outputs=[output], request_id="7", **options)
        answer = result.get_response()
        assert (answer["id"], answer["model_version"]) == ("7", version), answer
        assert answer["parameters"]["model_sha256"] == metadata["parameters"]["model_sha256"]
        return result.as_numpy("probabilities")

    golden = lambda file: numpy_helper.to_array(onnx.load_tensor(folder / "test_data_set_0" / file))
    images, expected = golden("input_0.pb"), golden("output_0.pb")
    def counts():
        [entry] = client.get_inference_statistics(name, version)["model_stats"]
        assert (entry["name"], entry["version"]) == (name, version), entry
        success = entry["inference_stats"]["success"]
        return entry["inference_count"], success["count"], success["ns"]

    before = counts()
    differences = [abs(infer(images, binary) - expected).max() for binary in (False, True)]
    for algorithm in ("gzip", "deflate"):
        compressed = infer(images, True, request_compression_algorithm=algorithm)
        differences.append(abs(compressed - expected).max())
    config = client.get_model_config(name, version)
    assert config["input"][0]["data_type"] == "TYPE_UINT8" and config["input"][0]["dims"] == [1, 28, 28], config
    assert config["output"][0]["dims"] == [10] and config["max_batch_size"] > 0, config
    more = [new - old for new, old in zip(counts(), before, strict=True)]
    assert more[:2] == [4 * len(images), 4] and more[2] > 0, more
    assert max(differences) <= 1e-5, differences
    data = ROOT / "datasets" / metadata_dataset(folder)
    pixels = numpy.frombuffer(gzip.decompress((data / "t10k-images-idx3-ubyte.gz").read_bytes())[16:], numpy.uint8)
    labels = numpy.frombuffer(gzip.decompress((data / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:], numpy.uint8)
    images = pixels.reshape(-1, 1, 28, 28)[:500]
    right = (infer(images, True).argmax(1) == labels[:500]).sum()
    assert right >= 450, right

    tensor = InferInput("image", [1, 1, 28, 28], "UINT8")
    tensor.set_data_from_numpy(images[:1])
    top = InferRequestedOutput("probabilities", class_count=3)
    classes = client.infer(name, [tensor], outputs=[top]).as_numpy("probabilities")
    best = int(classes[0][0].split(b":")[1])
    assert classes.shape == (1, 3) and best == infer(images[:1], True).argmax(), classes
    waiting = [client.async_infer(name, [tensor]) for _ in range(20)]
    assert all(answer.get_result().as_numpy("probabilities").argmax() == best for answer in waiting)
    print(f"{name}@{version}: tritonclient ok, golden difference {max(differences):.1e}, {right} of 500 right")


def metadata_dataset(folder):
    lines = (folder / "manifest.yaml").read_text().splitlines()
    return lines[lines.index("dataset:") + 1].split(": ")[1]


def check():
    import numpy
    from tritonclient.http import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    with tempfile.NamedTemporaryFile("w") as token, contextlib.ExitStack() as stack:
        token.write("administrator")
        token.flush()
        url = stack.enter_context(serving("--admin-token-file", token.name))
        administrator = {"Authorization": "Bearer administrator"}
        client = InferenceServerClient(url.removeprefix("http://"), concurrency=4)
        assert client.is_server_live()
        while not client.is_server_ready():
            pass
        assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
        index = client.get_model_repository_index()
        # Two versions of each model are served.
        numbers = sorted((entry["name"], int(entry["version"])) for entry in index)
        newest = {(name, number) for name, number in numbers if len([n for m, n in numbers if m == name and n > number]) < 2}
        ready = {(entry["name"], int(entry["version"])) for entry in index if entry["state"] == "READY"}
        assert index and ready == newest, index
        for entry in index:
            if entry["state"] != "READY":
                continue
            check_model(client, entry["name"], entry["version"])
        client.unload_model("mnist-lite", headers=administrator)
        assert not client.is_model_ready("mnist-lite")
        client.load_model("mnist-lite", headers=administrator)
        assert client.is_model_ready("mnist-lite")
        wrong = InferInput("image", [1, 28, 28], "UINT8")
        wrong.set_data_from_numpy(numpy.zeros([1, 28, 28], numpy.uint8))
        try:
            client.infer("mnist-lite", [wrong])
            sys.exit("a wrong shape was accepted")
        except InferenceServerException as error:
            assert "expected [N, 1, 28, 28]" in error.message() and error.status() == "400", error
        assert len(client.get_inference_statistics()["model_stats"]) == len(ready)
        client.close()
        check_metrics(url)
        check_form(url)
        check_memory(url)


def check_memory(url):
    """Sixteen clients at a time with images that need much memory: progressive JPEG files keep all coefficients."""
    import io
    from concurrent.futures import ThreadPoolExecutor

    from PIL import Image

    def progressive(side):
        out = io.BytesIO()
        noise = Image.effect_noise((side // 10, side // 10), 60).resize((side, side)).convert("RGB")
        noise.save(out, "JPEG", progressive=True, quality=50)
        return out.getvalue()

    def ask(body):
        request = urllib.request.Request(url + "/predict?model=mnist-robust", data=body)
        try:
            return urllib.request.urlopen(request, timeout=60).status
        except urllib.error.HTTPError as error:
            return error.code

    allowed, refused = progressive(4100), progressive(8150)
    with ThreadPoolExecutor(16) as pool:
        statuses = list(pool.map(ask, [allowed, refused] * 16))
    port = url.rsplit(":", 1)[1]
    listening = subprocess.run(["pgrep", "-f", "zoo serve --zoo"], capture_output=True, text=True).stdout.split()
    peaks = []
    for pid in listening:
        status = Path("/proc", pid, "status").read_text()
        peaks += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    peak = max(peaks) / 1024
    assert set(statuses[1::2]) <= {400, 503} and set(statuses[::2]) <= {200, 503} and 200 in statuses, statuses
    assert peak < 1024, peak
    print(f"16 clients with progressive JPEGs of 17 and 66 megapixels on port {port}: at most {peak:.0f} MiB")


def check_metrics(url):
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
    from prometheus_client.parser import text_string_to_metric_families as text

    samples = []
    for parse, accept in ((text, "text/plain"), (open_metrics, "application/openmetrics-text; version=1.0.0")):
        request = urllib.request.Request(url + "/metrics", headers={"Accept": accept})
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["Content-Type"].startswith(accept.split(";")[0]), answer.headers
            families = list(parse(answer.read().decode()))
        assert {"infer_requests", "infer_images"} <= {f.name for f in families if f.type == "counter"}, families
        samples.append({s.name for family in families for s in family.samples})
    assert samples[0] == samples[1], samples[0] ^ samples[1]
    print(f"Prometheus' parsers read {len(samples[0])} kinds of samples, the same from both formats")


def check_form(url):
    form = subprocess.run(
        ["curl", "-sf", "-F", f"image=@{ROOT}/docs/seven.png", url + "/predict"],
        check=True,
        capture_output=True,
    )
    assert json.loads(form.stdout)["label"] == "7", form.stdout
    print("curl -F: ok")


if __name__ == "__main__":
    check()
