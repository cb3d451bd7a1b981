# /// script
# requires-python = ">=3.11"
# dependencies = [
#     "cyclonedx-python-lib[json-validation]==11.6.0",
#     "huggingface_hub==2.4.0",
#     "numpy==2.4.6",
#     "onnx==1.19.1",
#     "safetensors==0.8.0",
# ]
# ///
"""`zoo export` against the tools that read its files: huggingface_hub, safetensors, onnx.hub, CycloneDX's validator.

Run it as `uv run scripts/check_exports.py [FOLDER OF zoo]`. `onnx.hub` left the `onnx` package after
the version named here (1.23 no longer has it); it reads the repository from the disk instead of the
network, and checks every sha256.
"""
import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

from programs import ROOT, program


def check_boms(work):
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    boms = []
    for folder in ("boms", "again"):
        command = [program("zoo"), "export", "bom", Path(work, folder), "--zoo", ROOT / "zoo", "--json"]
        files = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["files"]
        boms.append([Path(file).read_text() for file in files])
    assert boms[0] == boms[1] and boms[0]
    for text in boms[0]:
        error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
        assert error is None, error
        bom = json.loads(text)
        component = bom["metadata"]["component"]
        folder = ROOT / "zoo/models" / component["name"] / component["version"]
        for file in (c for c in bom["components"] if c["type"] == "file"):
            found = hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
            assert file["hashes"][0]["content"] == found, file
    print(f"CycloneDX: {len(boms[0])} bills of materials valid, every hash that of its file: ok")


def check():
    import onnx.hub
    from huggingface_hub import ModelCard
    from safetensors.numpy import load_file

    zoo = json.loads((ROOT / "zoo/index.json").read_text())
    with tempfile.TemporaryDirectory(prefix="check-exports-") as work:
        subprocess.run([program("zoo"), "export", "hf", work, "--zoo", ROOT / "zoo"], check=True, stdout=subprocess.DEVNULL)
        for model in zoo["models"]:
            name, version = model["name"], model["versions"][-1]
            folder, published = Path(work, name), ROOT / "zoo" / version["path"]
            card = ModelCard.load(folder / "README.md")
            [result] = card.data.eval_results
            right, total = map(int, version["test"].split("/"))
            assert abs(result.metric_value - right / total) < 1e-6 and result.dataset_split == "test", result
            assert card.data.pipeline_tag == "image-classification" and f"# {name}" in card.text
            config = json.loads((folder / "config.json").read_text())
            assert len(config["id2label"]) == 10 and config["sha256"]["model.onnx"] == version["onnx_sha256"]
            assert sum(w.size for n, w in load_file(folder / "model.safetensors").items()
                       if "running_" not in n) == version["parameters"]
            for file in ["model.onnx", "model.safetensors", "recipe.yaml", "manifest.yaml"]:
                assert (folder / file).read_bytes() == (published / file).read_bytes(), file
            print(f"{name}: card, config and files as huggingface_hub and safetensors read them: ok")

        onnx.hub._get_base_url = lambda repo, lfs=False: f"file://{ROOT}/"
        onnx.hub.set_dir(str(Path(work, "hub")))
        listed = {model.model: model for model in onnx.hub.list_models("us/zoo:main")}
        assert sorted(listed) == [model["name"] for model in zoo["models"]], listed
        for name, info in listed.items():
            model = onnx.hub.load(name, "us/zoo:main", silent=True)
            assert model.opset_import[0].version == info.opset
            port = info.metadata["io_ports"]["inputs"][0]
            assert model.graph.input[0].name == port["name"] and port["type"] == "tensor(uint8)", port
        check_boms(work)
        print(f"onnx.hub: {len(listed)} models listed and loaded, every sha256 as listed: ok")


if __name__ == "__main__":
    check()
