"""What the check-* scripts in Python share: a throw-away environment, and `infer serve` as a process."""
import json
import os
import subprocess
import sys
import tempfile
import venv
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run_in_environment(script, packages, check):
    """Calls `check` where `packages` are installed: the script runs itself again in an environment of its own."""
    if os.environ.get("CHECK_IN_ENVIRONMENT"):
        return check()
    with tempfile.TemporaryDirectory(prefix=f"{Path(script).name}-") as work:
        venv.create(work, with_pip=True)
        python = Path(work, "bin/python")
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        environment = {**os.environ, "CHECK_IN_ENVIRONMENT": "1"}
        subprocess.run([python, script, *sys.argv[1:]], check=True, env=environment)


def infer():
    """The binary in the folder that the script was given."""
    given = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("--") else ROOT / "target/debug"
    return Path(given) / "infer"


@contextmanager
def serving(*options):
    """The address of a server of the published models, which must end well."""
    command = [infer(), "serve", "--zoo", ROOT / "zoo", "--listen", "127.0.0.1:0", "--json", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        text = ""
        while "}" not in text:
            text += server.stdout.readline()
        yield json.loads(text)["url"]
    finally:
        server.terminate()
        assert server.wait(timeout=20) == 0
