"""Loops: kinds of iterables, nesting, break, continue, else, mutation while looping."""

from differential import compiled


@compiled
def case_nested_break_continue_else():
    seen = []
    for a in range(6):
        for b in [1, 2, 3, 4]:
            for c in (10, 20, 30):
                if c == 20 and b == 2:
                    continue
                if b == 3 and a == 2:
                    break
                if a == 4:
                    break
                seen.append((a, b, c))
            else:
                seen.append("inner done")
                continue
            if a == 4:
                break
        else:
            seen.append("middle done")
    else:
        seen.append("outer done")
    return seen


@compiled
def case_while_else():
    seen = []
    for limit in range(5):
        n = 0
        while n < limit:
            n += 1
            if n == 4:
                break
            if n % 2:
                continue
            seen.append(n)
        else:
            seen.append("else")
    return seen


@compiled
def case_ranges():
    seen = []
    for start in (-3, 0, 4):
        for stop in (-5, 0, 6):
            for step in (-2, -1, 1, 3):
                for i in range(start, stop, step):
                    seen.append(i)
                seen.append(None)
    return seen


@compiled
def case_huge_range():
    seen = []
    for i in range(2**62 - 2, 2**62 + 2):
        seen.append(i)
    for i in range(2**63 - 2, 2**63 + 2):
        seen.append(i)
    for i in range(-(2**63) - 1, -(2**63) + 2):
        seen.append(i)
    for i in range(2**70, 2**70 + 3):
        seen.append(i)
    for i in range(0, 2**63 - 1, 2**61):
        seen.append(i)
    return seen


@compiled
def case_loop_variable_after_loop():
    for i in range(5):
        pass
    j = "before"
    for j in []:
        pass
    return i, j


def case_unbound_loop_variable():
    def run(values):
        for i in values:
            pass
        return i

    print(run([1, 2]), run([3]), run([4]))
    return run([])


@compiled
def case_assigned_loop_variable():
    seen = []
    for i in range(5):
        seen.append(i)
        i = "changed"
        seen.append(i)
    return seen


@compiled
def case_list_grows_while_looping():
    values = [1, 2, 3]
    seen = []
    for value in values:
        seen.append(value)
        if len(values) < 20:
            values.append(value * 2)
    return seen


@compiled
def case_list_shrinks_while_looping():
    values = list(range(20))
    seen = []
    for value in values:
        seen.append(value)
        if value % 3 == 0:
            values.pop()
        if value == 5:
            del values[:3]
    return seen, values


@compiled
def case_list_cleared_while_looping():
    values = list(range(10))
    seen = []
    for value in values:
        seen.append(value)
        if value == 5:
            values.clear()
    for value in values:
        seen.append("never")
    return seen


@compiled
def case_list_replaced_while_looping():
    values = [1, 2, 3]
    seen = []
    for value in values:
        values = [9, 9, 9]
        seen.append(value)
    return seen, values


@compiled
def case_list_items_change_type():
    values = [1, 2, 3, 4, 5, 6]
    total = 0
    for index, value in enumerate(values):
        total += value
        if index == 2:
            values[4] = 2.5
        if index == 3:
            values[5] = 2**70
    return total


@compiled
def case_tuples_and_strings():
    seen = []
    for value in (1, "a", None, 2.5):
        for letter in "aé☃😀":
            seen.append((value, letter))
    for byte in b"abc":
        seen.append(byte)
    for byte in bytearray(b"xyz"):
        seen.append(byte)
    return seen


@compiled
def case_dicts():
    table = {"a": 1, "b": 2, 3: "c"}
    seen = []
    for key in table:
        seen.append(key)
    for key in table.keys():
        seen.append(key)
    for value in table.values():
        seen.append(value)
    for key, value in table.items():
        seen.append((key, value))
    for key, value in sorted(table.items(), key=str):
        seen.append((key, value))
    return seen


def case_dict_changes_size():
    table = {i: i for i in range(10)}
    for key in table:
        if key == 7:
            table[100] = 1
    return table


def case_set_changes_size():
    members = {1, 2, 3}
    for member in members:
        members.add(member + 10)
    return members


@compiled
def case_sets():
    total = 0
    for member in {1, 2, 3, 500}:
        total += member
    for member in frozenset([1, 2, 3]):
        total += member
    return total


@compiled
def case_enumerate_zip_reversed():
    seen = []
    values = ["x", "y", "z"]
    for index, value in enumerate(values):
        seen.append((index, value))
    for index, value in enumerate(values, 5):
        seen.append((index, value))
    for a, b in zip(values, range(10)):
        seen.append((a, b))
    for a, b, c in zip(values, (1, 2), "pqrs"):
        seen.append((a, b, c))
    for value in reversed(values):
        seen.append(value)
    for value in reversed(range(3)):
        seen.append(value)
    for value in map(len, ["a", "bb"]):
        seen.append(value)
    for value in filter(None, [0, 1, 2, 0]):
        seen.append(value)
    return seen


def case_zip_strict_fails():
    for a, b in zip([1, 2, 3], [4, 5], strict=True):
        print(a, b)


def numbers(n):
    for i in range(n):
        yield i
        if i == 3:
            yield "three"


@compiled
def case_generators():
    seen = []
    for value in numbers(6):
        for other in numbers(2):
            seen.append((value, other))
    for value in (x * x for x in range(5)):
        seen.append(value)
    return seen


