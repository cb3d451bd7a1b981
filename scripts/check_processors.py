# /// script
# requires-python = ">=3.11"
# dependencies = []
# ///
"""Checks that training gives the same bytes on every processor, with QEMU's user emulation (Debian: qemu-user).

Run it as `uv run scripts/check_processors.py [FOLDER OF THE PROGRAMS]`. Compared under a model of each vendor
are every layer kind and optimizer (the probes of `trainer doctor`) and two steps of published networks; under
one of them also an epoch of a shortened recipe, and probes and network of `portable2`. The
profile that caps instruction sets and trusts MKL for the rest must fail the same
comparison. `--write` records what the probes give here, by number of threads.
Emulated vectors take some 50 times as long, so nothing is compared twice that differs in the same way: MKL and
oneDNN choose by vendor and by the width of vectors. It takes 5 to 40 minutes all the same, and so is no part of `make interop`:
run it after a change of kernels, probes or libtorch. Each machine that runs the tests compares its own probes with the
committed ones.
"""
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from programs import ROOT, program

# The networks of which two steps are compared; `fashion-cnn` and `mnist-fast` have no other layers.
PROCESSORS = {"Haswell-v4": ["mnist-cnn", "mnist-lite", "fashion-lite"], "EPYC-Milan": ["mnist-cnn"]}
# The one that is like ours but for the vectors' width.
NARROW = "Haswell-v4"
PROFILES = ["portable", "portable2"]
EXPECTED = ROOT / "trainer/src/fingerprint/expected.yaml"
THREADS = [1, 2, 4, 8]
HEAD = """\
# What the probes of `probes.rs` give under the profiles that promise equal bytes, by number of threads.
# Recorded by `scripts/check_processors.py --write`, which compares them under several processors.
"""


def run(processor, arguments, environment):
    """Standard output; `processor` is None for this one. The emulator is lost where a program executes itself
    again, so the profile's environment is set beforehand."""
    emulator = ["qemu-x86_64", "-cpu", processor] if processor else []
    command = [*emulator, program("trainer"), *arguments]
    found = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True)
    assert found.returncode in (0, 1), f"{processor}: {found.stderr[-2000:]}"
    return found.stdout


def doctor(processor, environment, isa="portable", threads=2, recipes=()):
    paths = [f"recipes/{name}.yaml" for name in recipes]
    options = ["doctor", "--json", "--isa", isa, "--threads", str(threads), *paths]
    found = json.loads(run(processor, options, environment))
    diagnosis = found["diagnosis"]
    digests = {probe["name"]: probe["sha256"] for probe in diagnosis["operators"]}
    return diagnosis, digests | {f"recipe {recipe['name']}": recipe["fingerprint"] for recipe in found["recipes"]}


def chain(processor, environment, folder):
    """Hashes of the weights after each epoch of mnist-fast on few images."""
    recipe = (ROOT / "recipes/mnist-fast.yaml").read_text()
    recipe, splits = re.subn(r"(?m)^split: .*", "split: {validation: 200, train: 1024}", recipe)
    recipe, epochs = re.subn(r"(?m)^epochs: .*", "epochs: 1", recipe)
    assert (splits, epochs) == (1, 1)
    path = Path(folder) / f"{processor}.yaml"
    path.write_text(recipe)
    run(processor, ["train", str(path), "--run", str(Path(folder) / f"run-{processor}")], environment)
    rows = (Path(folder) / f"run-{processor}/history.csv").read_text().splitlines()[1:]
    return [row.rsplit(",", 1)[1] for row in rows]


def write():
    """Records what this machine computes."""
    text = HEAD + f"libtorch: {doctor(None, {})[0]['libtorch']}\n"
    for isa, threads in itertools.product(PROFILES, THREADS):
        _, digests = doctor(None, {}, isa, threads)
        text += f"{isa}:\n" if threads == THREADS[0] else ""
        text += f"  {threads}:\n" + "".join(f"    {name}: {sha256}\n" for name, sha256 in sorted(digests.items()))
    EXPECTED.write_text(text)
    print(f"{EXPECTED.relative_to(ROOT)}: build the trainer again")


def compare(here, there):
    return [name for name in there if here[name] != there[name]]


def check_portable(folder):
    """What differs under other processors."""
    names = sorted({name for names in PROCESSORS.values() for name in names})
    diagnosis, here = doctor(None, {}, recipes=names)
    environment = diagnosis["environment"]
    print(f"{len(here)} digests of two steps each, on {diagnosis['processor']['name']}", flush=True)
    failed = [] if diagnosis["same_bytes_everywhere"] else ["this machine does not give what is committed"]
    for processor, recipes in PROCESSORS.items():
        found, there = doctor(processor, environment, recipes=recipes)
        assert found["processor"]["emulated"], found["processor"]
        differing = compare(here, there)
        print(f"{processor:12}  {len(there) - len(differing)} of {len(there)} the same, {found['processor']['name']}", flush=True)
        failed += [f"{processor}: {name}" for name in differing]
    same = chain(None, environment, folder) == chain(NARROW, environment, folder)
    print(f"{NARROW:12}  an epoch of mnist-fast on 1024 images: {'the same' if same else 'differs'}", flush=True)
    return failed + ([] if same else [f"{NARROW}: epoch"])


def check_portable2():
    """Our own kernels ask only for the width of vectors, so that one processor without AVX-512 is enough."""
    diagnosis, here = doctor(None, {}, isa="portable2", recipes=["mnist-cnn"])
    failed = [] if diagnosis["same_bytes_everywhere"] else ["portable2: this machine does not give what is committed"]
    _, there = doctor(NARROW, diagnosis["environment"], isa="portable2", recipes=["mnist-cnn"])
    differing = compare(here, there)
    print(f"portable2: {len(here) - len(differing)} of {len(here)} the same on {NARROW}", flush=True)
    return failed + [f"portable2: {name}" for name in differing]


def check_control():
    """What must differ on some processor: else the emulation, or the comparison, is none."""
    control, trusting = doctor(None, {}, isa="avx2")
    for processor in PROCESSORS:
        _, other = doctor(processor, control["environment"], isa="avx2")
        differing = compare(trusting, other)
        print(f"control: with libtorch's and MKL's own arithmetic {len(differing)} of {len(trusting)} differ on {processor}")
        if differing:
            return []
    return ["the negative control did not differ"]


def main():
    assert shutil.which("qemu-x86_64"), "qemu-x86_64 is missing: apt-get install qemu-user"
    with tempfile.TemporaryDirectory() as folder:
        failed = check_portable(folder)
    failed += check_portable2() + check_control()
    assert not failed, "\n".join(failed)


write() if "--write" in sys.argv else main()
