"""Programs that meet bad luck run on correctly, and one line says what they have to do without.

Each case is a program that switches Coluber on itself, after or before the bad luck, and prints what it has to print. It
runs under sampling and with everything compiled at its second call; what stands on stderr is compared, and with
COLUBER_LOG=off there is nothing.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import coluber
import pytest

PACKAGE = Path(coluber.__file__).parent.parent

ON = """
import coluber
coluber.enable()
"""
HOT = """
import time
def hot(n):
    total = 0
    for i in range(n):
        total += i
    return total
end = time.monotonic() + 0.15
while time.monotonic() < end:
    result = hot(20_000)
"""
PRINT = "\nprint(result)\n"
RESULT = "199990000\n"

#: Machine code in executable memory, for hooks that want a C function.
MACHINE_CODE = """
import ctypes, mmap, platform, struct
def function(code):
    memory = mmap.mmap(-1, 4096, prot=7)
    memory.write(code)
    kept.append(memory)
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))
kept = []
"""


#: As `MemoryDenyWriteExecute` of a systemd unit does: a seccomp filter that refuses `mmap` with PROT_EXEC.
REFUSE_EXECUTABLE = """
import ctypes, struct
def instruction(code, yes, no, value):
    return struct.pack("<HBBI", code, yes, no, value)
ALLOW, REFUSE = 0x7fff0000, 0x00050000 | 1
program = b"".join([
    instruction(0x20, 0, 0, 0),         # load the number of the system call
    instruction(0x15, 0, 3, 9),         # mmap?
    instruction(0x20, 0, 0, 32),        # load its third argument
    instruction(0x45, 0, 1, 4),         # PROT_EXEC?
    instruction(0x06, 0, 0, REFUSE),
    instruction(0x06, 0, 0, ALLOW),
])
libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(program)
header = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(buffer))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, header, 0, 0) == 0, ctypes.get_errno()
"""
COMPILED = "print(coluber.stats()['units_compiled'] > 0)\n"


@dataclass(frozen=True)
class Case:
    program: str
    output: str = RESULT
    #: What the line says (a regular expression), under sampling and else; empty: nothing is said.
    notice: str = ""
    other_notice: str | None = None
    flags: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    def notice_when(self, hot: str) -> str:
        return self.notice if hot == "sample" or self.other_notice is None else self.other_notice


EVALUATOR = (
    MACHINE_CODE
    + """
api = ctypes.pythonapi
api.PyInterpreterState_Get.restype = ctypes.c_void_p
def set_evaluator(address):
    api._PyInterpreterState_SetEvalFrameFunc(ctypes.c_void_p(api.PyInterpreterState_Get()), ctypes.c_void_p(address))
default = ctypes.cast(api._PyEval_EvalFrameDefault, ctypes.c_void_p).value
# mov rax, default; jmp rax
forwarding = function(b"\\x48\\xb8" + struct.pack("<Q", default) + b"\\xff\\xe0")
"""
)


def all_taken(sort: str, ids: int = 8) -> str:
    return f"""
import ctypes
add = ctypes.pythonapi.Py{sort}_AddWatcher
# Whatever it is called with, it returns 0.
nothing = ctypes.cast(ctypes.pythonapi.PyErr_CheckSignals, ctypes.c_void_p)
add.argtypes = [ctypes.c_void_p]
try:
    for _ in range({ids}):
        add(nothing)
except RuntimeError:
    pass
"""


CASES = {
    # Writable memory never becomes executable here, so nothing has to be done without.
    "memory that may not become executable": Case(
        "import ctypes; ctypes.CDLL(None).prctl(65, 1, 0, 0, 0)" + ON + HOT + PRINT + COMPILED,
        output=RESULT + "True\n",
    ),
    "executable memory refused": Case(
        "import coluber; coluber.options()" + REFUSE_EXECUTABLE + ON + HOT + PRINT,
        notice="no room for more code.* executable memory is refused",
    ),
    "executable memory refused later": Case(
        ON + REFUSE_EXECUTABLE + HOT + PRINT, notice="no room for more code.* executable memory is refused|$"
    ),
    "closed stderr": Case("import os; os.close(2)" + ON + HOT + PRINT),
    "a compiler that panics": Case(
        ON + HOT + PRINT, notice="a bug in Coluber.*COLUBER_FAULT", environment={"COLUBER_FAULT": "panic"}
    ),
    "a compiler without memory": Case(
        ON + HOT + PRINT, notice="memory is short", environment={"COLUBER_FAULT": "memory:100"}
    ),
    "no memory for anything": Case(
        ON
        + """
