"""Loops over iterators that keep their positions: enumerate, zip, reversed, dicts and their views, str."""

import sys

from differential import compiled


@compiled
def case_enumerate():
    seen = []
    for items in ([1, 2.5, "a"], (3, 4), range(4), "xyz", [], {5: 6}, {7}, iter([8, 9]), (n * n for n in range(3))):
        for index, item in enumerate(items):
            seen.append((index, item))
    return seen


def numbered(items, start=0):
    total = 0
    for index, item in enumerate(items, start):
        total += index * item
    return total


@compiled
def case_enumerate_numbers():
    return [numbered(list(range(50))), numbered([1.5] * 40, 7), numbered([3, 4], start=10**20), numbered([2**70, 1])]


def first_pairs(items, start):
    pairs = []
    for pair in enumerate(items, start):
        pairs.append(pair)
        if len(pairs) == 3:
            break
    return pairs


@compiled
def case_enumerate_keeps_its_tuples():
    return [first_pairs(list("abcde"), start) for start in (0, 5, sys.maxsize - 1, sys.maxsize)]


def count_over_the_end(items):
    return [(index, item) for index, item in enumerate(items, sys.maxsize - 2)]


@compiled
def case_enumerate_counts_in_objects():
    return [count_over_the_end([1, 2, 3, 4, 5]) for _ in range(30)][-1]


def dot(a, b):
    total = 0
    for x, y in zip(a, b):
        total += x * y
    return total


@compiled
def case_zip():
    return [
        dot([1, 2, 3], [4, 5, 6]),
        dot((1.5, 2.5), (2.0, 4.0)),
        dot([1, 2, 3, 4], [1, 2]),
        dot([1, 2], [1, 2, 3, 4]),
        dot(range(5), [5, 4, 3, 2, 1]),
        dot(range(5), range(10, 0, -2)),
        dot([], [1]),
        dot((n for n in range(4)), [1, 2, 3]),
        dot({1: 2, 3: 4}, [5, 6]),
    ]


def zip_by_classes(a, b):
    return [(x, y) for x, y in zip(a, b)]


@compiled
def case_zip_of_different_iterators():
    pairs = []
    for _ in range(40):
        pairs = [zip_by_classes(range(3), [1, 2, 3]), zip_by_classes([1, 2], (3, 4)), zip_by_classes("ab", "cd")]
    return pairs


def rests(a, b):
    first, second = iter(a), iter(b)
    for _ in zip(first, second):
        pass
    return list(first), list(second)


@compiled
def case_zip_takes_what_it_must():
    return [rests([1, 2, 3], [1]), rests([1], [1, 2, 3]), rests((1, 2), (1, 2)), rests(range(5), range(2))]


def chunks(items):
    iterator = iter(items)
    return [(a, b) for a, b in zip(iterator, iterator)]


@compiled
def case_zip_of_one_iterator_twice():
    return [chunks(list(range(9))), chunks(tuple(range(6))), chunks(range(5)), chunks([])]


def strictly(a, b):
    seen = []
    try:
        for x, y in zip(a, b, strict=True):
            seen.append(x + y)
    except ValueError as error:
        seen.append(str(error))
    return seen


@compiled
def case_strict_zip():
    return [strictly([1, 2], [3, 4]), strictly([1, 2], [3]), strictly([1], [3, 4]), strictly(range(2), (1, 2))]


@compiled
def case_zip_of_more():
    seen = []
    for a, b, c in zip([1, 2, 3], (4, 5, 6), range(7, 10)):
        seen.append(a * b + c)
    for (a,) in zip([1, 2]):
        seen.append(a)
    return seen


def unpack_wrong(a, b, c):
    for x, y in zip(a, b, c):
        return x, y


@compiled
def case_zip_of_wrong_length():
    errors = []
    for _ in range(3):
        try:
            unpack_wrong([1], [2], [3])
        except ValueError as error:
            errors.append((str(error), error.__traceback__.tb_next.tb_lineno))
    return errors


