"""Generator expressions in their consumers: what is computed, what is undone, and what must not be done in line."""

import gc
import math
import sys


class Noisy:
    def __init__(self, log, number):
        self.log = log
        self.number = number

    def __add__(self, other):
        self.log.append(("add", self.number))
        return self.number + other

    def __radd__(self, other):
        return other + self.number

    def __gt__(self, other):
        self.log.append(("gt", self.number))
        return self.number > other

    def __bool__(self):
        self.log.append(("bool", self.number))
        return self.number > 1

    def __hash__(self):
        self.log.append(("hash", self.number))
        return 1

    def __eq__(self, other):
        self.log.append(("eq", self.number))
        return self.number == getattr(other, "number", other)


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    @property
    def norm(self):
        return self.x * self.x + self.y * self.y

    def dot(self, other):
        return self.x * other.x + self.y * other.y


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        depth = 0
        lines = []
        trace = error.__traceback__
        while trace is not None:
            lines.append((trace.tb_frame.f_code.co_name, trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno))
            trace = trace.tb_next
            depth += 1
        return type(error).__name__, str(error), lines


def repeat(function, *rows, times=8):
    results = []
    for _ in range(times):
        for row in rows:
            results.append(outcome(function, *row))
    return results[-len(rows) * 2 :]


def case_collections():
    def tuples(pool, indices):
        return tuple(pool[i] for i in indices)

    def lists(items, factor):
        return list(item * factor for item in items)

    def sets(vector, columns):
        return sorted(set(vector[i] + i for i in columns)), len(set(vector[i] - i for i in columns))

    def frozen(items):
        return sorted(frozenset(item % 3 for item in items))

    return [
        repeat(tuples, ((1, 2, 3), [2, 0, 1]), (["a", "b"], (1, 1, 0)), ("xyz", range(3)), ((), [])),
        repeat(lists, ([1, 2, 3], 4), ((1.5, 2.5), 2), ("ab", 3), ([], 1), ([[1], [2]], 2)),
        repeat(sets, ((4, 5, 6), range(3)), ([0, 0, 0], range(3)), ((1, 2), [])),
        repeat(frozen, (range(10),), ([1, 4, 7],), (set(),)),
    ]


def case_numbers():
    def squares(items):
        return sum(item * item for item in items)

    def truths(items, limit):
        return sum(item > limit for item in items)

    def scaled(items, factor):
        return sum(item * factor for item in items)

    def extremes(items):
        return max(-item for item in items), min(item + 1 for item in items)

    def product(items):
        return math.prod(item + 1 for item in items)

    def exact(items):
        return math.fsum(item / 10 for item in items)

    big = 2**62
    return [
        repeat(squares, ([1, 2, 3],), ([],), ([big, big],), ((1.5, 2),), ([1, 2.5, 3],), ([True, 2],)),
        repeat(truths, ([1, 2, 3], 1), ((1.5, 2.5), 2), ([], 0)),
        repeat(scaled, ([0.1] * 10, 3), ([-0.0], 1), ([1e308, 1e308], 1), ([float("inf"), 1.0], 1)),
        repeat(extremes, ([3, 1, 2],), ([],), ((1.5, -2.5),), ([float("nan"), 1.0],)),
        repeat(product, (range(5),), ([],)),
        repeat(exact, (range(5),), ([1.5],)),
        [math.copysign(1, sum(x for x in (-0.0,))) for _ in range(8)],
    ]


def case_tests():
    def some(items, limit):
        return any(item > limit for item in items)

    def every(items, limit):
        return all(item < limit for item in items)

    def some_item(items):
        return any(item for item in items)

    def every_item(items):
        return all(item for item in items)

    def before_an_error(items):
        return any(10 / item > 4 for item in items)

    return [
        repeat(some, ([1, 2, 3], 2), ([1, 2], 5), ([], 1), ((1.5, 9.5), 2), (["b"], "a")),
        repeat(every, ([1, 2, 3], 2), ([1, 2], 5), ([], 1), (["b"], "c")),
        repeat(some_item, ([0, 0, 1],), ([],), ([None, ""],), (["", "x"],), ([[], [1]],), ([0.0, 2.0],)),
        repeat(every_item, ([1, 1, 0],), ([],), (["x", ""],), ([1.5, 2.5],), ([(), (1,)],)),
        repeat(before_an_error, ([5, 2, 0],), ([5, 0, 2],), ([5, 5],)),
    ]


