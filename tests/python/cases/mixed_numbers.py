"""Ints and floats that meet at one operator: arithmetic, comparisons, and ints that no float is equal to."""

from differential import compiled

EXACT = 2**53
SMALL = [0, 1, -3, 2.5, -0.0, 1e300, 7]
ALL = [*SMALL, EXACT, EXACT + 1, float(EXACT), 2**62, 2**70, True, float("nan"), float("inf"), 10**400, "text"]


def add(a, b):
    return a + b


def subtract(a, b):
    return a - b


def multiply(a, b):
    return a * b


def divide(a, b):
    return a / b


def is_less(a, b):
    return a < b


def is_equal(a, b):
    return a == b


def outcome(function, a, b):
    try:
        return repr(function(a, b))[:60]
    except (ArithmeticError, TypeError) as error:
        return f"{type(error).__name__}: {error}"


def outcomes(function):
    for _ in range(12):
        for a in SMALL:
            for b in SMALL:
                outcome(function, a, b)
    return [outcome(function, a, b) for a in ALL for b in ALL]


def case_add():
    return outcomes(add)


def case_subtract():
    return outcomes(subtract)


def case_multiply():
    return outcomes(multiply)


def case_divide():
    return outcomes(divide)


def case_is_less():
    return outcomes(is_less)


def case_is_equal():
    return outcomes(is_equal)


@compiled
def count(limit, values):
    below = equal = above = 0
    for value in values:
        below += limit < value
        equal += limit == value
        above += limit >= value
    return below, equal, above


def case_compare_with_ints():
    for _ in range(100):
        count(0.5, [0, 1, 2, 0, 1])
    seen = [count(float(EXACT), [EXACT, EXACT + 1, EXACT - 1, 2**80])]
    for _ in range(20):
        seen.append(count(EXACT + 1, [float(EXACT), float(EXACT + 2)]))
    return seen