@compiled
def case_reversed():
    seen = []
    for items in ([1, 2, 3], (4, 5), range(3), "ab", {1: 2, 3: 4}, []):
        for item in reversed(items):
            seen.append(item)
    return seen


def shrink_while_reversed(items):
    seen = []
    for item in reversed(items):
        seen.append(item)
        if item == 3:
            del items[1:]
    return seen, items


@compiled
def case_reversed_list_that_shrinks():
    return shrink_while_reversed([0, 1, 2, 3, 4])


def grow(items):
    for index, item in enumerate(items):
        if index < 5:
            items.append(item + 1)
    return items


@compiled
def case_list_that_grows():
    return grow([1])


def sums(mapping):
    keys, values, pairs = 0, 0, 0
    for key in mapping:
        keys += key
    for key in mapping.keys():
        keys += key
    for value in mapping.values():
        values += value
    for key, value in mapping.items():
        pairs += key * value
    return keys, values, pairs


@compiled
def case_dicts():
    mapping = {n: n * n for n in range(20)}
    del mapping[3], mapping[0], mapping[19]
    floats = {n: n / 4 for n in range(5)}
    return [sums(mapping), sums({}), sums(floats), sums({2**80: 1.5})]


class Plain:
    def __init__(self, a, b):
        self.a = a
        self.b = b


@compiled
def case_dicts_of_instances():
    seen = []
    for thing in (Plain(1, 2), Plain("x", None)):
        thing.c = 3
        del thing.a
        for name, value in thing.__dict__.items():
            seen.append((name, value))
        for name in vars(thing):
            seen.append(name)
    return seen


class Sub(dict):
    pass


class Backwards(dict):
    def items(self):
        return reversed(list(super().items()))


def items_of(mapping):
    seen = []
    for key, value in mapping.items():
        seen.append((key, value))
    return seen


@compiled
def case_items_of_subclasses():
    return [items_of(Sub(a=1, b=2)), items_of(Backwards(a=1, b=2)), items_of({"x": 1}), [*map(items_of, [{}, Sub()])]]


def change(mapping, how):
    seen = []
    try:
        for key, value in mapping.items():
            seen.append(key)
            if key == 2:
                how(mapping)
    except RuntimeError as error:
        seen.append((str(error), error.__traceback__.tb_lineno))
    return seen


def swap_key(mapping):
    del mapping[1]
    mapping[100] = 1


@compiled
def case_dicts_that_change():
    changes = [dict.clear, lambda d: d.update({50: 1}), swap_key, lambda d: d.pop(1), lambda d: d.update({3: 9})]
    return [change({n: n for n in range(4)}, how) for how in changes for _ in range(3)]


def values_then(mapping):
    iterator = iter(mapping.values())
    seen = []
    for value in iterator:
        seen.append(value)
        if value == 1:
            seen.append(next(iterator))
    seen.append(next(iterator, "over"))
    mapping[9] = 9
    seen.append(next(iterator, "over"))
    return seen


@compiled
def case_iterators_that_are_shared():
    return values_then({1: 0, 2: 1, 3: 2, 4: 3})


def shared_list(items):
    iterator = iter(items)
    seen = []
    for item in iterator:
        seen.append(item)
        if item % 3 == 0:
            seen.append(next(iterator, None))
    items.append(1)
    seen.append(next(iterator, "over"))
    return seen


@compiled
def case_list_iterators_that_are_shared():
    return [shared_list(list(range(10))) for _ in range(30)][-1]


def shared_range(n):
    iterator = iter(range(n))
    seen = []
    for item in iterator:
        seen.append(item)
        if item % 3 == 0:
            seen.append(next(iterator, None))
    seen.append(next(iterator, "over"))
    return seen


