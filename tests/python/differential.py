"""Runs files of cases under plain CPython and under each mode of Coluber, and compares what can be seen.

A *case file* is a module whose functions called ``case_*`` take no arguments. Each is called several times, so that
it is compiled on the way; what every call returns, prints and raises (the whole traceback), and how the numbers of
references and of allocated blocks move, must be what plain CPython does.

A case that means to run compiled code says so with the decorator ``@compiled``; called within a case, ``compiled(f)`` means
that ``f`` must run compiled when the case ends. A defect that is known has ``@known("what is wrong")``: the case must fail
in at least one mode, so that nobody forgets to take the mark away.

This module is both sides: ``run(path, mode)`` starts ``python differential.py path mode``, which prints one line of JSON
per case.
"""

from __future__ import annotations

import contextlib
import difflib
import gc
import io
import itertools
import json
import os
import subprocess
import sys
import traceback
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
#: Calls of each case; the last `MEASURED` are those whose references are counted.
CALLS = 8
MEASURED = 4
#: What stderr says when the compiler refused its own work: the program stays interpreted, so nothing else would show.
DEFECTS = ("internal error", "a bug in Coluber", "panicked", "malformed code")
#: A tool id of `sys.monitoring` that no case takes.
TOOL = 4
#: Calls when references seem to leak.
WARM_CALLS = 120


@dataclass(frozen=True)
class Mode:
    """A way to run a case file. ``fresh``: every call gets new code objects, so only loops and callees are compiled."""

    name: str
    settings: dict[str, str] = field(default_factory=dict)
    fresh: bool = False
    expects_compiled: bool = False

    @property
    def is_plain(self) -> bool:
        return not self.settings


def _forced(seed: int, permille: int, **more: str) -> Mode:
    settings = {"strategy": "optimizing", "hot": "call:2", "prune": "0", "exits": f"random:{seed}:{permille}"}
    return Mode(f"exits-{seed}", settings | more)


PLAIN = Mode("plain")
PLAIN_FRESH = Mode("plain-fresh", fresh=True)
MODES = [
    # Whatever the first call left out is compiled all the same, but for the mode that is for that.
    Mode("eager", {"strategy": "optimizing", "hot": "call:2", "prune": "0"}, expects_compiled=True),
    Mode("handlers", {"strategy": "optimizing", "hot": "call:2", "all_handlers": "1"}),
    Mode("loop", {"strategy": "optimizing", "hot": "call:2", "prune": "0", "all_handlers": "1"}, fresh=True),
    Mode("pruned", {"strategy": "optimizing", "hot": "call:3"}),
    Mode("baseline", {"strategy": "baseline", "hot": "call:2", "all_handlers": "1"}),
    _forced(1, 50, all_handlers="1"),
    _forced(2, 300),
    _forced(3, 1000, all_handlers="1"),
]
ALL = {mode.name: mode for mode in [PLAIN, PLAIN_FRESH, *MODES]}


@dataclass
class Run:
    """What one process had to say."""

    cases: dict[str, dict]
    status: int
    errors: str