def broken(n):
    for i in range(n):
        if i == 3:
            raise LookupError(f"at {i}")
        yield i


def case_generator_raises():
    seen = []
    for value in broken(5):
        seen.append(value)
        print(value)
    return seen


class Countdown:
    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return self

    def __next__(self):
        if self.n == 0:
            raise StopIteration
        self.n -= 1
        return self.n


class Indexed:
    def __getitem__(self, index):
        if index > 3:
            raise IndexError
        return index * 10


@compiled
def case_own_iterators():
    seen = []
    for value in Countdown(5):
        seen.append(value)
    for value in Indexed():
        seen.append(value)
    return seen


class BadIterator:
    def __iter__(self):
        return 3


def case_not_an_iterator():
    for value in BadIterator():
        print(value)


def case_not_iterable():
    def run(values):
        n = 0
        for value in values:
            n += 1
        return n

    print(run([1, 2]), run((1, 2)), run("abc"))
    return run(5)


def total_of(values):
    total = 0
    for value in values:
        total += value
    return total


def case_iterable_changes_type():
    seen = []
    for values in ([1, 2], [3], (4, 5), range(5), {6, 7}, {8: 1}, numbers(2), Countdown(3), iter([1, 2]), [1.5], [2**70],
                   range(2**65, 2**65 + 2), [1, 2]):
        seen.append(total_of(values))
    return seen


@compiled
def case_shared_iterator():
    iterator = iter(range(10))
    seen = []
    for value in iterator:
        seen.append(value)
        if value == 4:
            break
    for value in iterator:
        seen.append(value)
        if value % 3 == 0:
            seen.append(next(iterator, "end"))
    return seen


@compiled
def case_shared_list_iterator():
    values = [1, 2, 3, 4, 5, 6]
    iterator = iter(values)
    seen = []
    for value in iterator:
        seen.append(value)
        for other in iterator:
            seen.append(-other)
            if other == 4:
                break
    return seen, next(iterator, "end")


@compiled
def case_unpacking_loop():
    seen = []
    for a, (b, *c), d in [(1, (2, 3, 4), 5), (6, "xyz", 7), (8, [9], 10)]:
        seen.append((a, b, c, d))
    return seen


def case_unpacking_loop_fails():
    seen = []
    for a, b in [(1, 2), (3, 4), (5, 6), (7, 8, 9)]:
        seen.append(a + b)
        print(seen)
    return seen


@compiled
def case_large_counts():
    n = 0
    i = 0
    while i < 3000:
        i += 1
        if i & 1:
            continue
        for j in range(3):
            n += j
    return n


@compiled
def case_prime_sieve():
    size = 200
    flags = [True] * size
    primes = []
    for i in range(2, size):
        if flags[i]:
            primes.append(i)
            for j in range(i * i, size, i):
                flags[j] = False
    return primes


@compiled
def case_matrix():
    size = 6
    a = [[i * j + 1 for j in range(size)] for i in range(size)]
    b = [[i - j for j in range(size)] for i in range(size)]
    c = [[0] * size for _ in range(size)]
    for i in range(size):
        for j in range(size):
            total = 0
            for k in range(size):
                total += a[i][k] * b[k][j]
            c[i][j] = total
    return c


@compiled
def case_infinite_loop_with_break():
    n = 0
    while True:
        n += 1
        if n > 100:
            break
    while 1:
        n -= 1
        if n < 0:
            return n


@compiled
def case_return_inside_loops():
    return [finds(n) for n in range(8)]


def finds(n):
    for a in range(5):
        for b in [1, 2, 3]:
            while b < 10:
                if a + b == n:
                    return a, b
                b += 3
    return None


@compiled
def case_collatz():
    longest = 0
    for start in range(1, 60):
        n = start
        length = 0
        while n != 1:
            n = n // 2 if n % 2 == 0 else 3 * n + 1
            length += 1
        longest = max(longest, length)
    return longest


@compiled
def case_loop_in_finally():
    seen = []
    for i in range(4):
        try:
            seen.append(i)
            if i == 2:
                continue
        finally:
            for j in range(2):
                seen.append(-j)
    return seen


def case_delete_in_loop():
    def run(n):
        x = 1
        for i in range(n):
            if i == 3:
                del x
            if i == 5:
                x = 2
            if i < 3 or i > 5:
                y = x
        return y

    print(run(2), run(3), run(10))

    def fails(n):
        x = 1
        for i in range(n):
            if i == 3:
                del x
            y = x
        return y

    print(fails(2), fails(3))
    return fails(5)


@compiled
def list_or_tuple(values):
    result = 0
    for value in values:
        if value % 3:
            kept = value
        result += value
    return result, kept


def case_list_and_tuple_at_one_loop():
    seen = []
    for _ in range(15):
        for values in [[1, 2, 3], (4, 5, 6), [7, 8], {9: 1}, "", range(4), (1.5, 2)]:
            try:
                seen.append(list_or_tuple(values))
            except UnboundLocalError as error:
                seen.append(str(error))
    return seen


class SetList:
    def __init__(self, state):
        self.state = state

    def __iter__(self):
        iterator = iter(list(range(5)))
        iterator.__setstate__(self.state)
        return iterator


@compiled
def count_items(iterable):
    count = 0
    for _ in iterable:
        count += 1
    return count


def case_list_iterator_set_back():
    seen = [count_items(SetList(1)) for _ in range(30)]
    return seen, [count_items(SetList(state)) for state in (-7, -1, 0, 3, 9)]
