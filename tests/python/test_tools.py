"""Tools give the same answer about a program with a hot loop, whether it is compiled or not.

Each case is a program that is run without Coluber and with every unit compiled at its second call; what it prints must be the
same. A program says with ``compiled(f)`` where ``f`` must be in use as compiled code: after a tool was switched off its
code comes back.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

PRELUDE = """
import sys
import coluber
ON = coluber.enable(hot="call:2", background=False, verify=True)

def compiled(function):
    if ON and not coluber.is_compiled(function):
        sys.exit("not compiled: " + coluber.explain(function))

def nothing():
    pass

def hot(n, at=-1, action=nothing):
    total = 0
    for i in range(n):
        total += step(i)
        if i == at:
            action()
    return total

def step(i):
    return i % 7 + helper(i)

def helper(i):
    return i & 3

def warm():
    for _ in range(6):
        hot(40)
        hot(40, 20)
        step(1)
        helper(1)
    compiled(hot)

def name(frame):
    return frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno
warm()
"""


def run(program: str, mode: str, stdin: str = "") -> str:
    """Standard output and error of a program in a file called `program.py`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
    environment |= {"PYTHON_COLORS": "0", "NO_COLOR": "1", "PYTHONHASHSEED": "0"}
    environment |= {"COLUBER": "0"} if mode == "plain" else {}
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "program.py").write_text(PRELUDE + program)
        command = [sys.executable, "-X", "faulthandler", "program.py"]
        done = subprocess.run(
            command, env=environment, input=stdin, capture_output=True, text=True, timeout=120, cwd=folder
        )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    return (done.stdout + done.stderr).replace(folder + "/", "")


def same(*parts: str, **more: str) -> str:
    program = "\n".join(textwrap.dedent(part) for part in parts)
    plain, compiled = run(program, "plain", **more), run(program, "compiled", **more)
    assert compiled == plain
    assert plain
    return plain


TRACERS = """
events = []
def tracer(frame, event, argument):
    events.append((event, *name(frame), argument if isinstance(argument, int) else None))
    return tracer
"""


def test_settrace_in_mid_loop() -> None:
    output = same(
        TRACERS,
        """
        def on():
            sys.settrace(tracer)
            sys._getframe(1).f_trace = tracer
        def off():
            sys.settrace(None)
            sys._getframe(1).f_trace = None
        print(hot(40, 33, on))
        print(hot(40, 5, off))
        warm()
        print(hot(40, 33, on))
        off()
        warm()
        print(*events, sep="\\n")
        """
    )
    assert output.count("'line'") > 30


def test_setprofile_in_mid_loop() -> None:
    output = same(
        TRACERS,
        """
        print(hot(40, 33, lambda: sys.setprofile(tracer)))
        print(hot(40, 5, lambda: sys.setprofile(None)))
        warm()
        print(*events, sep="\\n")
        """
    )
    assert output.count("'call'") > 20


MONITORING = """
mon = sys.monitoring
tool, EVENTS = mon.DEBUGGER_ID, mon.events
events = []
def listen(event):
    def callback(code, *rest):
        line = rest[0] if event == "LINE" else None
        events.append((event, code.co_name, line and line - code.co_firstlineno, len(rest)))
        return result
    mon.register_callback(tool, getattr(EVENTS, event), callback)
result = None
mon.use_tool_id(tool, "test")
for event in ("LINE", "PY_START", "PY_RETURN", "CALL", "C_RETURN", "JUMP", "BRANCH_LEFT", "BRANCH_RIGHT"):
    listen(event)
every = EVENTS.LINE | EVENTS.PY_START | EVENTS.PY_RETURN | EVENTS.CALL | EVENTS.JUMP | EVENTS.BRANCH_LEFT | EVENTS.BRANCH_RIGHT
"""


def test_global_monitoring_in_mid_loop() -> None:
    output = same(
        MONITORING,
        """
        print(hot(40, 34, lambda: mon.set_events(tool, every)))
        print(hot(40, 5, lambda: mon.set_events(tool, 0)))
        warm()
        result = mon.DISABLE
        print(hot(40, 34, lambda: mon.set_events(tool, EVENTS.LINE)))
        mon.restart_events()
        print(hot(40))
        mon.set_events(tool, 0)
        warm()
        print(*events, sep="\\n")
        """
    )
    assert output.count("'LINE'") > 50


@pytest.mark.parametrize("function", ["hot", "step", "helper"])
def test_local_monitoring_in_mid_loop(function: str) -> None:
    output = same(
        MONITORING,
        f"""
        def listen(what):
            mon.set_local_events(tool, {function}.__code__, what)
        def other():
            return sum(range(10))
        print(hot(40, 34, lambda: listen(every)))
        print(hot(40, 5, lambda: listen(0)))
        print(other(), other(), other())
        compiled(other)
        warm()
        print(hot(40, 30, lambda: listen(EVENTS.PY_RETURN)), hot(5))
        listen(0)
        warm()
        print(*events, sep="\\n")
        """
    )
    assert output.count("('") > 15