def case_texts():
    def joined(items, separator):
        return separator.join(item for item in items)

    def ordered(items):
        return sorted(-item for item in items)

    def pairs(items):
        return dict((item, item * 2) for item in items)

    return [
        repeat(joined, (["a", "b"], "-"), ((), "-"), (["a", 1], "-"), ("abc", "")),
        repeat(ordered, ([3, 1, 2],), ([],), ((1.5, 0.5),)),
        repeat(pairs, ([3, 1, 2],), ([],), ("ab",)),
    ]


def case_conditions_and_loops():
    def filtered(items, limit):
        return sum(item for item in items if item > limit)

    def flat(rows):
        return tuple(item + 1 for row in rows for item in row)

    def nested(rows):
        return sum(sum(item for item in row) for row in rows)

    def over_an_expression(items):
        return sum(item for item in set(item % 4 for item in items))

    def chosen(first, second, flag):
        return list(item for item in (first if flag else second))

    def compared(count, vector, columns):
        return (
            count
            == len(set(vector[i] + i for i in columns))
            == len(set(vector[i] - i for i in columns))
        )

    return [
        repeat(filtered, ([1, 5, 3], 2), ([], 0), ([1.5, 0.5], 1)),
        repeat(flat, ([[1, 2], [3]],), ([],), ([[]],), (((1,), [2.5]),)),
        repeat(nested, ([[1, 2], [3]],), ([],), ([[1.5], [2]],)),
        repeat(over_an_expression, (range(10),), ([],)),
        repeat(chosen, ([1], [2], True), ([1], (2,), False)),
        repeat(compared, (3, (0, 2, 1), range(3)), (3, (1, 1, 1), range(3))),
    ]


def case_walks():
    def numbered(items):
        return sum(i * item for i, item in enumerate(items))

    def dot(left, right):
        return sum(a * b for a, b in zip(left, right))

    def keys(mapping):
        return tuple(key for key in mapping)

    def values(mapping):
        return sum(value for value in mapping.values())

    def items(mapping):
        return sorted(key + value for key, value in mapping.items())

    def backwards(items):
        return tuple(item for item in reversed(items))

    def stepped(stop):
        return tuple(i for i in range(stop, 0, -2))

    def rest(iterator):
        next(iterator)
        return list(item + 1 for item in iterator), list(iterator)

    return [
        repeat(numbered, ([3, 4, 5],), ((),), ("ab",)),
        repeat(dot, ([1, 2], [3, 4]), ((1.5,), (2.0, 3)), ([], [1])),
        repeat(keys, ({1: 2, 3: 4},), ({},)),
        repeat(values, ({1: 2, 3: 4},), ({},), ({"a": 1.5},)),
        repeat(items, ({1: 2, 3: 4},), ({},), ({"a": "b"},)),
        repeat(backwards, ([1, 2],), ((1, 2),), ("ab",)),
        repeat(stepped, (5,), (0,), (2**70,)[:0] or (4,)),
        [outcome(rest, iter(items)) for _ in range(8) for items in ([1, 2, 3], (1, 2), range(4), "a")],
    ]


