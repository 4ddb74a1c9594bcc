"""Times one benchmark program of pyperformance, unmodified, in this one process.

The program is a pyperf script. It finds a stand-in for the module ``pyperf`` here, whose ``Runner`` does not start
processes but runs the one benchmark that was asked for and notes the time of every iteration.

An iteration is ``--loops`` rounds of the program's own unit of work; ``--calibrate`` finds the number that makes one
last long enough. The process first runs exactly ``--count`` iterations, so that what the program has returned,
printed and left in its globals by then can be compared between processes (``checksum``), and then goes on until
``--seconds`` have gone by. The result is written to ``--out`` as JSON:

``times``     seconds of each iteration, the first one included
``checksum``  of what the benchmark computed in the first ``count`` iterations
``consistent`` whether every iteration returned the same, where the benchmark returns something
``rss_bytes`` resident memory at the end
``stats``     Coluber's own, if it is on
"""

import argparse
import hashlib
import io
import json
import math
import os
import runpy
import sys
import time
import types

CALIBRATED_SECONDS = 0.020


class Finished(BaseException):
    """The benchmark that was asked for has been run; the rest of the program does not matter."""


class Runner:
    """As much of ``pyperf.Runner`` as the programs use."""

    settings = None
    result = None

    def __init__(self, *, add_cmdline_args=None, **_ignored):
        self.metadata = {}
        self.argparser = argparse.ArgumentParser()
        self.args = None

    def parse_args(self, args=None):
        if self.args is None:
            self.args = self.argparser.parse_args(args)
        return self.args

    def bench_func(self, name, func, *args, inner_loops=None, metadata=None):
        self.parse_args()
        if name == self.settings.benchmark:
            self._measure(func, lambda loops: _time_calls(func, args, loops))

    def bench_time_func(self, name, time_func, *args, inner_loops=None, metadata=None):
        self.parse_args()
        if name == self.settings.benchmark:
            self._measure(time_func, lambda loops: (time_func(loops, *args), None))

    def bench_async_func(self, name, func, *args, **_ignored):
        import asyncio

        self.parse_args()
        if name == self.settings.benchmark:
            self._measure(func, lambda loops: _time_calls(lambda: asyncio.run(func(*args)), (), loops))

    def _measure(self, func, iterate):
        if self.settings.calibrate:
            Runner.result = _calibrate(iterate)
        else:
            Runner.result = _run(self.settings, func.__globals__, iterate)
        raise Finished


def _time_calls(func, args, loops):
    rounds = range(loops)
    start = time.perf_counter()
    for _ in rounds:
        value = func(*args)
    return time.perf_counter() - start, value


def _calibrate(iterate):
    loops = 1
    while True:
        iterate(loops)
        seconds, _ = iterate(loops)
        if seconds >= CALIBRATED_SECONDS:
            return {"loops": loops, "seconds": seconds}
        # Aims a little higher, so that a faster moment does not fall below.
        wanted = loops * 1.3 * CALIBRATED_SECONDS / max(seconds, 1e-7)
        loops = max(loops + 1, min(math.ceil(wanted), loops * 100))


def _run(settings, module_globals, iterate):
    times = []
    digests = set()
    checksum = None
    start = time.perf_counter()
    while len(times) < settings.count or time.perf_counter() - start < settings.seconds:
        begin = time.perf_counter()
        seconds, value = iterate(settings.loops)
        times.append((begin - start, seconds))
        if len(times) <= settings.count:
            if value is not None:
                digests.add(_digest(value))
            if len(times) == settings.count:
                checksum = _digest([sorted(digests), sys.stdout.getvalue(), _plain_globals(module_globals)])
    return {
        "starts": [begin for begin, _ in times],
        "times": [seconds for _, seconds in times],
        "checksum": checksum,
        "consistent": len(digests) <= 1,
        "rss_bytes": _resident_bytes(),
        "stats": _coluber_stats(),
    }


def _plain_globals(module_globals):
    return {
        name: value
        for name, value in module_globals.items()
        if not name.startswith("__") and isinstance(value, int | float | str | bytes | list | tuple | dict)
    }


def _digest(value):
    hasher = hashlib.blake2b(digest_size=8)
    _feed(hasher, value, 0)
    return hasher.hexdigest()


def _feed(hasher, value, depth):
    """Plain data counts with its value, anything else with its type: addresses differ from process to process."""
    kind = type(value)
    hasher.update(kind.__name__.encode())
    if kind in (int, float, str, bytes, bool, complex, type(None)):
        hasher.update(repr(value).encode())
    elif depth < 8 and kind in (list, tuple):
        for item in value:
            _feed(hasher, item, depth + 1)
    elif depth < 8 and kind is dict:
        for key, item in value.items():
            _feed(hasher, key, depth + 1)
            _feed(hasher, item, depth + 1)


def _resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _coluber_stats():
    coluber = sys.modules.get("coluber")
    if coluber is None:
        return None
    return {"status": coluber.status(), **coluber.stats()}


def _stand_in_for_pyperf():
    module = types.ModuleType("pyperf")
    module.Runner = Runner
    module.perf_counter = time.perf_counter
    module.python_implementation = lambda: sys.implementation.name
    module.python_has_jit = lambda: False
    return module


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--benchmark", required=True)
    parser.add_argument("--calibrate", action="store_true")
    parser.add_argument("--loops", type=int, default=1)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--out", required=True)
    parser.add_argument("program")
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    settings = parser.parse_args()
    Runner.settings = settings
    sys.modules["pyperf"] = _stand_in_for_pyperf()
    sys.argv = [settings.program, *settings.arguments]
    sys.path[0] = os.path.dirname(settings.program)
    stdout, sys.stdout = sys.stdout, io.StringIO()
    try:
        runpy.run_path(settings.program, run_name="__main__")
    except Finished:
        pass
    finally:
        sys.stdout = stdout
    if Runner.result is None:
        sys.exit(f"{settings.program} has no benchmark {settings.benchmark}")
    with open(settings.out, "w") as file:
        json.dump(Runner.result, file, default=str)


if __name__ == "__main__":
    main()
