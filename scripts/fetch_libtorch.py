# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Unpacks libtorch, CPU-only, from hash-checked PyPI wheels into .libtorch.

For x86_64 Linux, whose wheel is built for CUDA. Its CPU half runs alone once two small
CUDA libraries that `libtorch_cpu.so` names are beside it, and once `libtorch.so`
(which pulls in the CUDA half) is replaced by a linker script.
Does nothing if .libtorch is complete, or if LIBTORCH or LIBTORCH_USE_PYTORCH is set.
"""
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

VERSION = "2.13.0"
ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / ".libtorch"
LIBRARIES = {"libc10.so", "libtorch_cpu.so", "libgomp.so.1"}
CUDA_LIBRARIES = {"libcupti.so.13", "libcudart.so.13"}


def wanted(name):
    """Where a wheel member goes below .libtorch, or None to leave it out."""
    folder, _, file = name.rpartition("/")
    if name.startswith("torch/include/") and file:
        return name.removeprefix("torch/")
    ours = folder == "torch/lib" and file in LIBRARIES
    return f"lib/{file}" if ours or (folder == "nvidia/cu13/lib" and file in CUDA_LIBRARIES) else None


def unpack(wheel, target):
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            place = wanted(member.filename)
            if place is None:
                continue
            path = target / place
            path.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(member) as source, open(path, "wb") as out:
                shutil.copyfileobj(source, out, 1 << 20)


def main():
    if os.environ.get("LIBTORCH") or os.environ.get("LIBTORCH_USE_PYTORCH"):
        return print("using your own libtorch (LIBTORCH or LIBTORCH_USE_PYTORCH is set)")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        sys.exit(
            "error: only x86_64 Linux is fetched automatically\n"
            f"hint: `pip install torch=={VERSION}`, then `export LIBTORCH_USE_PYTORCH=1`"
        )
    version_file = TARGET / "build-version"
    if version_file.exists() and version_file.read_text().strip() == VERSION:
        return None
    print(f"fetching libtorch {VERSION} (about 530 MB to download, 500 MB on disk)", flush=True)
    with tempfile.TemporaryDirectory(dir=ROOT, prefix=".libtorch-") as work:
        wheels, target = Path(work, "wheels"), Path(work, "libtorch")
        python = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--abi", "none"]
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir",
             "--only-binary=:all:", "--require-hashes", *python, "--dest", wheels,
             "--requirement", ROOT / "scripts" / "libtorch.txt"],
            check=True,
        )
        for wheel in sorted(wheels.iterdir()):
            unpack(wheel, target)
            wheel.unlink()
        (target / "lib/libtorch.so").write_text("INPUT(-ltorch_cpu)\n")
        (target / "lib/libgomp.so").symlink_to("libgomp.so.1")
        (target / "build-version").write_text(VERSION + "\n")
        if TARGET.exists():
            shutil.rmtree(TARGET)
        target.rename(TARGET)
    return print(f"libtorch {VERSION} is in {TARGET}")


if __name__ == "__main__":
    main()
