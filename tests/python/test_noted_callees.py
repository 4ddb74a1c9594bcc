"""Functions that have a door when a call of theirs is first executed are known to the second version of the caller's unit."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
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

def work(x):
    return x + 1

def other(x):
    return x + 2

class Worker:
    def work(self, x):
        return x + 3

def by_name(call, x):
    return call(x)

def by_method(call, x):
    return call(x)

def by_many(call, x):
    return call(x)

def by_builtin(call, x):
    return call(x)

coluber.enable()
worker = Worker()
compile_to(work, 1, [1])
compile_to(other, 1, [1])
compile_to(Worker.work, 1, [worker], [1])
assert compile_to(by_name, 2, [work], [1]) == [2]
assert compile_to(by_method, 2, [worker.work], [1]) == [4]
assert compile_to(by_many, 2, [work, other, worker.work, abs], [1] * 4) == [2, 3, 4, 1]
assert compile_to(by_builtin, 2, [abs], [-1]) == [1]
# What was noted is guarded.
assert [by_name(other, 1), by_method(Worker().work, 1), by_method(work, 1)] == [3, 4, 2]
"""


def irs(directory: Path, name: str) -> list[str]:
    """The final IR of each version of a function's unit."""
    units = sorted(path for path in directory.iterdir() if f".{name}_" in path.name)
    return [max(unit.glob("*insert_refcounts.ir")).read_text() for unit in units]


def test_what_is_known_of_callees(tmp_path: Path) -> None:
    environment = os.environ | {"COLUBER_DUMP": "ir", "COLUBER_DUMP_DIR": str(tmp_path), "COLUBER_VERIFY": "1"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for name in ("by_name", "by_method"):
        first, second = irs(tmp_path, name)[:2]
        assert "ProfileCallee" in first and " Call " in first
        assert "ProfileCallee" not in second and " Call " not in second and "GuardIdentity" in second
    for name in ("by_many", "by_builtin"):
        first, second = irs(tmp_path, name)[:2]
        assert "ProfileCallee" in first
        assert "ProfileCallee" not in second and " Call " in second and "GuardIdentity" not in second