import resource, time
# A thread that has just been made takes its first memory itself.
time.sleep(0.3)
try:
    resource.setrlimit(resource.RLIMIT_AS, (32 << 20, resource.RLIM_INFINITY))
"""
        + "".join("    " + line + "\n" for line in HOT.splitlines())
        + """
finally:
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""
        + PRINT,
        notice="executable memory is refused|memory is short|no room for more code|$",
    ),
    "little code memory": Case(
        ON
        + """
import time
SOURCE = '''
def f{0}(n):
    total = 0
    for i in range(n):
        total += i * {0} + (i % 7)
    return total
'''
world = {}
for number in range(60):
    exec(SOURCE.format(number), world)
sums = 0
for _ in range(3):
    for number in range(60):
        for _ in range(3):
            sums += world[f"f{number}"](100)
print(sums)
""",
        output=f"{9 * sum(sum(i * n + i % 7 for i in range(100)) for n in range(60))}\n",
        notice="no room for more code|$",
        environment={"COLUBER_MAX_CODE": "64K"},
    ),
    "no code memory at all": Case(
        ON + HOT + PRINT, notice="no room for more code", environment={"COLUBER_MAX_CODE": "1K"}
    ),
    "another optimizer": Case(
        "import sys; sys.monitoring.use_tool_id(5, 'racer')" + ON + HOT + PRINT,
        notice="running loops are not entered: .*in use by racer",
        other_notice="off: calls cannot be counted: .*in use by racer",
    ),
    "all dict watchers taken": Case(all_taken("Dict") + ON + HOT + PRINT, notice="off: all dict watcher ids"),
    "all type watchers taken": Case(all_taken("Type") + ON + HOT + PRINT, notice="off: all type watcher ids"),
    "all function watchers taken": Case(
        all_taken("Function") + ON + HOT + PRINT, notice="off: all function watcher ids"
    ),
    "all code watchers taken": Case(all_taken("Code") + ON + HOT + PRINT, notice="off: all code watcher ids"),
    "a frame evaluator": Case(
        EVALUATOR + "set_evaluator(forwarding)\n" + ON + HOT + PRINT, notice="a frame evaluator is installed"
    ),
    "a frame evaluator that comes and goes": Case(
        ON
        + HOT
        + EVALUATOR
        + """
def run(n):
    for _ in range(n):
        result = hot(20_000)
    return result
run(3)
set_evaluator(forwarding)
run(100)
set_evaluator(default)
result = run(3)
"""
        + PRINT,
        notice="a frame evaluator is installed",
    ),
    "isolated": Case(
        f"import sys; sys.path.insert(0, {str(PACKAGE)!r})" + ON + HOT + PRINT,
        flags=("-I",),
    ),
    "without site": Case(f"import sys; sys.path.insert(0, {str(PACKAGE)!r})" + ON + HOT + PRINT, flags=("-S",)),
    "without environment": Case(f"import sys; sys.path.insert(0, {str(PACKAGE)!r})" + ON + HOT + PRINT, flags=("-E",)),
    "switched on by a variable that is ignored": Case(HOT + PRINT, flags=("-I",), environment={"COLUBER": "1"}),
    "no home": Case(ON + HOT + PRINT, environment={"HOME": ""}),
    "recursion to the limit and far beyond the default": Case(
        ON
        + """
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
    "a signal in a loop without calls": Case(
        ON
        + """
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
    "a fork with hot code": Case(
        ON
        + HOT
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


def run(program: str, flags: tuple[str, ...] = (), **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
    kept |= {"COLUBER_BACKGROUND": "0", **environment}
    if not kept.get("HOME"):
        kept.pop("HOME", None)
    command = [sys.executable, *flags, "-c", program]
    return subprocess.run(command, env=kept, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("hot", ["sample", "call:2"])
@pytest.mark.parametrize("name", CASES)
def test_runs_on(name: str, hot: str) -> None:
    case = CASES[name]
    done = run(case.program, case.flags, COLUBER_HOT=hot, **case.environment)
    assert (done.returncode, done.stdout) == (0, case.output), done.stderr[-2000:]
    said = done.stderr.splitlines()
    notice = case.notice_when(hot)
    if notice and not (notice.endswith("|$") and not said):
        assert len(said) == 1 and re.match(f"coluber: .*({notice})", said[0]), done.stderr
    elif not notice:
        assert said == []


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.notice])
def test_says_nothing_when_told_so(name: str) -> None:
    case = CASES[name]
    done = run(case.program, case.flags, COLUBER_HOT="call:2", COLUBER_LOG="off", **case.environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, case.output, "")


def test_unknown_option_names_the_known_ones() -> None:
    done = run(ON + "print(1)", COLUBER_SPEED="11")
    assert done.stdout == "1\n"
    assert "COLUBER_SPEED" in done.stderr and "COLUBER_STRATEGY" in done.stderr


EXHAUSTED_COMPILER = """
import coluber, sys
coluber.enable(hot="call:2", background=False)
class Point:
    def __init__(self, x, y):
        self.x, self.y = x, y
    def moved(self, by):
        return Point(self.x + by, self.y * 1.5)
def walk(n):
    point = Point(0, 1.0)
    seen = []
    for i in range(n):
        point = point.moved(i)
        seen.append(point.x % 7)
    return point.x, sum(seen)
print([walk(20) for _ in range(5)])
"""


def test_the_compiler_may_run_out_at_any_allocation() -> None:
    expected = run(EXHAUSTED_COMPILER, COLUBER="0").stdout
    said = set()
    for number in [*range(1, 30), *range(30, 2000, 151)]:
        done = run(EXHAUSTED_COMPILER, COLUBER_FAULT=f"memory:{number}")
        assert (done.returncode, done.stdout) == (0, expected), f"allocation {number}:\n{done.stderr}"
        said.add(done.stderr)
    assert all(line.startswith("coluber: memory is short") for line in said)


EXHAUSTED_RUNTIME = """
import coluber, gc, sys
import _testcapi
coluber.enable(hot="call:2", background=False)

def numbers(n, x):
    kept = []
    for i in range(n):
        kept.append(x * i)
        kept.append(i * 1000003 << 7)
    return kept

def swallowed(n, x):
    kept, errors = [], 0
    for i in range(n):
        try:
            kept.append(x * i)
        except MemoryError:
            errors += 1
    return kept[-1:], errors > 0

def inlined(n, x):
    def twice(y):
        return y * 2.0
    total = 0.0
    for i in range(n):
        total += twice(x + i)
    return [total]

def alone(n, x):
    return x * n

def outer(function, n, x):
    return function(n, x)

functions = [numbers, swallowed, inlined, alone]
for function in functions:
    for _ in range(4):
        outer(function, 150, 2.5)
    expected = function(150, 2.5)
    failed = 0
    for start in list(range(1, 60)) + list(range(60, 400, 17)):
        hoard = [float(i) + 0.5 for i in range(150)], [i + 10**6 for i in range(150)]
        for how_long in (1, 3, 0):
            result = None
            try:
                _testcapi.set_nomemory(start, start + how_long if how_long else 0)
                result = outer(function, 150, 2.5)
            except MemoryError:
                failed += 1
            finally:
                _testcapi.remove_mem_hooks()
            if result is None or result == expected or function is swallowed:
                continue
            raise SystemExit(f"{function.__name__} at {start}: {result!r:.200}")
        del hoard
    print(function.__name__, "failed" if failed else "never failed", coluber.is_compiled(function))
    # And all is well again.
    assert function(150, 2.5) == expected
print("done")
"""


def test_the_program_may_run_out_at_any_allocation() -> None:
    pytest.importorskip("_testcapi")
    done = run(EXHAUSTED_RUNTIME)
    assert done.returncode == 0, done.stderr[-2000:]
    lines = done.stdout.splitlines()
    assert lines[-1] == "done" and lines[0] == "numbers failed True", done.stdout
    assert all(line.endswith("True") for line in lines[:-1]), done.stdout
