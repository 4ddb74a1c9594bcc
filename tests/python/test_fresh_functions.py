"""Functions that code makes anew each time are no callees to rely on: they die before the next call."""

import os
import subprocess
import sys

PROGRAM = """
import coluber

def largest(values):
    return max(value * 2 for value in values), min(value for value in values if value)

def applies(values):
    double = lambda value: value * 2
    return [double(value) for value in values]

for _ in range(300):
    assert largest([1, 2, 3]) == (6, 1)
    assert applies([1, 2]) == [2, 4]
stats = coluber.stats()
print(coluber.is_compiled(largest), coluber.is_compiled(applies), stats["invalidations"], stats["bailouts_total"])
"""


def test_units_outlive_the_functions_they_make() -> None:
    environment = {**os.environ, "COLUBER": "1", "COLUBER_HOT": "call:20", "COLUBER_BACKGROUND": "0"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "True", "0", "0"]
