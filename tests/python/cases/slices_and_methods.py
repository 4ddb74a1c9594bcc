"""Slices of lists and str, methods of lists and dicts, functions of ``math``: forms of their own in compiled code."""

import math
import weakref

from differential import compiled


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (IndexError, KeyError, OverflowError, TypeError, ValueError, ZeroDivisionError) as error:
        return f"{type(error).__name__}: {error}"


def cut(sequence, start, stop):
    return sequence[start:stop]


def cut_by(sequence, start):
    return sequence[start::-1], sequence[:start:2], sequence[::-3], sequence[start:None:-2]


def put(target, start, stop, value):
    target[start:stop] = value
    return target


BOUNDS = (0, 1, 3, 5, 9, -1, -3, -9, None, 2**62, -2**62, 2**70, True, "x", 1.0)


@compiled
def case_list_slices():
    numbers = list(range(6))
    for _ in range(40):
        cut(numbers, 1, 4)
    found = [attempt(cut, numbers, start, stop) for start in BOUNDS for stop in BOUNDS]
    found += [attempt(cut_by, numbers, start) for start in BOUNDS]
    return found


@compiled
def case_slices_of_other_sequences():
    class Own:
        def __getitem__(self, key):
            return key

    class Listed(list):
        def __getitem__(self, key):
            return "own", key

    sequences = ["häuser", b"bytes", (1, 2, 3), range(9), Own(), Listed([1, 2]), [1, 2, 3], "\U0001f600x", bytearray(b"ab")]
    found = []
    for i in range(180):
        found.append(repr((cut(sequences[i % 9], i % 4, i % 7), cut_by(sequences[i % 9], i % 3))))
    return found[-18:]


@compiled
def case_slices_set():
    def flip(numbers, k):
        numbers[:k + 1] = numbers[k::-1]
        return numbers

    found = [flip(list("abcdefg"), i % 9) for i in range(60)][-9:]
    for start in BOUNDS:
        for stop in (0, 2, 4, None, -1):
            found.append(attempt(put, list(range(5)), start, stop, ["n"] * 2))
    found += [attempt(put, [1, 2, 3], 0, 2, value) for value in ((7, 8, 9), "xy", [], None, 3, iter([1]), {1: 2})]
    same = [1, 2, 3]
    found.append(put(same, 1, 2, same))
    kept = [7, 8]
    other = put([1, 2, 3], 0, 2, kept)
    return found, kept, other


@compiled
def case_replaced_items_die_in_order():
    class Item:
        def __init__(self, name):
            self.name = name

        def __del__(self):
            log.append(self.name)

    log = []

    def run(k):
        items = [Item(f"a{i}") for i in range(4)]
        items[:k] = [Item(f"b{i}") for i in range(k)]
        log.append("set")
        items[1:1] = [Item("c")]
        del items
        log.append("end")

    for i in range(12):
        run(i % 5)
    return log


@compiled
def case_kept_list_keeps_its_items():
    def run(numbers):
        part = numbers[1:3]
        numbers[0:2] = part
        return numbers, part

    return [run([i, i + 1, i + 2, i + 3]) for i in range(40)][-1]


@compiled
def case_insert_and_pop():
    def run(n):
        queue = []
        out = []
        for i in range(n):
            queue.insert(i % 3 - 1, i)
            queue.insert(0, -i)
            if i % 2:
                out.append(queue.pop())
            if i % 3 == 0:
                out.append(queue.pop(0))
            if i % 5 == 0:
                out.append(queue.pop(i % 2 - 1))
        return queue, out

    def take(queue, index):
        return queue.pop(index)

    found = [run(50)]
    for index in (0, -1, 1, -2, 2, -3, 2**70, True, "x"):
        found += [attempt(take, [1, 2], index) for _ in range(3)]
    found += [attempt(take, [], 0), attempt(take, {1: 2}, 1), attempt(take, {1: 2}, 3)]
    items = list(range(1000))
    while items:
        items.pop()
    return found, items


@compiled
def case_dead_when_popped():
    class Item:
        pass

    def run():
        items = [Item(), Item()]
        last = weakref.ref(items[-1])
        items.pop()
        return last() is None, len(items)

    return [run() for _ in range(40)][-1]


@compiled
def case_dict_get():
    class Key:
        def __init__(self, value):
            self.value = value

        def __hash__(self):
            return 1

        def __eq__(self, other):
            return self.value == getattr(other, "value", other)

    def run(table, key, default):
        return table.get(key), table.get(key, default)

    table = {1: "one", "a": None, (1, 2): 3, Key(5): "five"}
    found = [run(table, key, i) for i in range(30) for key in (1, "a", (1, 2), Key(5), 5, "b")][-6:]
    return found, attempt(run, table, [], 0)


@compiled
def case_math_functions():
    functions = {name: getattr(math, name) for name in (
        "sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh", "exp", "exp2", "expm1", "log1p", "log",
        "log2", "log10", "sqrt", "cbrt", "asinh", "acosh", "atanh", "erf", "erfc")}
    values = (0.5, 0, 1, -1, 2.5, -0.0, 1e300, -1e300, float("inf"), float("nan"), 10**30, True, "x")
    found = []
    for value in values:
        for _ in range(2):
            found += [attempt(function, value) for function in functions.values()]
    return repr(found)


@compiled
def case_math_inline():
    def run(x):
        return (math.sin(x) + math.cos(x) * math.tan(x) + math.exp(x) + math.log(x + 2.0) + math.atan(x)
                + math.sinh(x) + math.log10(x + 3.0))

    found = [run(i / 7) for i in range(60)][-3:]
    found += [run(i) for i in range(5)]
    return repr(found), attempt(run, 1e5), attempt(run, -3.0), attempt(run, float("inf")), repr(attempt(run, float("nan")))
