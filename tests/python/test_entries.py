"""The unit of a running loop is entered again: what is set before it is read does not keep it out."""

import subprocess
import sys

PROGRAM = """
import time
import coluber
from coluber import _native

def f(values):
    total = 0
    for value in values:
        if value > 3:
            square = value * value
            total += square
        else:
            total += value
            other = str(total)
    return total

def g(values, extra):
    total = 0
    for value in values:
        total += value
        extra = extra + value
    return total, extra

def loops(function):
    return [unit for unit in _native.unit_facts(function) if unit["entry"].startswith("loop")]

def run_until(is_done, *calls):
    end = time.monotonic() + 20
    while time.monotonic() < end and not is_done():
        for _ in range(200):
            for call in calls:
                call()

coluber.enable()
values = [1, 2, 5, 3, 8] * 20
big = list(range(20000))
run_until(lambda: loops(f), lambda: f(big))
assert loops(f), "no loop was compiled"
for _ in range(3000):
    f([1, 5]), f([5, 5]), f([1, 1]), f(values)
print("dead", sum(fact["count"] for unit in loops(f) for fact in unit["exit_profile"] if fact["reason"] == "Entry"))

run_until(lambda: loops(g), lambda: g(big, 0))
expected = g(values, 0.5)
run_until(lambda: any(unit["version"] > 1 for unit in loops(g)), lambda: g(values, 0.5), lambda: g(values, 0))
last = loops(g)[-1]
print("live", last["version"] > 1, last["state"].startswith("installed"), expected == g(values, 0.5))
"""


def test_locals_that_are_dead_may_be_anything_and_others_once_they_were() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["dead 0", "live True True True"]