def test_other_code_stays_compiled_while_one_is_listened_to() -> None:
    same(
        MONITORING,
        """
        def other(n):
            total = 0
            for i in range(n):
                total += i
            return total
        print([other(20) for _ in range(5)])
        mon.set_local_events(tool, helper.__code__, EVENTS.PY_START)
        compiled(other)
        print(hot(10), len(events))
        mon.set_local_events(tool, helper.__code__, 0)
        """
    )


def test_pdb_breakpoint_in_the_running_loop() -> None:
    program = """
    import pdb
    debugger = pdb.Pdb(nosigint=True)
    def stop():
        debugger.set_trace(sys._getframe(1))
    print(hot(40, 30, stop))
    print(hot(40, 30))
    warm()
    """
    commands = "p i, total\nu\nd\nn\nn\nb step, i == 35\nc\np i\nu\np i, total\nd\ncl 1\nc\n"
    with_pdb = same(program, stdin=commands)
    assert "(30, " in with_pdb and "Breakpoint 1" in with_pdb and "35" in with_pdb


def test_breakpoint_in_the_running_loop() -> None:
    output = same("print(hot(40, 30, breakpoint))", stdin="p i, total\nn\nn\np i\ntbreak helper\nc\np i\nc\n")
    assert "(30, " in output


def test_cprofile_counts() -> None:
    output = same(
        """
        import cProfile
        def counts(profile):
            profile.create_stats()
            names = {}
            for (file, line, function), (primitive, total, *_) in profile.stats.items():
                names[function] = names.get(function, 0) + total
            return sorted(item for item in names.items() if "lambda" not in item[0])
        profile = cProfile.Profile()
        profile.enable()
        print(hot(100), len([step(i) for i in range(30)]), max(1, 2))
        profile.disable()
        print(counts(profile))
        warm()
        profile = cProfile.Profile()
        print(hot(50, 20, profile.enable))
        profile.disable()
        print(counts(profile))
        warm()
        """
    )
    assert "('step', 130)" in output


def test_frames_as_tools_see_them() -> None:
    same(
        """
        import faulthandler, inspect, tempfile, threading, traceback
        def look():
            with tempfile.TemporaryFile("w+") as file:
                faulthandler.dump_traceback(file, all_threads=False)
                file.seek(0)
                print(file.read())
            traceback.print_stack(file=sys.stdout)
            for info in inspect.stack():
                print(info.function, info.lineno, info.code_context, info.positions)
            frame = sys._current_frames()[threading.get_ident()]
            while frame:
                print(name(frame), frame.f_lasti, sorted(frame.f_locals))
                frame = frame.f_back
        print(hot(40, 30, look))
        def locals_written():
            frame = sys._getframe(1)
            print(frame.f_locals["i"], frame.f_locals["total"])
            frame.f_locals["total"] = 1000
        print(hot(40, 30, locals_written))
        warm()
        """
    )


def test_current_frames_of_a_running_thread() -> None:
    output = same(
        """
        import threading, time
        stop = False
        def spin():
            count = 0
            while not stop:
                count += step(count)
            return count
        def outer():
            return spin()
        for _ in range(4):
            stop = True
            outer()
        stop = False
        thread = threading.Thread(target=outer)
        thread.start()
        time.sleep(0.05)
        seen = set()
        for _ in range(300):
            frame = sys._current_frames()[thread.ident]
            stack = []
            while frame:
                stack.append(frame.f_code.co_name)
                frame = frame.f_back
            stack.reverse()
            seen.add(tuple(stack[: stack.index('spin') + 1]))
            time.sleep(0.0001)
        stop = True
        thread.join()
        print(seen)
        """
    )
    assert "'outer', 'spin'" in output


def test_faulthandler_of_a_running_loop() -> None:
    program = """
    import faulthandler
    # The watchdog thread does not wait for the GIL, so it may find a frame that is just being made.
    faulthandler.dump_traceback_later(0.03, repeat=True)
    import time
    def busy(until):
        total = 0
        while time.monotonic() < until:
            total += step(total)
    busy(time.monotonic() + 0.6)
    faulthandler.cancel_dump_traceback_later()
    """
    for mode in ("plain", "compiled"):
        output = run(textwrap.dedent(program), mode)
        assert re.search(r'line \d+ in busy\n  File "program.py", line \d+ in <module>', output), output


