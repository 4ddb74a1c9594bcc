"""Which generators are compiled, and who resumes them in compiled code."""

import subprocess
import sys

PROGRAM = """
import coluber
from coluber import _native

assert coluber.enable(hot="call:3", background=False)

def count(n):
    i = 0
    while i < n:
        yield i
        i += 1

def delegating(n):
    yield from count(n)

def consume(n):
    total = 0
    for x in count(n):
        total += x
    return total

for _ in range(20):
    assert consume(9) == 36
    assert sum(count(9)) == 36
    assert list(delegating(5)) == [0, 1, 2, 3, 4]
    assert sum(x * 2 for x in (1, 2, 3)) == 12

def entries(function):
    return sum(unit["entries"] for unit in _native.unit_facts(function))

before = entries(count)
consume(50)
print("resumed by a compiled loop:", entries(count) - before)
before = entries(count)
sum(count(50))
print("resumed by C:", entries(count) - before)
print("delegating:", coluber.explain(delegating).split("refused: ")[-1].split(" at ")[0])
"""


def test_who_is_resumed_in_compiled_code() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "resumed by a compiled loop: 51",
        "resumed by C: 51",
        "delegating: yield from",
    ]
