"""Loops over `range(...)`: bounds of all kinds, steps, what is no int, a range of one's own."""

from differential import compiled


@compiled
def loops(a, b, c):
    seen = []
    for i in range(a):
        seen.append(i)
    for i in range(a, b):
        seen.append(i)
    for i in range(a, b, 3):
        seen.append(i)
    for i in range(b, a, -2):
        seen.append(i)
    for i in range(a, b, c):
        seen.append(i)
    return seen, [i * 2 for i in range(b)], list(i for i in range(a, b))


def outcome(function, *arguments):
    try:
        return function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def case_bounds():
    seen = [outcome(loops, k % 7, k % 11, k % 3 + 1) for k in range(40)]
    rare = [(1.5, 2, 3), (True, 4, 1), (1, 2, 0), (-(2**70), -(2**70) + 1, 5), (2, -3, -1), ("a", 1, 1), (3, None, 1)]
    return seen, [outcome(loops, *arguments) for arguments in rare * 8]


@compiled
def large(a, b):
    count = 0
    for i in range(a, b, 2**31 - 1):
        count += 1
        last = i
    return count, last


def case_large_bounds():
    seen = [large(0, 10) for _ in range(30)]
    for a, b in [(2**61 - 5, 2**61 - 1), (-(2**61) + 1, -(2**61) + 2**40), (2**63 - 3, 2**63 + 3), (2**62, 2**62 + 9)]:
        seen.append(large(a, b))
    return seen


class Limit:
    def __index__(self):
        return 3


@compiled
def conditional(flag, limit):
    total = 0
    for i in range(limit) if flag else range(limit, 2, -1):
        total += i
        if total > 50:
            break
    else:
        total = -total
    return total


def case_one_loop_two_ranges():
    return [conditional(k % 3, k % 13) for k in range(60)] + [conditional(1, Limit()) for _ in range(20)]


@compiled
def total(n):
    result = 0
    for i in range(n):
        result += i
    return result


def case_range_is_replaced():
    seen = [total(5) for _ in range(30)]
    globals()["range"] = lambda n: [n, n]
    try:
        seen.append(total(5))
    finally:
        del globals()["range"]
    return seen, total(4)


@compiled
def exits_in_the_middle(values):
    seen = []
    for i in range(1, len(values)):
        seen.append(values[i] + values[i - 1])
    return seen


def case_exits_in_the_middle():
    for _ in range(30):
        exits_in_the_middle([1, 2, 3, 4])
    return [exits_in_the_middle(values) for values in ([1, 2, 2.5, 3, 4], [1, 2, "a", "b"][2:], [[1], [2], [3]])]


@compiled
def backwards(a, b, c):
    seen = []
    for i in reversed(range(a)):
        seen.append(i)
    for i in reversed(range(a, b)):
        seen.append(i)
        if i == 5:
            seen.append("five")
            break
    for i in reversed(range(b, a, -3)):
        seen.append(i)
    for i in reversed(range(a, b, 4)):
        seen.append(i)
    for i in reversed(range(a, b, c)):
        seen.append(i)
    return seen, [i for i in reversed(range(b))], tuple(i + 1 for i in reversed(range(a, b, 2)))


def case_backwards():
    seen = [outcome(backwards, k % 7, k % 11, k % 3 + 1) for k in range(40)]
    rare = [(1.5, 2, 3), (True, 4, 1), (1, 2, 0), (-(2**61), -(2**61) + 2, 1), (-(2**70), -(2**70) + 1, 5), (2, -3, -1), ("a", 1, 1)]
    return seen, [outcome(backwards, *arguments) for arguments in rare * 8]
