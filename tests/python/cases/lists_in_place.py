"""Reversals in place, constant slices, kept methods of builtin objects, truth and length of builtin objects."""

import sys

from differential import compiled


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def flips(numbers):
    count = 0
    k = numbers[0]
    while k:
        numbers[:k + 1] = numbers[k::-1]
        count += 1
        k = numbers[0]
    return count, numbers


@compiled
def case_reverses_the_first_items():
    order = [2, 4, 0, 3, 1]
    found = []
    for i in range(40):
        found.append(flips(order[i % 5:] + order[:i % 5]))
    return found[-5:]


@compiled
def case_other_ends():
    def reverse(numbers, k, stop):
        numbers[:stop] = numbers[k::-1]
        return numbers

    def from_start(numbers, k):
        numbers[1:k + 1] = numbers[k::-1]
        return numbers

    def whole(numbers, k):
        numbers[0:] = numbers[k::-1]
        return numbers

    def of_another(numbers, others, k):
        numbers[:k + 1] = others[k::-1]
        return numbers

    found = [reverse(list("abcdef"), i % 6, i % 6 + 1) for i in range(60)][-6:]
    for k in (-9, -6, -1, 0, 3, 5, 6, 2**62, -2**62, 2**63 - 1, 2**70):
        for stop in (0, 1, 4, 6, -1, None, k + 1):
            found.append(attempt(reverse, list("abcdef"), k, stop))
        found += [attempt(from_start, list("abcdef"), k), attempt(whole, list("abcdef"), k)]
        found.append(attempt(of_another, list("abcdef"), list("uvwxyz"), k))
    found.append(attempt(reverse, [], 0, 1))
    return found


@compiled
def case_ends_that_are_not_the_same_any_more():
    def reverse(numbers, k, stop):
        numbers[:stop] = numbers[k::-1]
        return numbers

    return [reverse(list("abcdef"), i % 6, i % 6 + 1 if i < 40 else i % 4) for i in range(140)][-8:]


@compiled
def case_slice_is_kept():
    def reverse(numbers, k):
        numbers[:k + 1] = part = numbers[k::-1]
        return numbers, part

    def twice(numbers, k):
        part = numbers[k::-1]
        numbers[:k + 1] = part
        return numbers, part

    found = [(reverse(list("abcdef"), i % 6), twice(list("abcdef"), i % 6)) for i in range(60)][-6:]
    return found, [part is numbers for numbers, part in [reverse([1, 2], 1), twice([1, 2], 1)]]


@compiled
def case_the_other_index_does_more():
    def reverse(numbers, k, log):
        numbers[:log.append(k) or k + 1] = numbers[k::-1]
        return numbers, log

    def change(numbers, k):
        numbers[:(numbers.append("x") or k + 1)] = numbers[k::-1]
        return numbers

    def pop(numbers, k):
        numbers[:numbers.pop() + 1] = numbers[k::-1]
        return numbers

    found = [(reverse(list("abcdef"), i % 6, []), change(list("abcdef"), i % 6)) for i in range(60)][-6:]
    return found, [pop([1, 2, 3, i % 3], i % 4) for i in range(40)][-5:]


@compiled
def case_items_live_on():
    class Item:
        def __init__(self, number):
            self.number = number

    def run(k):
        items = [Item(i) for i in range(5)]
        counts = sys.getrefcount(items[0])
        items[:k + 1] = items[k::-1]
        return [item.number for item in items], sys.getrefcount(items[0]) == counts

    return [run(i % 5) for i in range(40)][-5:]


@compiled
def case_reversal_under_a_handler():
    def run(numbers, k):
        try:
            numbers[:k + 1] = numbers[k::-1]
        except TypeError as error:
            return str(error)
        return numbers

    return [run(list("abcd"), k) for k in [1, 2, 3, 0] * 15 + [None, "x", 1.5]][-8:]


@compiled
def case_constant_slices():
    def cut(sequence):
        return (sequence[:], sequence[1:], sequence[:-1], sequence[::-1], sequence[1:4:2], sequence[-2:],
                sequence[::2], sequence[-1:0:-1], sequence[9:], sequence[:0])

    class Own:
        def __getitem__(self, key):
            return key

    class Listed(list):
        def __getitem__(self, key):
            return "own", key

    found = [cut([i, i + 1, i + 2, i + 3]) for i in range(60)][-1:]
    found += [cut(f"{i}bcde") for i in range(60)][-1:]
    others = ["häuser", b"bytes", (1, 2, 3), range(9), Own(), Listed([1, 2]), [1, 2], bytearray(b"ab"), []]
    return repr(found + [cut(others[i % 9]) for i in range(90)][-9:])


@compiled
def case_copies_are_new():
    def copy(numbers):
        other = numbers[:]
        other.append(1)
        return other is numbers, len(numbers), other[:] == other

    return [copy([i]) for i in range(40)][-1]


