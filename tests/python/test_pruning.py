"""What the interpreter never executed is left out of compiled code, and compiled once it was reached."""

import subprocess
import sys

PROGRAM = """
import time
import coluber
from coluber import _native

def f(n, odd):
    total = 0
    for i in range(n):
        if odd and i % 3 == 0:
            total += len(str(i)) + abs(-i)
        else:
            total += i
    return total

def facts():
    units = [unit for unit in _native.unit_facts(f) if unit["entry"] == "function"]
    reasons = {fact["reason"] for unit in units for fact in unit["exit_profile"]}
    return max((unit["version"] for unit in units), default=0), "NeverExecuted" in reasons

def run_until(odd, is_done):
    end = time.monotonic() + 20
    while time.monotonic() < end and not is_done(facts()):
        for _ in range(500):
            assert f(50, odd) == expected[odd]
    print(facts())

expected = [sum(range(50)), sum(len(str(i)) + i if i % 3 == 0 else i for i in range(50))]
coluber.enable()
run_until(False, lambda seen: seen[0] == 1)
run_until(True, lambda seen: seen[0] == VERSION)
"""


def run(version: int, *options: str) -> list[str]:
    command = [sys.executable, *options, "-c", PROGRAM.replace("VERSION", str(version))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_unexecuted_paths_leave_and_are_compiled_then() -> None:
    assert run(2) == ["(1, False)", "(2, True)"]


def test_everything_is_compiled_at_once_when_asked_for() -> None:
    assert run(1, "-X", "coluber-prune=0") == ["(1, False)", "(1, False)"]
