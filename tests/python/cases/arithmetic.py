"""Operators on numbers: kinds, mixtures, signs, overflow, division, shifts, comparisons."""

import operator

from differential import compiled

INTS = [0, 1, -1, 2, -2, 3, -3, 7, -7, 10, 63, 64, 255, -256, 257, 1023, 2**29, -(2**29), 2**30 - 1, 2**30, -(2**30), 2**31,
        2**31 - 1, -(2**31), 2**32, 2**59, 2**60 - 1, 2**60, -(2**60), 2**61, 2**62, -(2**62), 2**63 - 1, 2**63, -(2**63),
        -(2**63) - 1, 2**64, 2**64 - 1, 3**50, -(3**50)]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 1e-300, 1e300, -1e300, 5e-324, float("inf"), float("-inf"),
          float("nan"), 3.0, 1e16, 2.0**53, 2.0**63]
BOOLS = [True, False]
SMALL = [-70, -65, -64, -63, -3, -1, 0, 1, 2, 5, 30, 31, 32, 59, 60, 61, 62, 63, 64, 65, 100]


def attempt(function, *arguments):
    try:
        result = function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return f"{type(result).__name__} {result!r}"


def add(a, b):
    return a + b


def sub(a, b):
    return a - b


def mul(a, b):
    return a * b


def truediv(a, b):
    return a / b


def floordiv(a, b):
    return a // b


def mod(a, b):
    return a % b


def divmods(a, b):
    return divmod(a, b)


def power(a, b):
    return a**b


def lshift(a, b):
    return a << b


def rshift(a, b):
    return a >> b


def bit_and(a, b):
    return a & b


def bit_or(a, b):
    return a | b


def bit_xor(a, b):
    return a ^ b


def matmul(a, b):
    return a @ b


def lt(a, b):
    return a < b


def le(a, b):
    return a <= b


def eq(a, b):
    return a == b


def ne(a, b):
    return a != b


def gt(a, b):
    return a > b


def ge(a, b):
    return a >= b


def branch(a, b):
    found = []
    if a < b:
        found.append("lt")
    if a <= b:
        found.append("le")
    if a == b:
        found.append("eq")
    if a != b:
        found.append("ne")
    if a > b:
        found.append("gt")
    if a >= b:
        found.append("ge")
    if not a:
        found.append("not")
    if a and b:
        found.append("and")
    return " ".join(found)


def neg(a):
    return -a


def pos(a):
    return +a


def invert(a):
    return ~a


def negate(a):
    return not a


def table(function, left, right):
    return [attempt(function, a, b) for a in left for b in right]


def over_all(function):
    for left in (INTS, FLOATS, BOOLS, ["x", None, (1,)]):
        for right in (INTS, FLOATS, BOOLS, ["y", None, [2]]):
            print(table(function, left, right))


@compiled
def case_add():
    over_all(add)
    compiled(add)


def case_sub():
    over_all(sub)


def case_mul():
    for left in (INTS, FLOATS, BOOLS):
        for right in (INTS, FLOATS, BOOLS, [None]):
            print(table(mul, left, right))
    print(table(mul, ["x", (1,), [2], 3, -1, True], ["y", (1,), [2], 3, -1, True]))


def case_truediv():
    over_all(truediv)
    compiled(truediv)


def case_floordiv():
    over_all(floordiv)
    compiled(floordiv)


def case_mod():
    over_all(mod)


def case_divmod():
    over_all(divmods)


def case_power():
    print(table(power, INTS[:20], [0, 1, 2, 3, 5, -1, -2, 0.5, -0.5, True]))
    print(table(power, FLOATS, [0, 1, 2, 3, 0.5, -0.5, True, -1]))


def case_shifts():
    print(table(lshift, INTS, SMALL))
    print(table(rshift, INTS, SMALL))
    print(table(lshift, BOOLS + [1.0, "x"], SMALL))
    print(table(rshift, BOOLS + [1.0, "x"], SMALL))


def case_bits():
    for function in (bit_and, bit_or, bit_xor):
        over_all(function)


def case_matmul():
    over_all(matmul)


def case_comparisons():
    for function in (lt, le, eq, ne, gt, ge):
        over_all(function)
        compiled(function)