@compiled
def case_kept_methods():
    def rotate(numbers, rounds):
        insert, pop, append = numbers.insert, numbers.pop, numbers.append
        for i in range(rounds):
            insert(i % 4, pop(0))
            append(pop(i % 3 - 1))
            append(i)
            pop()
        return numbers

    def drains(numbers):
        pop = numbers.pop
        numbers = "other"
        found = []
        try:
            while True:
                found.append(pop())
        except IndexError as error:
            return found, str(error), numbers

    def get(table, keys):
        get = table.get
        table = None
        return [get(key) for key in keys] + [get(key, "no") for key in keys], table

    # So that the classes are known.
    assert list is not dict
    found = [rotate(list(range(6)), 30) for _ in range(20)][-1]
    return (found, [drains([1, 2, i]) for i in range(30)][-1],
            [get(dict(a=1, b=i), ["a", "b", "c"]) for i in range(30)][-1])


@compiled
def case_kept_methods_of_what_dies():
    class Item:
        def __init__(self, log):
            self.log = log

        def __del__(self):
            self.log.append("died")

    def run(log):
        items = list([Item(log)])
        append, pop = items.append, items.pop
        append(1)
        items = None
        append(2)
        log.append(pop())
        pop()
        log.append(append)
        append = log.pop()
        pop()
        log.append("end")
        return log

    return [run([]) for _ in range(30)][-1]


@compiled
def case_kept_methods_of_subclasses():
    class Own(list):
        def append(self, item):
            super().append(("own", item))

    def fill(numbers):
        append = numbers.append
        for i in range(4):
            append(i)
        return list(numbers)

    return [fill(Own() if i % 3 == 0 else list()) for i in range(60)][-3:]


@compiled
def case_truth_of_ints():
    def count(numbers):
        count = 0
        for number in numbers:
            if number:
                count += 1
            k = number
            while k:
                k -= k
                count += 1
        return count

    numbers = [0, 1, -1, 2**29, 2**30, -2**30, 2**31, 2**62, 2**63, -2**63, 2**64, -2**100, 0]
    return [count(numbers) for _ in range(30)][-1], count([True, False, 0.0, -0.0, 1.5])


@compiled
def case_truth_and_length():
    def measure(things):
        found = []
        for thing in things:
            found.append((not thing, len(thing), 1 if thing else 0))
        return found

    class Own(dict):
        def __len__(self):
            return 7

    things = ["", "a", "hä", {}, {1: 2}, set(), {1}, b"", b"ab", bytearray(), bytearray(b"x"), (), (1,), [], [0],
              frozenset(), frozenset("ab"), range(0), range(3)]
    found = [measure([thing] * 3) for thing in things for _ in range(8)][::8]
    grown = {}
    for i in range(50):
        grown[i] = not grown
    for i in range(50):
        del grown[i]
    return found, measure([Own(), Own(a=1)]), not grown


@compiled
def case_contains():
    def search(items, item):
        return item in items, item not in items

    class Equal:
        def __eq__(self, other):
            log.append(other)
            return True

        __hash__ = None

    log = []
    numbers = [0, 1, -1, 300, -300, 2**29, 2**30 - 1, 1 - 2**30, 2**30, 2**64, -2**64]
    found = [search(numbers, item) for item in [*numbers, 2, 301, -2**29, True, 1.0, "1", None, 2**31] for _ in range(4)]
    words = ["a", "b", "häuser", "\U0001f600", "long" * 40]
    found += [search(words, item) for item in ["a", "".join(["hä", "user"]), "long" * 40, "lon", 1, None, "\U0001f600"]]
    mixed = [1, "a", None, 2.5, float("nan"), (1, 2), 2**70, Equal()]
    found += [search(mixed, item) for item in [1, "a", None, 2.5, mixed[4], float("nan"), (1, 2), 2**70, 7, "z"]]
    found += [search((1, 2, "a"), 2), search({1: 2}, 1), search("abc", "b"), search(range(5), 3), search([], 1)]

    class Own(list):
        def __contains__(self, item):
            return "own"

    found.append(search(Own([1]), 5))
    return found, len(log)


@compiled
def case_search_that_changes_the_list():
    class Cuts:
        def __init__(self, items):
            self.items = items

        def __eq__(self, other):
            self.items.clear()
            return False

    def run():
        items = [1, 2]
        items += [Cuts(items), 3]
        return 3 in items, items

    return [run() for _ in range(30)][-1]


@compiled
def case_length_of_what_comes():
    def measure(thing):
        return len(thing)

    class Own:
        def __len__(self):
            return 5

    class Listed(list):
        def __len__(self):
            return 9

    found = [measure([1] * (i % 4)) for i in range(90)][-4:]
    things = [[], (1,), "ab", {1: 2}, {1, 2}, frozenset("abc"), b"abcd", bytearray(5), range(6), Own(), Listed()]
    found += [measure(things[i % 11]) for i in range(99)][-11:]
    return found, attempt(measure, 5), attempt(measure, None)


@compiled
def case_ints_of_three_digits():
    def turn(number, by):
        number = (number ^ by) & 0x7FFFFFFFFFFFFFFF
        return number, number >> 3, number == by, -number

    edges = [2**60, 2**60 - 1, 2**60 + 1, 2**62, 2**63 - 1, 2**61 + 12345, -2**60, -2**62 - 1, 1 - 2**63, 2**59, 2**30]
    found = [turn(number, other) for number in edges for other in edges]
    wide = [2**63, 2**64 - 1, -2**63, -2**63 - 1, 2**64, 2**90, -2**90, 7]
    return found, [turn(number, other) for number in wide for other in wide]
