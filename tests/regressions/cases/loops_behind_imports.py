"""Loops of a module behind an import, which is not compiled where it may be lazy: they are loops all the same."""

NESTED = """
import sys
found = []
for first in (pairs, pairs):
    for left, right in (first, first, first, first):
        found.append((left, right))
"""


def case_nested_loops_behind_an_import():
    results = []
    for _ in range(4):
        names = {"pairs": (1, 2)}
        exec(compile(NESTED, "nested", "exec"), names)
        results.append(names["found"])
    return results
