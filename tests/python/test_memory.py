"""What Coluber keeps when there is nothing to compile."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, time, coluber

def library_kb():
    kb, own = 0, False
    for line in open("/proc/self/smaps"):
        if "-" in line.split()[0]:
            own = "_native" in line and "r-xp" in line
        elif own and line.startswith("Rss:"):
            kb += int(line.split()[1])
    return kb

def f(things):
    total = 0.5
    for thing in things:
        total += thing * 2
    return total

for _ in range(50):
    f([1, 2.5, 3])
deadline = time.monotonic() + 60
while coluber.stats()["units_compiled"] == 0 and time.monotonic() < deadline:
    f([1, 2.5, 3])
print(library_kb())
while library_kb() > 2000 and time.monotonic() < deadline:
    time.sleep(0.05)
print(library_kb(), coluber.is_compiled(f), f([1, 2.5, 3]))
"""


def test_gives_back_the_pages_of_the_compiler() -> None:
    environment = {**os.environ, "COLUBER": "1", "COLUBER_HOT": "call:5", "COLUBER_BACKGROUND": "1"}
    command = [sys.executable, "-c", f"import coluber; coluber.enable(); exec({PROGRAM!r})"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    while_compiling, rest = result.stdout.splitlines()
    assert int(while_compiling) > 2500
    kb, compiled, total = rest.split()
    assert int(kb) <= 2000
    assert (compiled, total) == ("True", "13.5")