def case_branches():
    for left in (INTS, FLOATS, BOOLS):
        for right in (INTS, FLOATS, BOOLS):
            print([branch(a, b) for a in left for b in right])


def case_unary():
    for function in (neg, pos, invert, negate):
        for values in (INTS, FLOATS, BOOLS, ["x", None, [], [1], (), {}]):
            print([attempt(function, value) for value in values])


@compiled
def case_sum_overflows_small():
    total = 0
    for i in range(200):
        total += i * 12345678901
    return total


@compiled
def case_sum_overflows_word():
    total = 2**62
    for i in range(50):
        total += 2**60 + i
    return total


@compiled
def case_product_overflows():
    value = 1
    seen = []
    for i in range(1, 40):
        value *= i
        seen.append(value)
    return seen


@compiled
def case_subtract_overflows():
    value = -(2**61)
    seen = []
    for i in range(30):
        value -= 2**58
        seen.append(value)
    return seen


@compiled
def case_shift_overflows():
    value = 1
    seen = []
    for i in range(70):
        value <<= 1
        seen.append(value)
    for i in range(70):
        value >>= 1
        seen.append(value)
    return seen


@compiled
def case_negate_smallest():
    seen = []
    value = -(2**63) + 3
    for i in range(6):
        seen.append(-value)
        seen.append(abs(value))
        seen.append(~value)
        value -= 1
    return seen


@compiled
def case_int_turns_float():
    total = 0
    for i in range(40):
        if i == 20:
            total += 0.5
        total += i
    return total


@compiled
def case_float_turns_int():
    total = 0.0
    for i in range(40):
        if i == 20:
            total = 7
        total = total + i
    return total


@compiled
def case_float_loop():
    x = 0.1
    y = 1.0
    for i in range(60):
        x = x * 3.7 * (1.0 - x)
        y = y / 1.1 + x - i
    return x, y


@compiled
def case_mixed_loop():
    seen = []
    value = 1
    for step in [1, 2.5, True, 3, 2**70, 0.25, False, -4]:
        for _ in range(3):
            value = value + step
        seen.append(value)
    return seen


