"""Programs that have functions compiled up to wanted versions, and the final IR of each."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PRELUDE = """
import time
import coluber
from coluber import _native

def version(function):
    return max((unit["version"] or 0 for unit in _native.unit_facts(function)), default=0)

def compile_to(function, wanted, *columns):
    # C calls it, so that it is compiled by itself.
    end = time.monotonic() + 30
    while version(function) < wanted and time.monotonic() < end:
        results = list(map(function, *(column * 100 for column in columns)))
    return results[:len(columns[0])]
"""


def run(program: str, directory: Path) -> None:
    """Runs a program behind the prelude, which must end well; the IR goes into the directory."""
    environment = os.environ | {"COLUBER_DUMP": "ir", "COLUBER_DUMP_DIR": str(directory), "COLUBER_VERIFY": "1"}
    command = [sys.executable, "-c", PRELUDE + program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


def irs(directory: Path, name: str) -> list[str]:
    """The final IR of each version of a function's unit."""
    units = sorted(path for path in directory.iterdir() if f".{name}_" in path.name)
    return [max(unit.glob("*insert_refcounts.ir")).read_text() for unit in units]