@compiled
def case_range_iterators_that_are_shared():
    return [shared_range(10) for _ in range(30)][-1]


def letters(text):
    counts = {}
    for letter in text:
        counts[letter] = counts.get(letter, 0) + 1
    return counts


@compiled
def case_strings():
    return [letters("hello world"), letters(""), letters("\xe4\xf6\xfc"), letters("a\u4e00b"), letters("\x00\x7f")]


def octets(data):
    total = 0
    for octet in data:
        total += octet
    return total


@compiled
def case_bytes():
    return [octets(b"abc"), octets(bytearray(b"abc")), octets(b""), octets(memoryview(b"xyz"))]


class Loud:
    def __init__(self, name, log):
        self.name = name
        self.log = log

    def __del__(self):
        self.log.append(self.name)


def deaths(log, make):
    for index, item in enumerate(make()):
        log.append((index, item.name))
    log.append("behind")
    del item
    for first, second in zip(make(), make()):
        log.append((first.name, second.name))
    log.append("behind")
    del first, second
    for key, value in {Loud("key", log): Loud("value", log)}.items():
        log.append((key.name, value.name))
    log.append("end")


@compiled
def case_deaths():
    log = []
    deaths(log, lambda: [Loud(n, log) for n in range(3)])
    return log


class Failing:
    def __init__(self, items):
        self.items = iter(items)

    def __iter__(self):
        return self

    def __next__(self):
        item = next(self.items)
        if item is None:
            raise LookupError("an item is missing")
        return item


def until_it_fails(items):
    seen = []
    try:
        for index, item in enumerate(Failing(items)):
            seen.append((index, item))
    except LookupError as error:
        seen.append(str(error))
    try:
        for a, b in zip(items, Failing(items)):
            seen.append((a, b))
    except LookupError as error:
        seen.append(str(error))
    return seen


@compiled
def case_iterators_that_raise():
    return [until_it_fails([1, 2, None, 3]), until_it_fails([1, 2])]


def collect(names, sizes, table):
    return (
        [index * size for index, size in enumerate(sizes)],
        {name: size for name, size in zip(names, sizes)},
        {size for name, size in table.items() if name != "b"},
        sum(size for _, size in table.items()),
        max(index + size for index, size in enumerate(sizes)),
        sorted((size, name) for name, size in zip(names, sizes)),
        [letter for name in table for letter in reversed(list(name))],
    )


@compiled
def case_comprehensions():
    return collect(["a", "bc", "d"], [3, 1, 2], {"a": 1, "b": 2, "cd": 4})


def generate(table, items):
    for index, item in enumerate(items):
        for key, value in table.items():
            yield index, item, key, value
        for a, b in zip(items, table):
            yield a, b
        for item in reversed(items):
            yield item


@compiled
def case_generators():
    return list(generate({1: 2, 3: 4}, [5, 6, 7]))


def nested(rows):
    total = 0
    for y, row in enumerate(rows):
        for x, cell in enumerate(row):
            if cell < 0:
                break
            total += (x + 1) * (y + 1) * cell
        else:
            total += 1000
    return total


@compiled
def case_nested_enumerates():
    return nested([[1, 2, 3], [4, -1, 5], [], [6]])


def look_around(items):
    seen = []
    for index, item in enumerate(items):
        if index == 2:
            seen.append(sorted(sys._getframe().f_locals))
        seen.append(locals()["index"])
    return seen


@compiled
def case_locals_in_the_loop():
    return look_around(list("abcd"))


def long_loop(n):
    # Long enough to be entered while it runs.
    table = {k: k + 1 for k in range(n)}
    items = list(table)
    total = 0
    for index, item in enumerate(items):
        total += index ^ item
    for key, value in table.items():
        total += key & value
    for a, b in zip(items, reversed(items)):
        total += a * b
    for letter in "abc" * n:
        total += letter == "b"
    return total


@compiled
def case_long_loops():
    return long_loop(300)