@compiled
def case_division_signs():
    seen = []
    for a in range(-12, 13):
        for b in range(-4, 5):
            if b != 0:
                seen.append((a // b, a % b))
    return seen


@compiled
def case_float_division_signs():
    seen = []
    for a in [-7.5, -1.0, -0.0, 0.0, 1.0, 7.5, 1e308, 5e-324]:
        for b in [-2.5, -1.0, 1.0, 2.5, 1e-308, float("inf"), float("-inf")]:
            seen.append((a / b, a // b, a % b))
    return seen


def divides(values):
    total = 0
    for value in values:
        total += 100 // value
    return total


def case_zero_division_in_loop():
    print(divides([1, 2, 3, 4, 5]))
    print(divides([1, 2, 3, 4, 5]))
    return divides([5, 4, 3, 2, 1, 0])


def float_divides(values):
    total = 0.0
    for value in values:
        total += 1.0 / value
    return total


def case_float_zero_division_in_loop():
    print(float_divides([1.0, 2.0, 4.0]))
    print(float_divides([1.0, 2.0, 4.0]))
    return float_divides([2.0, 1.0, 0.0])


def float_modulo(values):
    total = 0.0
    for value in values:
        total += 10.0 % value
    return total


def case_float_modulo_by_zero():
    print(float_modulo([1.5, 2.0, -4.0]))
    print(float_modulo([1.5, 2.0, -4.0]))
    return float_modulo([2.0, -0.0])


def case_shift_by_negative():
    return [lshift(1, n) for n in (3, 2, 1, 0, -1)]


@compiled
def case_nan():
    nan = float("nan")
    seen = []
    for value in [nan, 1.0, nan, 2.0]:
        seen.append((value == value, value != value, value < value, value <= 1.0, value >= 1.0, value > 1.0, value < 1.0))
        if value == value:
            seen.append("equal")
        else:
            seen.append("differs")
        if not value < 2.0:
            seen.append("not less")
        while value > 1.5:
            seen.append("greater")
            break
    return seen


@compiled
def case_nan_identity():
    nan = float("nan")
    values = []
    for i in range(4):
        values.append(nan)
    return [nan in values, values.count(nan), values.index(nan), values[0] is values[2], [nan] == [nan]]


@compiled
def case_float_identity_in_loop():
    values = []
    x = 1.5
    for i in range(6):
        values.append(x)
        if i == 3:
            x = x + 1.0
    return [a is b for a in values for b in values]


@compiled
def case_int_identity_in_loop():
    values = []
    x = 12345678
    for i in range(6):
        values.append(x)
        if i == 3:
            x = x + 1
    return [a is b for a in values for b in values]


@compiled
def case_small_int_identity():
    values = []
    for i in range(250, 262):
        values.append(i)
        values.append(i + 0)
    return [a is b for a, b in zip(values[::2], values[1::2])]


@compiled
def case_argument_identity():
    return [keeps(x)[0] is x for x in (1.5, 2**70, 100000, "text" * 2, (1, 2), 2.5)]


def keeps(x):
    y = x
    if x:
        y = x
    return [y, x]


class Number:
    def __init__(self, value):
        self.value = value

    def __add__(self, other):
        return Number(self.value + (other.value if isinstance(other, Number) else other))

    def __radd__(self, other):
        return Number(other + self.value)

    def __iadd__(self, other):
        self.value += 1000
        return self

    def __mul__(self, other):
        return NotImplemented

    def __lt__(self, other):
        return self.value < other.value

    def __eq__(self, other):
        if not isinstance(other, Number):
            return NotImplemented
        return self.value == other.value

    __hash__ = None

    def __neg__(self):
        return Number(-self.value)

    def __bool__(self):
        return self.value > 0

    def __index__(self):
        return self.value

    def __repr__(self):
        return f"Number({self.value})"


@compiled
def case_overloaded():
    seen = []
    for i in range(5):
        a, b = Number(i), Number(3)
        seen.append((a + b, a + 1, 1 + a, a < b, a > b, a == b, a != b, a == 3, -a, not a, bool(a)))
        a += 5
        seen.append(a)
        seen.append(["a", "b", "c", "d", "e", "f"][b])
    return seen


def case_overloaded_fails():
    return mul(Number(3), Number(4))


def case_overloaded_order_fails():
    return le(Number(3), Number(4))


class Int(int):
    def __add__(self, other):
        return "added"

    def __lt__(self, other):
        return "less"


class Float(float):
    def __mul__(self, other):
        return "multiplied"


def case_subclasses():
    seen = []
    for a, b in [(1, 2), (3, 4), (Int(1), 2), (1, Int(2)), (Float(1.0), 2.0), (1.0, Float(2.0)), (1, 2)]:
        seen.append((add(a, b), mul(a, b), lt(a, b), type(sub(a, b)).__name__))
    return seen


@compiled
def case_in_place():
    seen = []
    for i in range(1, 6):
        a = 10
        a += i
        a -= 2
        a *= 3
        a //= 2
        a %= 17
        a **= 2
        a <<= 2
        a >>= 1
        a &= 1023
        a |= 64
        a ^= 5
        a /= 4
        seen.append(a)
    return seen


@compiled
def case_constant_chain():
    seen = []
    for i in range(-3, 4):
        seen.append(-1 <= i < 2)
        seen.append(0 < i + 1 < 3 < 5)
        seen.append(i == 0 or i > 1 and "big")
    return seen


@compiled
def case_int_bool_mixture():
    total = 0
    for i in range(20):
        total += (i > 5) + (i % 2 == 0)
        total -= True
    return total, type(total).__name__


def case_conversions():
    seen = []
    for value in [0, 1, -1, 1.9, -1.9, True, 2**70, "12", 1e20, float("inf"), float("nan"), "x", None]:
        seen.append(attempt(lambda v: int(v), value))
        seen.append(attempt(lambda v: float(v), value))
        seen.append(attempt(lambda v: abs(v), value))
        seen.append(attempt(lambda v: round(v), value))
        seen.append(attempt(lambda v: bool(v), value))
        seen.append(attempt(lambda v: str(v), value))
        seen.append(attempt(lambda v: operator.index(v), value))
    return seen