def case_objects():
    points = [Point(i, i + 1) for i in range(4)]
    mixed = [Point(1.5, 2), Point(2, 3)]

    def xs(points):
        return sum(point.x for point in points)

    def norms(points):
        return max(point.norm for point in points)

    def dots(points, other):
        return sum(point.dot(other) for point in points)

    def of_kind(points):
        return all(isinstance(point, Point) for point in points)

    def made(points):
        return tuple(Point(point.y, point.x) for point in points)

    return [
        repeat(xs, (points,), (mixed,), ([],), ([1],)),
        repeat(norms, (points,), (mixed,)),
        repeat(dots, (points, points[1]), (mixed, points[2])),
        repeat(of_kind, (points,), ([1],)),
        [[(point.x, point.y) for point in made(points)] for _ in range(8)],
    ]


def case_effects_happen_once():
    log = []

    def logged(items):
        return sum(log.append(item) or item for item in items)

    def noisy(items):
        return sum(item + 1 for item in items)

    def greater(items):
        return any(item > 2 for item in items)

    def true_ones(items):
        return any(item for item in items)

    def hashed(items):
        return len(set(item for item in items))

    for _ in range(8):
        log.append(logged([1, 2, 3]))
        items = [Noisy(log, 1), Noisy(log, 2), Noisy(log, 3)]
        log.append(noisy(items))
        log.append(greater(items))
        log.append(true_ones(items))
        log.append(hashed(items))
        log.append(noisy([1, 2, items[0]]))
    return log


def case_stores_happen_once():
    counter = 0
    seen = {}

    def count(items):
        nonlocal counter

        def step(item):
            nonlocal counter
            counter += 1
            return item

        return sum(step(item) for item in items)

    def walrus(items):
        total = 0
        partial = [total := total + item for item in items]
        return total, partial, sum((last := item) for item in items), last

    def stored(items):
        return sum(seen.setdefault(item, len(seen)) for item in items)

    return [[count([1, 2, 3]), counter, outcome(walrus, [1, 2, 3]), outcome(walrus, []), stored([1, 2])] for _ in range(8)]


