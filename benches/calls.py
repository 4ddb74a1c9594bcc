"""Nanoseconds per call of a small function, by the way the call takes.

``interpreted``          caller and callee are interpreted: an inlined call of the interpreter
``door, interpreted``    an interpreted caller calls a compiled function
``door, compiled``       a compiled caller calls a compiled function that it does not inline

Run with ``python benches/calls.py``. The time of the empty loop is taken off. The callers that have to stay
interpreted are generators, which are never compiled.
"""

import time

import coluber

ROUNDS = 50_000
REPEATS = 40


def none():
    return None


def one(a):
    return a


def three(a, b, c):
    return b


class Point:
    def get(self):
        return self


def empty_loop(rounds):
    start = time.perf_counter()
    for _ in rounds:
        pass
    yield time.perf_counter() - start


def call_none(rounds, f):
    start = time.perf_counter()
    for _ in rounds:
        f()
    yield time.perf_counter() - start


def call_one(rounds, f):
    start = time.perf_counter()
    for _ in rounds:
        f(rounds)
    yield time.perf_counter() - start


def call_three(rounds, f):
    start = time.perf_counter()
    for _ in rounds:
        f(rounds, f, start)
    yield time.perf_counter() - start


def call_method(rounds, point):
    start = time.perf_counter()
    for _ in rounds:
        point.get()
    yield time.perf_counter() - start


def compiled_empty(rounds, functions):
    for f in functions:
        pass


def compiled_calls(rounds, functions):
    for f in functions:
        f(rounds)


def one_again(a):
    return a


def one_more(a):
    return a


def nanoseconds(make):
    times = [next(make()) for _ in range(REPEATS)]
    return min(times) / ROUNDS * 1e9


def from_compiled(caller, functions):
    best = float("inf")
    for _ in range(REPEATS):
        start = time.perf_counter()
        caller(None, functions)
        best = min(best, time.perf_counter() - start)
    return best / len(functions) * 1e9


CASES = [
    ("f()", call_none, none),
    ("f(a)", call_one, one),
    ("f(a, b, c)", call_three, three),
    ("o.m()", call_method, Point()),
]


def measure():
    rounds = range(ROUNDS)
    loop = nanoseconds(lambda: empty_loop(rounds))
    return {label: nanoseconds(lambda: caller(rounds, f)) - loop for label, caller, f in CASES}


def warm(function, arguments):
    """Calls until the function is compiled, from a generator: a caller that is compiled would inline it."""

    def calls():
        for _ in range(1_000):
            function(*arguments)
        yield

    deadline = time.perf_counter() + 5.0
    while not coluber.is_compiled(function) and time.perf_counter() < deadline:
        next(calls())


def main():
    coluber.disable()
    interpreted = measure()
    coluber.enable()
    point = Point()
    functions = [one, one_again, one_more] * 1000
    for function, *arguments in [
        [none],
        [one, 1],
        [one_again, 1],
        [one_more, 1],
        [three, 1, 2, 3],
        [Point.get, point],
        [compiled_calls, None, functions],
        [compiled_empty, None, functions],
    ]:
        warm(function, arguments)
    used = [none, one, one_again, one_more, three, Point.get, compiled_calls, compiled_empty]
    missing = [f.__qualname__ for f in used if not coluber.is_compiled(f)]
    doors = measure()
    compiled = from_compiled(compiled_calls, functions) - from_compiled(compiled_empty, functions)
    print(f"{'':12} {'interpreted':>12} {'door, interpreted':>18} {'door, compiled':>15}")
    for label, *_ in CASES:
        last = f"{compiled:15.1f}" if label == "f(a)" else ""
        print(f"{label:12} {interpreted[label]:12.1f} {doors[label]:18.1f} {last}")
    if missing:
        print("not compiled:", ", ".join(missing))


if __name__ == "__main__":
    main()
