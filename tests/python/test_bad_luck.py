"""Programs that meet bad luck run on correctly: refused memory, deep recursion, signals, forks, closed stderr."""

import os
import subprocess
import sys

import pytest

HOT = """
def hot(n):
    total = 0
    for i in range(n):
        total += i
    return total
for _ in range(30):
    result = hot(20_000)
"""

CASES = {
    "memory that may not become executable": (
        "import ctypes; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)\n" + HOT + "print(result)",
        "199990000\n",
    ),
    "closed stderr": ("import os; os.close(2)\n" + HOT + "print(result)", "199990000\n"),
    "recursion to the limit and far beyond the default": (
        """
import sys, threading
def down(n):
    return 0 if n == 0 else 1 + down(n - 1)
for _ in range(300):
    down(50)
try:
    down(10**6)
except RecursionError:
    print("RecursionError")
sys.setrecursionlimit(100_000)
print(down(90_000))
threading.stack_size(256 * 1024)
thread = threading.Thread(target=lambda: print(down(3_000)))
thread.start()
thread.join()
""",
        "RecursionError\n90000\n3000\n",
    ),
    "a signal in a loop without calls": (
        """
import signal
def stop(*_):
    raise KeyboardInterrupt
def loop():
    i = 0
    while True:
        i += 1
signal.signal(signal.SIGALRM, stop)
signal.setitimer(signal.ITIMER_REAL, 0.5)
try:
    loop()
except KeyboardInterrupt:
    print("interrupted")
""",
        "interrupted\n",
    ),
    "a fork with hot code": (
        HOT
        + """
import os, sys
child = os.fork()
if child == 0:
    for _ in range(30):
        result = hot(20_000)
    os._exit(0 if result == 199990000 else 1)
print(os.waitpid(child, 0)[1])
""",
        "0\n",
    ),
}


@pytest.mark.parametrize("hot", ["sample", "call:2"])
@pytest.mark.parametrize("name", CASES)
def test_runs_on(name, hot):
    program, expected = CASES[name]
    environment = {**os.environ, "COLUBER_HOT": hot}
    done = subprocess.run(
        [sys.executable, "-m", "coluber", "-c", program], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, expected), done.stderr[-2000:]


def test_unknown_option_names_the_known_ones():
    environment = {**os.environ, "COLUBER_SPEED": "11"}
    done = subprocess.run(
        [sys.executable, "-m", "coluber", "-c", "print(1)"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert "COLUBER_SPEED" in done.stderr and "COLUBER_STRATEGY" in done.stderr
