"""Sequences of plain numbers: ``bytes``, ``bytearray`` and ``array.array`` of every format, subscripted and set."""

from array import array

from differential import compiled


class Named(array):
    def __getitem__(self, index):
        return "named", index


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except (IndexError, OverflowError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"


def total(sequence, rounds):
    found = 0
    for _ in range(rounds):
        for i in range(len(sequence)):
            found += sequence[i] - sequence[-1 - i] * 2
    return found


def fill(sequence, rounds):
    for _ in range(rounds):
        for i in range(len(sequence)):
            sequence[i] = (sequence[i] * 3 + i) % 100
    return list(sequence)


def put(sequence, index, value):
    sequence[index] = value
    return sequence[index]


@compiled
def case_read_every_format():
    values = range(3, 90, 7)
    found = [total(bytes(values), 20), total(bytearray(values), 20)]
    for code in "bBhHiIlLqQfd":
        found.append((code, total(array(code, values), 20)))
    return found


@compiled
def case_set_every_format():
    found = [fill(bytearray(range(13)), 20)]
    for code in "bBhHiIlLqQfd":
        found.append((code, fill(array(code, range(13)), 20)))
    return found


@compiled
def case_one_loop_many_formats():
    sequences = [bytes(range(9)), array("d", [0.5, 1.5]), bytearray(range(5)), array("i", [-7, 8]), [1, 2], (3, 4),
                 Named("b", []), array("f", [0.1])]
    return [total(sequences[i % len(sequences)], 3) for i in range(120)][-16:]


@compiled
def case_limits():
    limits = {"b": (-128, 127), "B": (0, 255), "h": (-2**15, 2**15 - 1), "H": (0, 2**16 - 1), "i": (-2**31, 2**31 - 1),
              "I": (0, 2**32 - 1), "l": (-2**63, 2**63 - 1), "q": (-2**63, 2**63 - 1), "Q": (0, 2**64 - 1)}
    found = []
    for code, (lowest, highest) in limits.items():
        numbers = array(code, [1, 2, 3])
        for _ in range(30):
            put(numbers, 1, 5)
        for value in (lowest, highest, lowest - 1, highest + 1, 1.0, "x", True):
            found.append((code, attempt(put, numbers, 1, value)))
        found += [attempt(put, numbers, index, 1) for index in (-3, 2, -4, 3, 2**70, "i", None)]
    data = bytearray(b"abc")
    found += [attempt(put, data, 1, value) for value in (0, 255, -1, 256, 2**70, 1.5, None, True)]
    found += [attempt(put, b"abc", 1, 5)]
    return found


@compiled
def case_floats_from_ints_and_others():
    class Index:
        def __index__(self):
            return 4

    class Float:
        def __float__(self):
            return 2.5

    numbers = array("d", [0.0] * 3)
    for i in range(60):
        put(numbers, i % 3, float(i) if i % 2 else i)
    values = (1, 2.5, True, 2**53 + 1, -2**62 - 1, 2**70, float("nan"), -0.0, Index(), Float(), "x", None)
    return repr([attempt(put, numbers, 2, value) for value in values])


@compiled
def case_resized_while_running():
    def run(numbers, n):
        found = 0
        for i in range(n):
            try:
                found += numbers[i % 12]
            except IndexError:
                found += 1000
            if i % 50 == 0:
                numbers.append(i % 100)
            if i % 120 == 0:
                del numbers[0]
        return found

    return run(bytearray(range(10)), 600), run(array("B", range(10)), 600), run(array("d", range(10)), 600)
