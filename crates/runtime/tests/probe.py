"""Runs inside an interpreter: doors, frames and exits with the hand-written units of `examples/runtime_probe.rs`.

    <interpreter> tests/probe.py <path of libruntime_probe.so>
"""

import ctypes
import dis
import gc
import sys
import traceback
import weakref

probe = ctypes.PyDLL(sys.argv[1])
for name, count in (("start", 0), ("open", 4), ("entries", 1), ("close", 1), ("retire", 1), ("depend", 3), ("broken", 0)):
    function = getattr(probe, f"probe_{name}")
    function.restype = ctypes.py_object
    function.argtypes = [ctypes.py_object] * count


def slot_count(code):
    return len(code.co_varnames) + len([name for name in code.co_cellvars if name not in code.co_varnames]) + len(
        code.co_freevars)


def offset_of(code, opname, nth=0):
    return [i for i in dis.get_instructions(code) if i.opname == opname][nth].offset // 2


def raw_next(code, offset):
    found = [i for i in dis.get_instructions(code) if i.offset == 2 * offset][0]
    caches = len(found.cache_info) and sum(size for _, size, _ in found.cache_info)
    return offset + 1 + (caches or 0)


def open_deopt(*functions, name="deopt"):
    code = functions[0].__code__
    return probe.probe_open(name, list(functions), (), [(functions[0], "at", 0, 0, list(range(slot_count(code))))])


def open_loop(function, name="deopt", at=None, stack=()):
    code = function.__code__
    jump = [i for i in dis.get_instructions(code) if i.opname == "JUMP_BACKWARD"][0]
    header = jump.jump_target // 2
    slots = slot_count(code)
    values = list(range(slots)) + [slots + n if kind == "o" else 1000 + slots + n if kind == "t" else -1 for n, kind in enumerate(stack)]
    at = header if at is None else at
    return probe.probe_open(name, [function], (header, len(stack)), [(function, "at", at, at, values)])


probe.probe_start()
checks = 0


def check(function):
    global checks
    function()
    checks += 1
    return function


@check
def deopts_at_the_start_of_a_function():
    def f(a, b=2, *, k=3):
        c = a * b
        return [c, k]

    def g(a, b=2):
        return a * b
    units = [open_deopt(f), open_deopt(g)]
    before = sys.getrefcount(None), sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0
    for _ in range(100):
        assert f(3) == [6, 3] and f(3, 4) == [12, 3] and f(b=5, a=1, k=0) == [5, 0]
        assert g(3) == 6 and g(3, 4) == 12 and g(a=2) == 4
    for call in (lambda: g(), lambda: g(1, 2, 3), lambda: g(1, c=2)):
        try:
            call()
        except TypeError as error:
            assert "g() " in str(error), error
        else:
            raise AssertionError
    assert probe.probe_entries(units[0]) == 300 and probe.probe_entries(units[1]) == 300
    assert probe.probe_close(units[0]) == 1 and probe.probe_close(units[1]) == 1
    assert f(3) == [6, 3] and probe.probe_entries(units[0]) == 300


@check
def arguments_die_when_they_would_interpreted():
    events = []

    class Noisy:
        def __del__(self):
            events.append("dead")

    def f(x):
        del x
        events.append("in f")

    def run():
        for _ in range(20):
            f(Noisy())
            events.append("after f")
    run()
    expected = events[:]
    events.clear()
    unit = open_deopt(f)
    run()
    assert events == expected == ["dead", "in f", "after f"] * 20, events[:6]
    assert probe.probe_entries(unit) == 20
    probe.probe_close(unit)


@check
def methods_closures_and_recursion():
    class Point:
        def __init__(self, x):
            self.x = x

        def get(self, n=1):
            return self.x * n

    def make(n):
        def add(x):
            return x + n
        return add
    first = make(1)
    for _ in range(100):
        make(2)(3)
    units = [open_deopt(Point.get), open_deopt(first), ]
    p = Point(4)
    for i in range(100):
        assert p.get() == 4 and p.get(2) == 8 and Point.get(p, n=3) == 12
        assert make(i)(3) == i + 3
    assert first(1) == 2
    assert probe.probe_entries(units[0]) == 300
    assert sys.flags.optimize or probe.probe_entries(units[1]) in (101, 1), probe.probe_entries(units[1])
    kept = make(5)
    assert probe.probe_close(units[1]) == 2 and kept(1) == 6
    probe.probe_close(units[0])

    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)
    unit = open_deopt(fib)
    assert fib(15) == 610
    assert probe.probe_entries(unit) > 1900
    probe.probe_close(unit)


