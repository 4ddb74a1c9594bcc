"""Functions, modules and classes that nobody knows any more die, also when they were compiled; memory reaches a plateau."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import gc, os, weakref
import coluber

def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def plateau(steps, step, max_growth):
    start = None
    for number in range(steps):
        step(number)
        if number == steps // 2:
            gc.collect()
            start = resident_bytes()
    gc.collect()
    growth = resident_bytes() - start
    assert growth <= max_growth, f"{growth / 1e6:.1f} MB more than at half-time"
"""

PROGRAMS = {
    "modules executed": """
assert coluber.enable(hot="call:2", background=False)
SOURCE = '''
K = 3
def helper(x): return x + K
def f(a, n=10):
    t = 0
    for i in range(n):
        t += helper(i) * a
    return t
for _ in range(20): f(2)
'''
code = compile(SOURCE, "module.py", "exec")
functions = []
def step(number):
    namespace = {"__name__": f"module{number}"}
    exec(SOURCE if number % 2 else code, namespace)
    functions.append(weakref.ref(namespace["f"]))
plateau(500, step, 8 << 20)
alive = sum(function() is not None for function in functions)
assert alive <= 5, alive
""",
    "functions made and called once": """
assert coluber.enable(hot="call:20", background=False)
def step(number):
    namespace = {}
    exec(f"def f(x): return x * {number} + len(str(x))", namespace)
    f = namespace["f"]
    for _ in range(30 if number % 100 == 0 else 1):
        assert f(7) == 7 * number + 1
plateau(100_000, step, 12 << 20)
assert coluber.stats()["units_compiled"] >= 900, coluber.stats()
""",
    "closures": """
assert coluber.enable(hot="call:5", background=False)
def make(k):
    def inner(x):
        return x + k
    return inner
def step(number):
    inner = make(number)
    total = sum(inner(i) for i in range(10))
    assert total == 45 + 10 * number
plateau(20_000, step, 8 << 20)
""",
    "classes churned": """
assert coluber.enable(hot="call:3", background=False)
seen = []
def use(thing):
    return thing.get() + thing.x
def step(number):
    class Thing:
        def __init__(self):
            self.x = number
        def get(self):
            return self.x * 2
    for _ in range(4):
        assert use(Thing()) == 3 * number
    seen.append(weakref.ref(Thing))
plateau(2_000, step, 16 << 20)
alive = sum(each() is not None for each in seen)
assert alive <= 20, alive
""",
    "a class that changes all the time": """
assert coluber.enable(hot="call:3", background=False)
class Thing:
    factor = 1
    def get(self):
        return self.factor
thing = Thing()
def use():
    return thing.get()
def step(number):
    Thing.factor = number
    assert use() == number and use() == number
plateau(20_000, step, 8 << 20)
""",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_memory_reaches_a_plateau(name: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("COLUBER")}
    command = [sys.executable, "-X", "faulthandler", "-c", PRELUDE + PROGRAMS[name]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr[-2000:]