def test_remote_exec_reaches_a_running_loop(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import __main__\n__main__.stop = True\nprint('here')\n")
    output = same(
        f"""
        import os
        stop = False
        def spin(limit):
            count = 0
            while not stop and count < limit:
                count += 1
            return count < limit
        for _ in range(4):
            spin(100)
        try:
            sys.remote_exec(os.getpid(), {str(script)!r})
        except (PermissionError, RuntimeError, OSError):
            print("not permitted")
        else:
            print(spin(10**9))
        """
    )
    if "not permitted" in output:
        pytest.skip("this process must not be debugged")
    assert "here" in output


def test_tracemalloc() -> None:
    output = same(
        """
        import tracemalloc
        kept = []
        def allocate(n, at=-1):
            for i in range(n):
                if i == at:
                    tracemalloc.start(3)
                kept.append([i, i])
                kept.append({i: i})
        for _ in range(5):
            allocate(20)
        compiled(allocate)
        kept.clear()
        allocate(300, 100)
        snapshot = tracemalloc.take_snapshot()
        tracemalloc.stop()
        first = allocate.__code__.co_firstlineno
        found = {s.traceback[0].lineno - first: s.count for s in snapshot.statistics("lineno") if s.traceback[0].filename.endswith("program.py")}
        print(found.get(4, 0) >= 200, found.get(5, 0) >= 200)
        print(tracemalloc.get_object_traceback(kept[-1]))
        """
    )
    assert output.startswith("True True")


#: Objects that die in a loop and at its end; `SEEN` is what their finalizer prints.
DYING = """
    import gc, weakref
    class Thing:
        def __init__(self, number):
            self.number = number
        def __del__(self):
            print("del", SEEN)
    def make(n):
        last = None
        for i in range(n):
            thing = Thing(i)
            reference = weakref.ref(thing, lambda _, i=i: print("callback", i))
            last = thing if i % 3 == 0 else last
            holder = [thing]
            # Whoever holds it; what a compiled frame holds is nobody's object.
            referrers = sorted(type(r).__name__ for r in gc.get_referrers(thing))
            print(referrers, sys.getrefcount(thing))
            del holder, thing
        print("end")
        return reference
    for _ in range(4):
        make(5)
"""


def test_weak_references_finalizers_and_referrers() -> None:
    same(DYING.replace("SEEN", "self.number"))


def test_frame_that_finalizers_of_locals_see() -> None:
    same(DYING.replace("SEEN", "self.number, sys._getframe(1).f_code.co_name"))


@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_profiling_sampling(tmp_path: Path) -> None:
    program = PRELUDE + "import time\nend = time.monotonic() + 2\nwhile time.monotonic() < end:\n    hot(2000)\n"
    file = tmp_path / "program.py"
    file.write_text(program)
    command = [sys.executable, "-m", "profiling.sampling", "run", "--collapsed", "-o", str(tmp_path / "out"), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = [path for path in tmp_path.rglob("*") if path.is_file() and path != file]
    if done.returncode or not found:
        pytest.skip(f"the profiler does not run here: {done.stderr[-300:]}")
    assert any("hot" in path.read_text() for path in found)


COVERED = """
import sys

def branches(n):
    total = 0
    for i in range(n):
        if i % 3 == 0:
            total += 1
        elif i == 10_000:
            total += 2
        else:
            total += helper(i)
        while total > 50:
            total -= 7
    return total

def helper(i):
    try:
        return 10 // (i % 5)
    except ZeroDivisionError:
        return -1
    finally:
        i += 1

class Point:
    def __init__(self, x):
        self.x = x

    @property
    def double(self):
        if self.x < 0:
            return None
        return self.x * 2

def never():
    return 1

for _ in range(30):
    branches(60)
print(sum(Point(i).double for i in range(200)))
"""


@pytest.mark.parametrize("core", ["ctrace", "sysmon"])
def test_coverage(core: str, tmp_path: Path) -> None:
    pytest.importorskip("coverage")
    (tmp_path / "program.py").write_text(COVERED)
    reports = []
    for mode in ("plain", "compiled"):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
        environment |= {"COVERAGE_CORE": core, "COVERAGE_FILE": str(tmp_path / f".coverage-{mode}")}
        more = ["-m", "coluber", "--hot", "call:2", "--background", "0"] if mode == "compiled" else []
        command = [sys.executable, *more, "-m", "coverage", "run", "--branch", "program.py"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, cwd=tmp_path)
        assert done.returncode == 0 and "rror" not in done.stderr, done.stderr[-2000:]
        command = [sys.executable, "-m", "coverage", "json", "-q", "-o", f"{mode}.json"]
        subprocess.run(command, env=environment | {"COLUBER": "0"}, check=True, capture_output=True, cwd=tmp_path)
        report = json.loads((tmp_path / f"{mode}.json").read_text())
        reports.append((done.stdout, report["files"]))
    assert reports[0] == reports[1]
    assert reports[0][1]["program.py"]["summary"]["num_branches"] > 5
