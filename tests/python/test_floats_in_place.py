"""Floats that nothing else refers to are overwritten instead of being replaced."""

import subprocess
import sys
import sysconfig

import pytest

PROGRAM = """
import coluber

def step(a, b, n):
    for i in range(n):
        a[0] += 1.0
        b[0] += 1.0

def ids(n, **others):
    a, b = [0.5 * len(others) + 0.25], [0.125 + len(others)]
    before = id(a[0]), id(b[0])
    step(a, b, n)
    return before == (id(a[0]), id(b[0]))

plain = [ids(100) for _ in range(5)]
assert coluber.enable(hot="call:2", background=False)
for _ in range(5):
    ids(100)
assert coluber.is_compiled(step)
print(plain, [ids(100) for _ in range(5)])
"""


@pytest.mark.skipif(bool(sysconfig.get_config_var("Py_DEBUG")), reason="debug interpreters count allocations")
def test_floats_in_lists_are_overwritten() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == f"{[False] * 5} {[True] * 5}".split()