def case_errors_in_the_middle():
    def indexed(pool, indices):
        return tuple(pool[i] for i in indices)

    def divided(items, by):
        return sum(item // by for item in items)

    def caught(pool, indices):
        try:
            return sum(pool[i] for i in indices)
        except IndexError:
            return "caught"

    def unbound(items):
        if items:
            value = 1
        return sum(item + value for item in items or [2])

    def looked_up(mapping, keys):
        return list(mapping[key] for key in keys)

    return [
        repeat(indexed, ((1, 2), [0, 1]), ((1, 2), [0, 1, 2]), ((1, 2), [0, "a"]), (None, [0])),
        repeat(divided, ([4, 6], 2), ([4, 6], 0), ([2**70], 3), (["a"], 2)),
        repeat(caught, ((1, 2), [0, 1]), ((1, 2), [0, 5])),
        repeat(unbound, ([1],), ([],)),
        repeat(looked_up, ({1: 2}, [1, 1]), ({1: 2}, [1, 3]), ({1: 2}, [[]])),
    ]


def case_frames_and_generators_are_seen():
    def names(items):
        return list(sys._getframe().f_code.co_name for _ in items)

    def depth(items):
        return sum(len(sys._getframe().f_back.f_code.co_name) for _ in items)

    def local_names(items, other):
        return list(sorted(locals()) for item in items if other)

    def kept(items):
        generator = (item + 1 for item in items)
        return next(generator, None), sum(generator), list(generator)

    return [repeat(names, ([1, 2],)), repeat(depth, ([1],)), repeat(local_names, ([1], 2)), repeat(kept, ([1, 2, 3],), ([],))]


def case_world_changes():
    results = []
    values = [1, 2, 3]
    namespace = {}
    exec(
        "def total(items):\n    return sum(item + offset for item in items)\n"
        "def some(items):\n    return any(item > offset for item in items)\n",
        namespace,
    )
    for step in range(24):
        namespace["offset"] = step if step < 16 else step + 0.5
        if step == 8:
            namespace["sum"] = max
        if step == 12:
            del namespace["sum"]
        if step == 14:
            namespace["any"] = list
        if step == 18:
            del namespace["any"]
        results.append((namespace["total"](values), namespace["some"](values)))
    return results


def case_cells_change():
    def scaled(items):
        factor = 1
        results = []
        for step in range(12):
            results.append(sum(item * factor for item in items))
            factor = factor + 1 if step != 9 else 0.5
        return results

    class Table:
        width = 3
        cells = tuple(column for column in range(3))

        def row(self, number):
            return tuple(self.width * number + column for column in self.cells)

    return [scaled([1, 2, 3]), scaled([]), [Table().row(i) for i in range(8)]]


def case_inside_a_generator():
    def permutations(items, length):
        pool = tuple(items)
        count = len(pool)
        indices = list(range(count))
        yield tuple(pool[i] for i in indices[:length])
        for shift in range(count):
            indices = indices[1:] + indices[:1]
            yield tuple(pool[i] for i in indices[:length])

    def safe(count):
        columns = range(count)
        for vector in permutations(columns, count):
            if count == len(set(vector[i] + i for i in columns)):
                yield vector

    return [(list(permutations("abc", 2)), list(safe(5)), list(safe(4))) for _ in range(8)]


def case_nothing_leaks():
    def collected(pool, indices):
        return len(tuple(pool[i] for i in indices)), len(set(i + 1 for i in indices)), sum(i for i in indices)

    item = object()
    pool = [item, item, item]
    indices = [0, 1, 2]
    results = []
    for step in range(12):
        before = sys.getrefcount(item), sys.getrefcount(indices), sys.getrefcount(pool)
        collected(pool, indices)
        outcome(collected, pool, [0, 1, 7])
        outcome(collected, pool, [0, 1.5])
        outcome(collected, pool, [0, Noisy([], 1)])
        after = sys.getrefcount(item), sys.getrefcount(indices), sys.getrefcount(pool)
        results.append([b - a for a, b in zip(before, after)])
    gc.collect()
    return results


def case_operators_on_what_turns_up():
    def inside(items, container):
        return sum(1 for item in items if item in container), all(item not in container for item in items)

    def picked(keys, container):
        return tuple(container[key] for key in keys)

    def negated(items):
        return max(-item for item in items), sorted(~item for item in items if item is not None)

    def combined(left, right):
        return list(a + b for a in left for b in right), list(a % b for a in left for b in right)

    def ordered(items, limit):
        return list(item < limit for item in items), any(item == limit for item in items)

    def flags(items):
        return any(item.flag for item in items), all(item.flag for item in items)

    class Flagged:
        def __init__(self, flag):
            self.flag = flag

    log = []
    noisy = Noisy(log, 1)
    tables = {"a": 1, 2: "b", (1, 2): 3, None: 4}
    return [
        repeat(inside, ([1, 2], [2, 3]), (["a"], "abc"), ([2, "a"], tables), ([(1, 2)], [(1, 2), (3,)]), ([1], {1, 2}),
               ([1.0], [1]), ([1], [noisy]), ([noisy], [1]), (["a"], 5), ([[1]], tables)),
        repeat(picked, ([0, -1], [1, 2]), (["a", 2], tables), ([(1, 2)], tables), ([1], "abc"), ([7], [1]), ([None], tables)),
        repeat(negated, ([1, 2],), ([True],), ([2**70],), ([1.5],), (["a"],), ([noisy],)),
        repeat(combined, ([1, 2], [3]), (["a"], ["b"]), ([1.5], [2]), ([2**70], [2**69]), ([[1]], [[2]]), ([7], [0]),
               (["%s"], [noisy]), ([(1,)], [(2,)]), ([noisy], [1])),
        repeat(ordered, ([1, 2], 2), (["a"], "b"), ([1.5], 2), ([(1, 2)], (1, 3)), ([None], 1), ([noisy], 1), ([[1]], [1])),
        repeat(flags, ([Flagged(True), Flagged(False)],), ([Flagged([]), Flagged("a")],), ([Flagged(noisy)],), ([Flagged(Flagged(1))],)),
        log,
    ]


def case_float_sums():
    def scaled(items, factor):
        return sum(item * factor for item in items)

    def filtered(items, limit):
        return sum(item for item in items if item > limit)

    inf, nan = float("inf"), float("nan")
    rows = [
        ([0.1] * 10, 1.0), ([1e100, 1.0, -1e100], 1.0), ([1e308, 1e308, -1e308], 1.0), ([inf, 1.0], 1.0), ([1.0, -inf, inf], 1.0),
        ([nan, 1.0], 1.0), ([], 1.0), ([-0.0], 1.0), ([-0.0, -0.0], 1.0), ([1e-320, 1e-320], 0.5), ([0.1, 0.2, 0.3, 1e16, -1e16], 3.0),
        ([1, 2], 0.5), ([0.5, 1], 2), ([2**70, 0.5], 2), ([True, 0.5], 1.0),
    ]
    limits = [([0.1] * 7, 0.0), ([0.1] * 7, 1.0), ([-1.5, 2.5, 0.1], 0.0), ([], 0.0), ([1, 2.5], 0), ([nan, 1.0], 0.0)]
    return [[repr(row) for row in repeat(scaled, *rows)], [repr(row) for row in repeat(filtered, *limits)]]


def case_calls_of_builtins():
    class Odd(int):
        def __abs__(self):
            log.append("abs")
            return 7

    log = []

    def sizes(items):
        return sum(abs(item) for item in items), max(len(str(item)) for item in items)

    def texts(items):
        return list(item.upper() + item.strip("a").lower() for item in items), any(item.startswith("b") for item in items)

    def numbers(items):
        return tuple(int(item) for item in items), sum(float(item) for item in items)

    def codes(text):
        return [sum(ord(c) for c in text), "".join(chr(ord(c) + 1) for c in text)]

    def pairs(mapping):
        return sorted(key for key, value in mapping.items() if value), sum(value for value in mapping.values()), sorted(mapping.keys())

    def walked(first, second):
        return (
            sum(i * a for i, a in enumerate(first)), list(a + b for a, b in zip(first, second)), tuple(a for a in reversed(first)),
            sum(1 for a in set(first) if a in second), sorted(a for a in frozenset(second)),
        )

    def ranged(start, stop):
        return sum(i for i in range(start, stop)), tuple(i for i in reversed(range(stop))), list(i for i in range(stop, start, -1))

    return [
        repeat(sizes, ([1, -2],), ([1.5, -2],), ([-(2**70)],), ([Odd(3)],), (["a"],), ([],), ([True, 2],)),
        repeat(texts, (["ab", "ba"],), ([],), (["a", 1],), ([b"x"],)),
        repeat(numbers, (["1", "2"],), ([1.5, 2],), (["x"],), ([None],), ([2**70],)),
        repeat(codes, ("abc",), ("",), ("\U0001f600",), (["a", "bc"],)),
        repeat(pairs, ({1: 2, 3: 0},), ({},), ({"a": 1.5},), ({"a": "b"},)),
        repeat(walked, ([1, 2], [2, 3]), ((1.5, 2), (2, 3)), ([], []), ("ab", "bc"), ([1, 2], 3)),
        repeat(ranged, (0, 5), (3, 1), (-2, 2), (2**62, 2**62 + 2)[:0] or (1, 1), (0, 2.5), (0, "a"), (True, 4)),
        log,
    ]


def case_containers_change_between():
    values = [1, 2, 3]
    mapping = {"a": 1}
    results = []

    def summed():
        return sum(value for value in values), sum(value for value in mapping.values()), any(value > 4 for value in values)

    for step in range(16):
        if step == 6:
            values.append("x" if step % 4 == 0 else 2.5)
        if step == 9:
            values[:] = [5, 6]
            mapping["b"] = 2.5
        if step == 12:
            mapping.clear()
            values = range(3)
        results.append(outcome(summed))
    return results
