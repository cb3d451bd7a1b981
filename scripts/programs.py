"""What the check_* scripts in Python share: the programs of this workspace, and `zoo serve` as a process."""

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def program(name):
    """The binary in the folder that the script was given, else in target/debug."""
    given = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("--") else ROOT / "target/debug"
    return Path(given) / name


@contextmanager
def serving(*options):
    """The address of a server of the published models, which must end well."""
    command = [program("zoo"), "serve", "--zoo", ROOT / "zoo", "--listen", "127.0.0.1:0", "--json", *options]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        text = ""
        while "}" not in text:
            text += server.stdout.readline()
        yield json.loads(text)["url"]
    finally:
        server.terminate()
        assert server.wait(timeout=20) == 0