@check
def deep_recursion_closes_the_door_and_opens_it_again():
    limit = sys.getrecursionlimit()

    def down(n):
        return 0 if n == 0 else 1 + down(n - 1)
    unit = open_deopt(down)
    try:
        down(limit + 10)
    except RecursionError as error:
        assert "maximum recursion depth exceeded" in str(error), error
    else:
        raise AssertionError
    sys.setrecursionlimit(200_000)
    try:
        assert down(150_000) == 150_000
        entries = probe.probe_entries(unit)
        assert down(10) == 10
        assert probe.probe_entries(unit) == entries + 11
    finally:
        sys.setrecursionlimit(limit)
    probe.probe_close(unit)


@check
def raises_at_an_instruction_without_handler():
    def f(a):
        x = 1
        return g(a)

    code = f.__code__
    at = offset_of(code, "CALL")
    unit = probe.probe_open("raise", [f], (), [(f, "at", at, at, [0, -2 - 1, ])])
    for _ in range(3):
        try:
            f([])
        except ValueError as error:
            entries = traceback.extract_tb(error.__traceback__)
            assert [e.name for e in entries][-1] == "f" and entries[-1].line == "return g(a)", entries
            assert len(entries) == 2
            assert error.__traceback__.tb_next.tb_frame.f_locals == {"a": [], "x": 2}, error.__traceback__.tb_next.tb_frame.f_locals
        else:
            raise AssertionError
    assert probe.probe_entries(unit) == 3
    probe.probe_close(unit)


@check
def raises_into_a_handler_of_the_frame():
    def f(a):
        try:
            return g(a)
        except ValueError as error:
            return [error.__traceback__.tb_lineno - sys._getframe().f_code.co_firstlineno, error.__traceback__.tb_next, sys.exception() is error]
        finally:
            a.append(1)

    code = f.__code__
    at = offset_of(code, "CALL")
    unit = probe.probe_open("raise", [f], (), [(f, "at", at, at, [0, -1])])
    for _ in range(3):
        a = []
        assert f(a) == [2, None, True] and a == [1]
    assert sys.exception() is None
    assert probe.probe_entries(unit) == 3
    probe.probe_close(unit)


@check
def inlined_frames_are_run_and_their_results_pushed():
    global g

    def g(x):
        y = x + 1
        if y < 0:
            raise KeyError(y)
        return [y, sys._getframe().f_back.f_code.co_name]

    def f(x):
        return g(x) + [x]

    code = f.__code__
    call = offset_of(code, "CALL")
    rows = [(g, "at", 0, 0, [0, -1]), (f, "call", call, raw_next(code, call), [0])]
    unit = probe.probe_open("deopt", [f], (), rows)
    for i in range(5):
        assert f(i) == [i + 1, "f", i], f(i)
    try:
        f(-5)
    except KeyError as error:
        assert [e.name for e in traceback.extract_tb(error.__traceback__)][1:] == ["f", "g"]
    else:
        raise AssertionError
    probe.probe_close(unit)
    unit = probe.probe_open("raise", [f], (), [(g, "at", 5, 5, [0, -1]), (f, "call", call, raw_next(code, call), [0])])
    try:
        f(-5)
    except ValueError as error:
        assert [e.name for e in traceback.extract_tb(error.__traceback__)][1:] == ["f", "g"]
    else:
        raise AssertionError
    probe.probe_close(unit)


@check
def inlined_init_must_return_none():
    def init(self, x):
        self.x = x
        if x == 3:
            return x

    class C:
        pass

    def f(c, x):
        return c

    end = offset_of(f.__code__, "RETURN_VALUE")
    # The instance is on the stack already; the result of `init` is dropped.
    rows = [(init, "at", 0, 0, [0, 1]), (f, "init", end, end, [0, 1, 0])]
    unit = probe.probe_open("deopt", [f], (), rows)
    c = C()
    assert f(c, 1) is c and c.x == 1
    try:
        f(c, 3)
    except TypeError as error:
        assert str(error) == "__init__() should return None, not 'int'"
    else:
        raise AssertionError
    before = sys.getrefcount(c)
    f(c, 1)
    assert sys.getrefcount(c) == before
    probe.probe_close(unit)


