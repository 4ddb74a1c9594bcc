"""Callees that only compiled code sees: functions with a door, met after the interpreter has given up on the call."""

import traceback
import weakref

from differential import compiled


def double(x):
    return 2 * x


def triple(x):
    total = 0
    for _ in range(3):
        total += x
    return total


def fails(x):
    if x == 3:
        raise ValueError(x)
    return x


def with_default(x, y=7):
    return x + y


class Counter:
    def __init__(self, step):
        self.step = step
        self.total = 0

    def add(self, x):
        self.total += self.step * x
        return self.total

    def fail(self, x):
        if x == 5:
            raise KeyError(x)
        return self.total


class Other(Counter):
    def add(self, x):
        return -x


def apply(function, values):
    return [function(value) for value in values]


def apply_loop(function, values):
    total = 0
    for value in values:
        total += function(value)
    return total


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Exception:
        return traceback.format_exc()


@compiled
def case_functions_in_variables():
    for _ in range(60):
        apply_loop(double, range(20))
    found = [apply_loop(double, range(9)), apply_loop(triple, range(9)), attempt(apply_loop, fails, range(9))]
    found += [apply_loop(with_default, range(4)), apply_loop(lambda x: x, range(5)), apply_loop(abs, range(3))]
    return found


@compiled
def case_bound_methods():
    counter, other = Counter(2), Other(3)
    for _ in range(60):
        apply_loop(counter.add, range(20))
    found = [apply_loop(counter.add, range(9)), apply_loop(other.add, range(9)), attempt(apply_loop, counter.fail, range(9))]
    found += [apply_loop(Counter(5).add, range(4)), apply_loop([1, 2, 3].index, [1, 2])]
    return found, counter.total


class Holder:
    def __init__(self):
        self.call = self.method
        self.seen = 0

    def method(self, x):
        self.seen += x
        return self

    def run(self, n):
        for i in range(n):
            self.call(i)
        return self.seen


def case_methods_held_by_instances():
    holder = Holder()
    found = [holder.run(10) for _ in range(50)][-1]
    holder.call = lambda x: None
    holder.run(5)
    holder.call = Holder().method
    holder.run(5)
    Holder.method = lambda self, x: self
    fresh = Holder()
    fresh.run(5)
    del Holder.method
    Holder.method = Holder.__dict__.get("method") or (lambda self, x: setattr(self, "seen", self.seen + x))
    return found, holder.seen, fresh.seen, Holder().run(4)


def case_arguments_die_in_time():
    class Item:
        pass

    deaths = []

    def forget(item):
        deaths.append("in")
        item = None
        deaths.append("gone")
        return item

    def give(function, count):
        for i in range(count):
            item = Item()
            reference = weakref.ref(item, lambda _: deaths.append("died"))
            del item
            item = Item()
            weakref.finalize(item, deaths.append, "final")
            function(item)
            del item
            assert reference() is None

    give(forget, 60)
    return deaths[-12:]


TABLE = {0: double, 1: triple, 2: with_default, 3: fails}


@compiled
def case_functions_out_of_tables():
    def run(n):
        total = 0
        for i in range(n):
            total += TABLE[i % 3](i)
        return total

    return [run(30) for _ in range(40)][-1], [attempt(TABLE[i % 4], i) for i in range(8)]


def countdown(n, call):
    return 0 if n == 0 else 1 + call(n - 1, call)


def case_recursion_through_a_variable():
    found = [countdown(40, countdown) for _ in range(60)][-1]
    try:
        countdown(10**6, countdown)
    except RecursionError as error:
        return found, str(error)[:40]


def case_code_replaced():
    def first(x):
        return "first", x

    def second(x):
        return "second", x

    found = [apply(first, range(3)) for _ in range(50)][-1:]
    first.__code__ = second.__code__
    found += [apply(first, range(2)) for _ in range(5)]
    with_default.__defaults__ = (100,)
    found.append(apply(with_default, range(2)))
    with_default.__defaults__ = (7,)
    found.append(apply(with_default, range(2)))
    return found
