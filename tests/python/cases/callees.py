"""Callables that are not names: arguments, items, closures, bound methods that were kept; and others in their place."""

import functools
import sys

from differential import compiled


def double(x):
    return x * 2


def triple(x, extra=1):
    return x * 3 + extra


class Counter:
    def __init__(self, start=0):
        self.count = start
        self.kept = self.step

    def step(self, by=1):
        self.count += by
        return self.count

    def fail(self, by=1):
        raise ValueError(by, sys._getframe().f_back.f_code.co_name)

    def __call__(self, x):
        return ("called", x)


class Loud(Counter):
    def step(self, by=1):
        return ("loud", by, self.count)


class Mortal:
    def __init__(self, log):
        self.log = log

    def method(self, x):
        return x

    def __del__(self):
        self.log.append("died")


def apply(function, x):
    return function(x)


def warm(function, *arguments):
    for _ in range(40):
        result = function(*arguments)
    return result


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        lines = []
        trace = error.__traceback__
        while trace is not None:
            lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno))
            trace = trace.tb_next
        return type(error).__name__, str(error), lines


OTHERS = [double, triple, lambda x: -x, str, len, functools.partial(triple, extra=5), Counter(3), Counter, Counter(4).step, None]


@compiled
def case_functions_as_arguments():
    seen = [warm(apply, double, 4)]

    def outer(x):
        return apply(double, x)

    seen.append(warm(outer, 5))
    for function in OTHERS:
        seen.append(str(attempt(apply, function, 7))[:60].split(" object at")[0])
    return seen


def step_kept(counter, by):
    return counter.kept(by) + counter.kept()


def step_bound(step, by):
    return step(by)


@compiled
def case_bound_methods():
    counter = Counter()
    seen = [warm(step_kept, counter, 2)]
    seen.append(warm(step_bound, counter.step, 3))
    for other in [Counter(5), Loud(6)]:
        seen.append(attempt(step_kept, other, 1))
        seen.append(step_bound(other.step, 2))
    seen.append(attempt(step_bound, counter.fail, 2))
    for function in [double, str, Loud(1).step, Counter(9), None]:
        seen.append(attempt(step_bound, function, 3))
    counter.kept = double
    seen.append(attempt(step_kept, counter, 3))
    return seen


@compiled
def case_method_dies_when_called():
    log = []

    def use(x):
        # The method holds the only reference to its object.
        return Mortal(log).method(x), list(log)

    def use_kept(method, x):
        return method(x), list(log)

    seen = [warm(use, 1)[0], len(log)]
    seen.append(warm(lambda: use_kept(Mortal(log).method, 2))[0])
    seen.append(len(log))
    return seen


def drives(table, keys):
    total = []
    for key in keys:
        total.append(table[key](key))
    return total


@compiled
def case_dispatch_tables():
    table = {1: double, 2: double, 3: triple, 4: Counter(1).step}
    seen = [warm(drives, table, [1, 2, 1])]
    seen.append(warm(drives, table, [1, 2, 3, 4]))
    seen.append(attempt(drives, table, [1, 5]))
    return seen


def make_adder(n):
    def add(x):
        return x + n

    return add


@compiled
def case_closures_made_afresh():
    def run(n):
        add = make_adder(n)
        return [add(i) for i in range(3)]

    seen = [warm(run, 1), warm(run, 2.5)]
    fixed = make_adder(10)

    def use(x):
        return fixed(x)

    seen.append(warm(use, 3))
    fixed = make_adder("b")
    seen.append(attempt(use, "a"))
    return seen


def construct(kind, x):
    return type(kind(x)).__name__


@compiled
def case_classes_as_arguments():
    seen = [warm(construct, Counter, 3)]
    for kind in [Loud, int, str, list, double]:
        seen.append(attempt(construct, kind, 4))
    return seen


@compiled
def case_code_changes():
    def local(x):
        return x + 1

    seen = [warm(apply, local, 3)]
    local.__code__ = (lambda x: x - 1).__code__
    seen.append(warm(apply, local, 3))
    local.__defaults__ = (9,)
    seen.append(attempt(lambda: apply(local, 3)))
    return seen


def recursive(function, depth):
    return 0 if depth == 0 else 1 + function(function, depth - 1)


@compiled
def case_recursion_through_an_argument():
    return warm(recursive, recursive, 9), attempt(recursive, double, 3)