@check
def loops_are_entered_and_left():
    def count(n):
        i = 0
        while i < n:
            i += 1
        return i
    unit = open_loop(count)
    assert count(100) == 100
    assert probe.probe_entries(unit) == 99 or probe.probe_entries(unit) == 100, probe.probe_entries(unit)
    probe.probe_close(unit)
    entries = probe.probe_entries(unit)
    assert count(100) == 100 and probe.probe_entries(unit) == entries

    def total(items):
        result = 0
        for item in items:
            result += item
        return result
    depth = "oo" if sys.version_info < (3, 15) else "on"
    iterators = ("o",) if sys.version_info < (3, 15) else ("o", "n")
    unit = open_loop(total, stack=iterators)
    assert total(range(1000)) == 499500 and total(iter([5, 6, 7])) == 18
    assert probe.probe_entries(unit) >= 999, probe.probe_entries(unit)
    probe.probe_close(unit)
    if sys.version_info >= (3, 15):
        unit = open_loop(total, stack=("o", "t"))
        assert total([1] * 100) == 100
        assert probe.probe_entries(unit) >= 99
        probe.probe_close(unit)


@check
def a_loop_may_return():
    def count(n):
        kept = [n]
        while True:
            n += 1
            if n > 1000:
                return kept
    unit = open_loop(count, name="return")
    box = []
    assert count(0) == 42 and count(5) == 42
    assert probe.probe_entries(unit) == 2
    probe.probe_close(unit)


@check
def a_loop_may_raise():
    def count(n):
        while n:
            n += 1
            if n > 1000:
                return g(n)
    at = offset_of(count.__code__, "CALL")
    unit = open_loop(count, name="raise", at=at)
    for _ in range(3):
        try:
            count(1)
        except ValueError as error:
            entries = traceback.extract_tb(error.__traceback__)
            assert len(entries) == 2 and entries[-1].line == "return g(n)", entries
        else:
            raise AssertionError
    probe.probe_close(unit)

    def handled(n):
        while n:
            try:
                n += 1
                if n > 1000:
                    return g(n)
            except ValueError as error:
                return [error.__traceback__.tb_lineno - sys._getframe().f_code.co_firstlineno, error.__traceback__.tb_next]
    at = offset_of(handled.__code__, "CALL")
    unit = open_loop(handled, name="raise", at=at)
    assert handled(1) == [5, None], handled(1)
    assert probe.probe_entries(unit) >= 1
    probe.probe_close(unit)


@check
def a_bare_raise_adds_no_traceback_entry():
    def f(n):
        raise

    def loop(n):
        while n:
            n += 1
            if n > 1000:
                raise
    f_at = offset_of(f.__code__, "RAISE_VARARGS")
    loop_at = offset_of(loop.__code__, "RAISE_VARARGS")

    def outcome(function):
        try:
            try:
                1 / 0
            except ZeroDivisionError:
                function(1)
        except ZeroDivisionError as error:
            return [(entry.name, entry.lineno) for entry in traceback.extract_tb(error.__traceback__)], error.__context__
    expected = outcome(f), outcome(loop)
    units = [probe.probe_open("reraise", [f], (), [(f, "at", f_at, f_at, [0])]), open_loop(loop, name="reraise", at=loop_at)]
    assert (outcome(f), outcome(loop)) == expected, (outcome(f), outcome(loop), expected)
    assert [probe.probe_entries(unit) for unit in units] == [1, 1]
    for unit in units:
        probe.probe_close(unit)


@check
def a_loop_whose_header_has_another_handler():
    def f(n):
        while True:
            try:
                n += 1
            except ValueError:
                return "wrong handler"
            if n > 1000:
                return g(n)
    code = f.__code__
    at = offset_of(code, "CALL")
    unit = open_loop(f, name="raise", at=at)
    for _ in range(3):
        try:
            result = f(1)
        except ValueError as error:
            entries = traceback.extract_tb(error.__traceback__)
            assert len(entries) == 2 and entries[-1].line == "return g(n)", entries
            frame = error.__traceback__.tb_next.tb_frame
            assert frame.f_lasti == 2 * at and frame.f_lineno == f.__code__.co_firstlineno + 7, frame.f_lineno
        else:
            raise AssertionError(result)
    probe.probe_close(unit)


