"""Functions that have a door when a call of theirs is first executed are known to the second version of the caller's unit."""

from pathlib import Path

from unit_versions import irs, run

PROGRAM = """
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


def test_what_is_known_of_callees(tmp_path: Path) -> None:
    run(PROGRAM, tmp_path)
    for name in ("by_name", "by_method"):
        first, second = irs(tmp_path, name)[:2]
        assert "ProfileCallee" in first and " Call " in first
        assert "ProfileCallee" not in second and " Call " not in second and "GuardIdentity" in second
    for name in ("by_many", "by_builtin"):
        first, second = irs(tmp_path, name)[:2]
        assert "ProfileCallee" in first
        assert "ProfileCallee" not in second and " Call " in second and "GuardIdentity" not in second