def run(path: Path, mode: Mode, timeout: float = 120, only: str = "", calls: int = CALLS) -> Run:
    """Runs a case file, or the cases whose names contain `only`, in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COLUBER")}
    environment |= {"PYTHONHASHSEED": "0", "NO_COLOR": "1", "PYTHON_COLORS": "0", "PYTHONFAULTHANDLER": "1"}
    # Code that the front end cannot make sense of is told of in the log alone.
    environment |= {"COLUBER": "0"} if mode.is_plain else {"COLUBER_LOG": "bailout"}
    command = [sys.executable, str(HERE / "differential.py"), str(path), mode.name, str(calls), only]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment, errors="replace")
    except subprocess.TimeoutExpired as late:
        output = late.stdout.decode(errors="replace") if late.stdout else ""
        return Run(_read(output), -1, f"no end after {timeout} s")
    return Run(_read(done.stdout), done.returncode, done.stderr)


def _read(output: str) -> dict[str, dict]:
    cases = {}
    for line in output.splitlines():
        if line.startswith('{"case"'):
            with contextlib.suppress(ValueError):
                record = json.loads(line)
                cases[record["case"]] = record
    return cases


def compare(path: Path, plain: Run, other: Run, mode: Mode, known: bool = False) -> list[str]:
    """What differs, one paragraph each; empty if nothing does. ``known``: in cases with a known defect, else in the others."""
    assert plain.status == 0, f"plain CPython failed:\n{plain.errors}"
    found = []
    for name, expected in plain.cases.items():
        got = other.cases.get(name)
        if got is None or bool(expected["known"]) != known:
            continue
        if expected["calls"] != got["calls"]:
            lines = difflib.unified_diff(_lines(expected), _lines(got), "plain", mode.name, lineterm="", n=2)
            found.append("\n".join([f"{name}:", *lines]))
        if _leaks(expected, got):
            # New versions of units take memory of their own: look again when everything is warm.
            expected, got = (run(path, each, only=name, calls=WARM_CALLS).cases.get(name) for each in (PLAIN, mode))
            if expected is None or got is None:
                found.append(f"{name}: ends when called often")
            else:
                found += [f"{name}: {what}" for what in _leaks(expected, got)]
        if mode.expects_compiled and got["interpreted"]:
            found.append(f"{name}: not compiled: " + "\n".join(got["interpreted"]))
    if not known:
        found += [line for line in other.errors.splitlines() if any(word in line for word in DEFECTS)][:3]
    if other.status != 0 and not known:
        missing = [name for name in plain.cases if name not in other.cases]
        found.append(f"status {other.status} in {missing[:1] or 'no case'}:\n{other.errors[-3000:]}")
    return found


def _leaks(expected: dict, got: dict) -> list[str]:
    found = []
    for what in ("references", "blocks"):
        before, after = expected[what], got[what]
        # Compiled code may allocate less than the interpreter, so fewer blocks are no finding; references must balance.
        fewer = what == "references" and before and max(after) < min(before)
        if before and (min(after) > max(before) or fewer):
            found.append(f"{what} per call: {after}, plain {before}")
    return found


def _lines(record: dict) -> list[str]:
    return [line for call in record["calls"] for line in json.dumps(call, indent=1).replace("\\n", "\n    ").splitlines()]


# ---- in the process that runs the cases


_expected: list = []


def compiled(function):
    """Marks a function that must run compiled; does nothing when interpreted."""
    _expected.append(function)
    return function


_callers = itertools.count()


def new_caller(function):
    """A function of two arguments that calls this one: a new unit, which has it inlined."""
    name = f"{function.__name__}{next(_callers)}"
    namespace = {"function": function}
    exec(f"def {name}(first, second):\n    return function(first, second)", namespace)
    return namespace[name]


def known(what: str):
    """Marks a case that fails because of a defect that is known."""

    def mark(function):
        function.known = what
        return function

    return mark


def _call(case, brief: bool) -> dict:
    """What a call does. ``brief``: without what takes code of its own to find out, so that references can be counted."""
    output = io.StringIO()
    outcome: dict = {}
    with contextlib.redirect_stdout(output):
        try:
            result = case()
        except BaseException as error:  # noqa: BLE001
            if brief:
                return {"raised": type(error).__name__}
            shown = traceback.TracebackException(type(error), error, error.__traceback__.tb_next)
            outcome["raised"] = "".join(shown.format())
            del error, shown
        else:
            outcome["result"] = repr(result)
            del result
    outcome["printed"] = output.getvalue()
    return outcome


def _main(path: Path, mode: Mode, calls: int, only: str) -> None:
    import coluber

    sys.modules["differential"] = sys.modules["__main__"]
    sys.stdout.reconfigure(line_buffering=True)
    source = path.read_text()
    code = compile(source, path, "exec")
    total = getattr(sys, "gettotalrefcount", None)

    def fresh() -> dict:
        namespace = {"__name__": "cases", "__file__": str(path)}
        exec(compile(source, path, "exec") if mode.fresh else code, namespace)
        return namespace

    namespace = fresh()
    names = [name for name in namespace if name.startswith("case_") and name.startswith(only)]
    # What another tool listens to stays interpreted. Compiled, this function would have other references of its own.
    sys.monitoring.use_tool_id(TOOL, "differential")
    sys.monitoring.set_local_events(TOOL, _main.__code__, sys.monitoring.events.PY_START)
    if not mode.is_plain and not coluber.enable(background=False, verify=True, **mode.settings):
        raise SystemExit(f"cannot be switched on: {coluber.status()}")
    for name in names:
        _expected.clear()
        if not mode.fresh:
            namespace = fresh()
        # What other cases of the file expect is not meant.
        _expected[:] = [function for function in _expected if function.__name__ == name]
        record: dict = {"case": name, "calls": [], "references": [], "blocks": [], "interpreted": []}
        record["known"] = getattr(namespace[name], "known", "")
        for index in range(3 if mode.fresh else calls):
            if mode.fresh:
                namespace = fresh()
            measured = not mode.fresh and index >= calls - MEASURED
            if measured:
                gc.collect()
                references, blocks = total() if total else 0, sys.getallocatedblocks()
            outcome = _call(namespace[name], measured)
            if measured:
                # What units of dead code named is released when the next call is counted.
                exec("")
                gc.collect()
                if total:
                    record["references"].append(total() - references)
                record["blocks"].append(sys.getallocatedblocks() - blocks)
            record["calls"].append(outcome)
        if mode.expects_compiled:
            for function in _expected:
                if not coluber.is_compiled(function):
                    record["interpreted"].append(coluber.explain(function))
        print(json.dumps(record))
    if not mode.is_plain:
        coluber.disable()


if __name__ == "__main__":
    _main(Path(sys.argv[1]), ALL[sys.argv[2]], int(sys.argv[3]), sys.argv[4])