@check
def a_tracer_sees_everything():
    def f(a):
        b = a
        return b
    unit = open_deopt(f)
    lines = []

    def tracer(frame, event, argument):
        if frame.f_code is f.__code__:
            lines.append((event, frame.f_lineno - f.__code__.co_firstlineno))
        return tracer
    sys.settrace(tracer)
    try:
        f(1)
    finally:
        sys.settrace(None)
    assert lines == [("call", 0), ("line", 1), ("line", 2), ("return", 2)], lines
    entries = probe.probe_entries(unit)
    f(1)  # the interpreter takes the tracer's events out of the code
    f(1)
    assert probe.probe_entries(unit) == entries + 1
    probe.probe_close(unit)


@check
def changed_functions_lose_their_door():
    def f(a):
        return a

    def g(a):
        return -a
    unit = open_deopt(f)
    assert f(1) == 1
    f.__code__ = g.__code__
    assert f(1) == -1 and probe.probe_entries(unit) == 1
    assert probe.probe_close(unit) == 0
    unit = open_deopt(g)
    reference = weakref.ref(g)
    del g
    assert reference() is None
    assert probe.probe_close(unit) == 0


@check
def observers_see_unboxed_locals():
    global observed
    seen = []

    def f(a):
        b = 1
        return [a, b]

    def observed():
        frame = sys._getframe(1)
        seen.append(dict(frame.f_locals))
    unit = probe.probe_open("observe", [f], (), [(f, "at", offset_of(f.__code__, "BUILD_LIST") - 1, 0, [0, 2001])])
    for _ in range(5):
        f("x")
    assert seen == [{"a": "x", "b": 41}] * 5, seen

    def observed():
        seen.append(exec_locals())
    for ask in (lambda: sys._getframe(2).f_locals["b"], ):
        seen.clear()

        def observed():
            seen.append(ask())
        f("x")
        assert seen == [41]
    # Called as if by compiled code: the frame that asks is the unit's own.
    for observed, key in ((locals, None), (vars, None), (dir, None)):
        f("x")
    probe.probe_close(unit)


@check
def broken_invariants_stop_a_unit():
    global f, value
    value = 1

    class C:
        def m(self):
            return 1

    def f(a):
        return a

    for kind, what, change in (
        ("name", "value", lambda: globals().__setitem__("value", 2)),
        ("name", "val" + "ue"[:2], lambda: exec("del value", globals())),
        ("class", C, lambda: setattr(C, "m", None)),
        ("function", C.__init_subclass__.__func__ if False else f, lambda: setattr(f, "__defaults__", (1,))),
    ):
        C().m and C.m
        unit = open_deopt(f)
        C.__flags__
        [C().m for _ in range(10)]
        probe.probe_depend(unit, kind, what)
        globals()["other"] = kind
        f(1)
        assert probe.probe_entries(unit) == 1, kind
        change()
        assert f(2) == 2 and probe.probe_entries(unit) == 1, kind
        assert probe.probe_broken() == 1
        assert probe.probe_retire(unit) == 10
        assert f(2) == 2


@check
def a_unit_with_somebody_inside_is_freed_later():
    global observed
    results = []

    def f(a):
        b = 1
        return [a, b]

    def observed():
        results.append(probe.probe_retire(unit))
        results.append(probe.probe_retire(0))
    unit = probe.probe_open("observe", [f], (), [(f, "at", offset_of(f.__code__, "BUILD_LIST") - 1, 0, [0, 2001])])
    f("x")
    assert results == [1, 1], results
    assert probe.probe_retire(0) == 10
    assert f("y") == ["y", 1]


if "--time" in sys.argv:
    import timeit

    def identity(a):
        return a

    def plain(a):
        return a
    unit = open_deopt(identity, name="identity")
    x = object()
    for _ in range(3):
        for name in ("plain", "identity", "abs"):
            best = min(timeit.repeat(f"for i in r: {name}(i)", globals={**globals(), "plain": plain, "identity": identity,
                                     "r": range(1000)}, number=1000, repeat=9))
            print(f"{name} {best * 1e3:.1f} ns", end="  ")
        print()
    probe.probe_close(unit)

gc.collect()
print(f"{checks} checks passed on {sys.version.split()[0]}")
