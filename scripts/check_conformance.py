# /// script
# requires-python = ">=3.11"
# dependencies = ["ml-dtypes==0.5.4", "numpy==2.4.6", "onnx==1.19.1"]
# ///
"""The ONNX backend tests through `infer run`: what passes, what is refused, what crashes, and that nothing is wrong.

usage: check_conformance.py [FOLDER OF infer] [--write]

The score is scripts/conformance.txt; it must be what was measured, and nothing may be wrong. --write writes it anew.
"""

import collections
import concurrent.futures
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test import loader
from onnx.backend.test.runner import Runner

ROOT = Path(__file__).resolve().parent.parent
SCORE = ROOT / "scripts/conformance.txt"
KINDS = ["node", "simple", "pytorch-converted", "pytorch-operator", "light"]
# Operators of image classifiers, whose tests with one float input are counted apart.
CLASSIFIERS = {
    "Add", "AveragePool", "BatchNormalization", "Clip", "Concat", "Conv", "Dropout", "Elu", "Exp", "Flatten", "Gelu", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid", "HardSwish", "Identity", "LRN", "LeakyRelu", "LogSoftmax", "MatMul",
    "MaxPool", "Mul", "Pad", "PRelu", "ReduceMean", "Relu", "Reshape", "Selu", "Sigmoid", "Softmax", "Softplus", "Squeeze",
    "Sub", "Tanh", "Transpose", "Unsqueeze", "Mish", "LayerNormalization", "Erf", "Div", "Sqrt", "Celu",
}


def tensor(path):
    """An array; `None` for what is none."""
    proto = onnx.TensorProto()
    try:
        proto.ParseFromString(path.read_bytes())
        return numpy_helper.to_array(proto) if proto.data_type else None
    except Exception:
        return None


class Light:
    """A large network whose weights are all alike, with the output that onnx keeps for it."""

    kind = "light"

    def __init__(self, case, work):
        self.name, self.rtol, self.atol = case.name, case.rtol, case.atol
        source = Path(onnx.__file__).parent.parent / case.url
        folder = work / "light" / case.name
        data = folder / "test_data_set_0"
        data.mkdir(parents=True)
        (folder / "model.onnx").symlink_to(source)
        graph = onnx.load(source).graph
        constants = {tensor.name for tensor in graph.initializer}
        [image] = [value for value in graph.input if value.name not in constants]
        value = Runner.generate_dummy_data(image, seed=0, name=case.model_name, random=False)
        (data / "input_0.pb").write_bytes(numpy_helper.from_array(value).SerializeToString())
        (data / "output_0.pb").symlink_to(source.with_name(source.stem + "_output_0.pb"))
        self.model_dir = str(folder)


def is_classifier(case, folder):
    model = onnx.load(folder / "model.onnx")
    inputs = model.graph.input
    operators = {node.op_type for node in model.graph.node}
    is_float = len(inputs) == 1 and inputs[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    return case.kind == "node" and is_float and operators <= CLASSIFIERS


def outcome(infer, case, work):
    folder = Path(case.model_dir)
    sets = sorted(folder.glob("test_data_set_*"))
    for data in sets:
        out = work / case.name / data.name
        command = [infer, "run", folder / "model.onnx", "--inputs", data, "--out", out]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=180)
        except subprocess.TimeoutExpired:
            return "crashed", "180 s"
        if done.returncode == 2:
            return "refused", done.stderr.strip().splitlines()[0]
        if done.returncode != 0:
            return "crashed", (done.stderr.strip().splitlines() or ["?"])[0]
        for expected in sorted(data.glob("output_*.pb")):
            want, found = tensor(expected), tensor(out / expected.name)
            if want is None:
                return "refused", "an output that is no tensor"
            if found is None or want.dtype != found.dtype or want.shape != found.shape:
                what = "nothing" if found is None else f"{found.dtype} {found.shape}"
                return "wrong", f"{what}, expected {want.dtype} {want.shape}"
            if want.dtype == object:
                same = (want == found).all()
            else:
                both = found.astype(np.float64), want.astype(np.float64)
                same = np.allclose(*both, rtol=case.rtol, atol=case.atol, equal_nan=True)
            if not same:
                return "wrong", "other values"
    return ("passed", "") if sets else ("refused", "no data")


def main():
    arguments = [argument for argument in sys.argv[1:] if not argument.startswith("--")]
    infer = Path(arguments[0] if arguments else ROOT / "target/debug").resolve() / "infer"
    cases = [case for kind in KINDS[:-1] for case in loader.load_model_tests(kind=kind) if case.model_dir]
    counts = collections.defaultdict(collections.Counter)
    lines, wrong = [], []
    with tempfile.TemporaryDirectory() as work, concurrent.futures.ThreadPoolExecutor(2) as pool:
        cases += [Light(case, Path(work)) for case in loader.load_model_tests(kind="real") if "/light/" in case.url]
        results = pool.map(lambda case: outcome(infer, case, Path(work)), cases)
        for case, (result, why) in zip(cases, results, strict=True):
            counts[case.kind][result] += 1
            if is_classifier(case, Path(case.model_dir)):
                counts["classifiers"][result] += 1
            if result != "passed":
                lines.append(f"{case.kind} {case.name} {result}")
            if result in ("wrong", "crashed"):
                wrong.append(f"{result}: {case.kind} {case.name}: {why}")
    for line in wrong:
        print(line)
    score = [f"# onnx {onnx.__version__}, by scripts/check_conformance.py; what is not listed passes"]
    for kind in [*KINDS, "classifiers"]:
        found = counts[kind]
        score.append(f"# {kind}: " + ", ".join(f"{found[key]} {key}" for key in ("passed", "refused", "crashed", "wrong")))
    print("\n".join(score))
    text = "\n".join([*score, *sorted(lines)]) + "\n"
    if "--write" in sys.argv:
        SCORE.write_text(text)
    assert not any(counts[kind]["wrong"] for kind in counts), "wrong answers"
    share = counts["classifiers"]["passed"] / max(sum(counts["classifiers"].values()), 1)
    assert share >= 0.9, f"classifiers: {share:.1%}"
    assert SCORE.read_text() == text, "the score is not that of scripts/conformance.txt; --write writes it"


main()
