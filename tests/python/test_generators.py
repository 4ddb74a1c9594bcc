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
# These store something, too.
def collect(values):
    return (
        list(x + (one := 1) for x in values), set(x + (one := 1) for x in values), tuple(x + (one := 1) for x in values),
        sum(x + (one := 1) for x in values), any(x == 9 * (one := 1) for x in values), all(x < 9 * (one := 1) for x in values),
        sorted(x + (one := 1) for x in values), ",".join("a" * (one := 1) for x in values),
    )

# These do not.
def try_out(values):
    return (
        list(x + 1 for x in values), set(x + 1 for x in values), tuple(x + 1 for x in values), sum(x + 1 for x in values),
        any(x == 9 for x in values), all(x < 9 for x in values), sorted(x + 1 for x in values), ",".join("a" for x in values),
    )

def entries_of_expressions(name):
    units = [unit for unit in coluber.stats()["units"] if name in unit["name"] and "genexpr" in unit["name"]]
    return sorted(unit["entries"] for unit in units)

values = list(range(8))
expected = (
    [1, 2, 3, 4, 5, 6, 7, 8], {1, 2, 3, 4, 5, 6, 7, 8}, (1, 2, 3, 4, 5, 6, 7, 8), 36, False, True,
    [1, 2, 3, 4, 5, 6, 7, 8], "a,a,a,a,a,a,a,a",
)
for _ in range(20):
    assert collect(values) == expected
    assert try_out(values) == expected
for name, function in [("collect", collect), ("try_out", try_out)]:
    before = entries_of_expressions(name)
    assert len(before) == 8, before
    function(values)
    print("entries of expressions:", [after - earlier for after, earlier in zip(entries_of_expressions(name), before)])
real_sum, real_set = sum, set
sum, set = list, sorted
for function in collect, try_out:
    assert function(values) == (*expected[:1], [*expected[0]], expected[2], expected[0], *expected[4:])
sum, set = real_sum, real_set
for function in collect, try_out:
    assert function(values) == expected
print("delegating:", coluber.explain(delegating).split("refused: ")[-1].split(" at ")[0])
"""


def test_who_is_resumed_in_compiled_code() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "resumed by a compiled loop: 51",
        "resumed by C: 51",
        "entries of expressions: [1, 1, 1, 1, 1, 1, 1, 1]",
        "entries of expressions: [0, 0, 0, 0, 0, 0, 0, 0]",
        "delegating: yield from",
    ]


SUMS = """
import coluber

SOURCE = "def add(items, factor): return sum(x * factor for x in items)"
# Of one of these the interpreter has seen ints only.
exec(SOURCE)
seen_all = add
exec(SOURCE)

floats = [0.1] * 10 + [1e100, 1.0, -1e100]
rows = [
    [1, 2, 3, *floats], [-(2**61), 2**62, *floats], [2**61, 2**61, -(2**62), *floats], [2**62 - 1, 1, -5, *floats],
    [-(2**61), 2**62, *[0.1] * 10, -(2**61)],
]
plain = [seen_all(row, 2) for row in rows]
assert coluber.enable(hot="call:20", background=False)
for _ in range(30):
    add([1, 2, 3] * 30, 2)
assert coluber.is_compiled(add)
assert [add(row, 2) for row in rows] == plain, [add(row, 2) for row in rows]
"""


def test_sums_that_fit_no_word_are_added_as_plain_python_does() -> None:
    done = subprocess.run([sys.executable, "-c", SUMS], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
