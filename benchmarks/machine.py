"""The machine that measures, and processes on it."""
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(command, **options):
    """Standard output and seconds of a process."""
    started = time.perf_counter()
    found = subprocess.run([str(c) for c in command], stdout=subprocess.PIPE, text=True, check=False, **options)
    if found.returncode != 0:
        sys.exit(f"error: {' '.join(map(str, command))} failed with {found.returncode}")
    return found.stdout, time.perf_counter() - started


def speed(infer, model, batch, threads, seconds=1.0):
    """What `infer bench` measures of a model."""
    command = [infer, "bench", model, "--zoo", ROOT / "zoo", "--json", "--seconds", seconds]
    output, _ = run([*command, "--batch", batch, "--threads", threads])
    return json.loads(output)[0]["speed"]


def machine():
    """Processor, cores and widest vectors."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = "AVX-512" if "avx512f" in flags else "AVX2" if "avx2" in flags else "no AVX2"
    return f"{model}, {os.cpu_count()} cores, {widest}"
