# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "numpy==2.4.6",
#     "onnx==1.23.2",
#     "onnxruntime==1.32.0",
#     "openvino==2026.4.1",
#     "pyyaml==6.0.4",
#     "safetensors==0.8.0",
# ]
# ///
"""Checks every published model with other people's tools: onnx.checker, onnxruntime, OpenVINO.

Run it as `uv run scripts/check_onnx.py`. For each model: the full check of onnx.checker; with both engines the golden
data and the exact number of right answers on the test set; the state dict against the ONNX
file's size.
"""
import gzip
import hashlib
import sys

from programs import ROOT


def idx(path, header):
    import numpy

    return numpy.frombuffer(gzip.decompress(path.read_bytes())[header:], numpy.uint8)


def check(version):
    import numpy
    import onnx
    import onnxruntime
    import openvino
    import yaml
    from onnx import numpy_helper
    from safetensors.numpy import load_file

    manifest = yaml.safe_load((version / "manifest.yaml").read_text())
    onnx.checker.check_model(str(version / "model.onnx"), full_check=True)
    props = {p.key: p.value for p in onnx.load(version / "model.onnx").metadata_props}
    assert props["model"] == manifest["name"] and int(props["version"]) == manifest["version"], props
    session = onnxruntime.InferenceSession(str(version / "model.onnx"), providers=["CPUExecutionProvider"])
    # OpenVINO computes in bfloat16 on processors that have it, unless told otherwise.
    compiled = openvino.Core().compile_model(version / "model.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    engines = {
        "onnxruntime": lambda images: session.run(None, {"image": images})[0],
        "OpenVINO": lambda images: compiled([images])[0],
    }

    tensor = lambda name: numpy_helper.to_array(onnx.load_tensor(version / "test_data_set_0" / name))
    data = ROOT / "datasets" / manifest["dataset"]["name"]
    dims = [d for d in manifest["input"]["shape"] if d != "N"]
    images = idx(data / "t10k-images-idx3-ubyte.gz", 16).reshape(-1, *dims)
    labels = idx(data / "t10k-labels-idx1-ubyte.gz", 8)
    claimed = manifest["test"]
    said = []
    for engine, run in engines.items():
        golden = abs(run(tensor("input_0.pb")) - tensor("output_0.pb")).max()
        assert golden <= 1e-5, f"{engine}: golden data differ by {golden}"
        batches = [run(images[i : i + 500]) for i in range(0, len(images), 500)]
        predictions = numpy.concatenate(batches).argmax(1).astype(numpy.uint8)
        found = f"{(predictions == labels).sum()}/{len(labels)}"
        assert found == claimed["correct"], f"{engine} gets {found}, the manifest claims {claimed['correct']}"
        same = hashlib.sha256(predictions.tobytes()).hexdigest() == claimed["predictions_sha256"]
        assert same, f"{engine} predicts other classes than the manifest claims"
        said.append(f"{engine} {found}, every prediction the same, golden difference {golden:.1e}")

    weights = load_file(version / "model.safetensors")
    first = load_file(version / "first_layer.safetensors")
    assert sum(w.size for n, w in weights.items() if "running_" not in n) == manifest["network"]["parameters"]
    assert all((weights[name] == first[name]).all() for name in first)
    print(f"{manifest['name']}@{manifest['version']}: onnx.checker ok; {'; '.join(said)}")


def check_all():
    versions = sorted((ROOT / "zoo/models").glob("*/*/manifest.yaml"))
    if not versions:
        sys.exit("no models in zoo/models")
    for manifest in versions:
        check(manifest.parent)


if __name__ == "__main__":
    check_all()
