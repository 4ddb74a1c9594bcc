"""Which calls hand their arguments over, seen in the IR."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
def fib(n):
    if n < 2:
        return n
    return fib(n - 1) + fib(n - 2)

def star(*things):
    # Functions with cells of their own are not inlined.
    return (lambda: things[-1])()

def calls_star(n):
    return star(n) + 1

def generator(n):
    yield n

def calls_generator(n):
    return generator(n)

def names(a, *, b=1):
    for _ in range(2):
        a += b
    return a

def calls_with_names(n):
    return names(n, b=n)

def calls_without_names(n):
    return names(n)

def calls_unknown(callee, n):
    return callee([n])

def calls_unknown_with_number(callee, n):
    return callee(n + 1)

def calls_unknown_with_local(callee, n):
    things = [n]
    return callee(things), things

for n in range(40):
    fib(5)
    calls_star(n), calls_generator(n), calls_with_names(n), calls_without_names(n)
    calls_unknown((len, bool)[n % 2], n), calls_unknown_with_local((len, bool)[n % 2], n)
    calls_unknown_with_number((hash, bool)[n % 2], n)
"""

EXPECTED = {
    "fib": "CallFunction",
    "calls_with_names": "CallFunction",
    "calls_star": "Call",
    "calls_generator": "Call",
    # The default is in a dict that nobody watches.
    "calls_without_names": "Call",
    "calls_unknown": "CallMoving",
    "calls_unknown_with_number": "Call",
    "calls_unknown_with_local": "Call",
}


@pytest.fixture(scope="module")
def dumps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("handover")
    program = folder / "program.py"
    program.write_text(PROGRAM)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
    environment |= {
        "COLUBER_DUMP": "ir",
        "COLUBER_DUMP_DIR": str(folder / "dumps"),
        "COLUBER_HOT": "call:20",
        "COLUBER_BACKGROUND": "0",
    }
    subprocess.run([sys.executable, "-m", "coluber", program], check=True, env=environment, timeout=120)
    return folder / "dumps"


@pytest.mark.parametrize("function", EXPECTED)
def test_call_hands_over_what_it_can(dumps: Path, function: str) -> None:
    (built,) = [path for path in dumps.glob(f"*.{function}__*.v1/00-built.ir")]
    ops = {word for line in built.read_text().splitlines() for word in line.split() if word.startswith("Call")}
    assert ops == {EXPECTED[function]}


WRITTEN = """
import sys
import coluber

assert coluber.enable(background=False, hot="call:2")

def set_x(value):
    sys._getframe(1).f_locals["x"] = value

def keep_first(first, x):
    set_x(7.5)
    return first

owners = [[i] for i in range(9)]

def keep_all():
    for owner in owners:
        keep_first(1, owner)

keep_all()
print({sys.getrefcount(owner) for owner in owners})
"""


def test_an_argument_that_is_written_through_its_frame_has_other_owners() -> None:
    """Its slot holds what the caller has put there, which compiled code has taken over."""
    done = subprocess.run([sys.executable, "-c", WRITTEN], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["{2}"]
