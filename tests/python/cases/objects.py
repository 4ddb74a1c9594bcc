"""Containers and strings: literals, subscripts, slices, unpacking, membership, methods, formatting."""

from differential import compiled


def attempt(function, *arguments):
    try:
        result = function(*arguments)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return result


def item(container, index):
    return container[index]


@compiled
def case_subscripts():
    seen = []
    for container in ([1, 2, 3], (1, 2, 3), "abc", b"abc", {0: "x", 1: "y", -1: "z", True: "t"}, range(5), bytearray(b"xy")):
        for index in (0, 1, 2, -1, -3, -4, 3, 5, True, False, 2**70, "k", None, 1.0):
            seen.append(attempt(item, container, index))
    compiled(item)
    return seen


def store(container, index, value):
    container[index] = value
    return container


def remove(container, index):
    del container[index]
    return container


def case_stores():
    seen = []
    for make in (lambda: [1, 2, 3], lambda: {0: 1}, lambda: bytearray(b"abc"), lambda: (1, 2), lambda: "abc"):
        for index in (0, 1, -1, -3, 3, -4, "k", True, 2**70):
            seen.append(attempt(store, make(), index, 65))
            seen.append(attempt(remove, make(), index))
    return seen


@compiled
def case_list_stores_in_loop():
    values = [0] * 10
    for i in range(10):
        values[i] = i * i
    for i in range(-10, 0):
        values[i] += 1
    return values


def case_list_store_out_of_range():
    values = [0] * 5
    for i in range(10):
        values[i] = i
        print(values)


@compiled
def case_slices():
    seen = []
    for container in ([0, 1, 2, 3, 4, 5], (0, 1, 2, 3, 4), "abcdef", b"abcdef", range(6)):
        for start in (None, 0, 2, -2, 10, -10):
            for stop in (None, 0, 3, -1, 10):
                seen.append(container[start:stop])
                seen.append(container[start:stop:2])
                seen.append(container[start:stop:-1])
        seen.append(container[:])
        seen.append(container[1:])
        seen.append(container[:-1])
    return seen


@compiled
def case_slice_stores():
    seen = []
    for i in range(6):
        values = [0, 1, 2, 3, 4, 5]
        values[i:i + 2] = ["a", "b", "c"]
        seen.append(values[:])
        values[::2] = values[::2][::-1]
        seen.append(values[:])
        del values[1:i]
        seen.append(values)
    return seen


def case_slice_fails():
    return [attempt(lambda a, b: a[b:], *pair) for pair in (("abc", 1), ([1, 2], 1), ([1], "x"), (5, 1), ("abc", 1.5))]


@compiled
def case_unpacking():
    seen = []
    for value in ([1, 2, 3], (4, 5, 6), "xyz", range(3), {7: 0, 8: 0, 9: 0}, iter([1, 2, 3])):
        a, b, c = value
        seen.append((a, b, c))
    for value in ([1, 2], [1, 2, 3, 4], "abcdef"):
        first, *rest = value
        *start, last = value
        one, *middle, end = value
        seen.append((first, rest, start, last, one, middle, end))
    a, b = 1, 2
    for i in range(5):
        a, b = b, a + b
    seen.append((a, b))
    for i in range(4):
        a, b, c = i, a, b
        a, (b, c) = c, (a, b)
    seen.append((a, b, c))
    return seen


def unpack2(value):
    a, b = value
    return a, b


def unpack_star(value):
    a, *b, c = value
    return a, b, c


def case_unpacking_fails():
    seen = []
    for value in ((1, 2), [3, 4], "ab", (1,), (1, 2, 3), [], {1: 2, 3: 4}, 5, None, iter([1, 2]), iter([1, 2, 3])):
        seen.append(attempt(unpack2, value))
        seen.append(attempt(unpack_star, value))
    return seen


@compiled
def case_literals():
    seen = []
    for i in range(4):
        seen.append([i, i + 1, [i]])
        seen.append((i, (i, "t"), ()))
        seen.append({i, i + 1, 0})
        seen.append({i: "v", "k": i, **{"m": i}})
        seen.append([*range(i), *"ab", i])
        seen.append((*range(i), i))
        seen.append({*range(i), 7})
        seen.append({**{"a": 1}, "a": i, "b": 2})
        seen.append([])
        seen.append({})
        seen.append([1, 2, 3, 4, 5])
        seen.append({"x": 1, "y": 2})
    return seen


@compiled
def case_membership_and_identity():
    seen = []
    for x in (1, "a", None, 2.5, True, (1,)):
        seen.append(x in [1, "a", None])
        seen.append(x not in (2.5, True))
        seen.append(x in {1: 0, "a": 0})
        seen.append(x in {None, 2.5})
        seen.append(x is None)
        seen.append(x is not None)
        seen.append(attempt(lambda y: y in "abc", x))
        if x is None:
            seen.append("none")
        if x is not True:
            seen.append("not true")
    return seen


@compiled
def case_truth():
    seen = []
    for x in (0, 1, 0.0, 0.1, "", "a", [], [0], (), (0,), {}, {0: 0}, None, True, False, set(), range(0), 2**70, b""):
        if x:
            seen.append("true")
        else:
            seen.append("false")
        seen.append(not x)
        seen.append(x and 1)
        seen.append(x or 2)
        seen.append(1 if x else 2)
        while not x:
            seen.append("while")
            break
    return seen


class Falsy:
    def __bool__(self):
        raise RuntimeError("no truth")


class Sized:
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n


def truth(x):
    if x:
        return "true"
    return "false"


def case_truth_of_objects():
    print([truth(x) for x in (Sized(0), Sized(1), Sized(0), Sized, object())])
    print(attempt(truth, Sized(-1)))
    return truth(Falsy())


@compiled
def case_strings():
    seen = []
    text = ""
    for i in range(12):
        text += chr(97 + i)
        seen.append(text)
        seen.append(text * 2)
        seen.append(text[i])
        seen.append(text + "é" + text[-1])
        seen.append(text < "abcd")
        seen.append(text == "abc")
        seen.append("%s-%d-%r" % (text, i, i))
        seen.append(text.upper())
        seen.append(len(text))
    return seen


@compiled
def case_string_append_in_place():
    text = "start"
    other = text
    for i in range(20):
        text += "x"
    parts = []
    for i in range(20):
        part = "a"
        part += str(i)
        parts.append(part)
    return text, other, parts


@compiled
def case_format_strings():
    seen = []
    for value in (1, -2.5, "text", None, [1, "x"], 2**70, True):
        seen.append(f"{value}")
        seen.append(f"{value!r:>10}|{value!s}|{value!a}")
        seen.append(f"a{value}b{value}c{{}}")
        seen.append(f"{value=}")
        width = 12
        seen.append(f"{str(value):>{width}}")
    for number in (3.14159, 1e10, 7):
        seen.append(f"{number:.2f} {number:10.3e} {number:<8}")
    return seen


def case_format_fails():
    def run(value):
        return f"{value:d}"

    print(run(1), run(2), run(3))
    return run("x")


@compiled
def case_list_methods():
    seen = []
    for i in range(5):
        values = [3, 1, 2]
        values.append(i)
        values.extend([i, i + 1])
        values.insert(1, "in")
        values.remove("in")
        seen.append(values.pop())
        seen.append(values.pop(0))
        seen.append(values.index(i))
        seen.append(values.count(i))
        values.reverse()
        values.sort()
        seen.append(values.copy())
        values += [9]
        values *= 2
        seen.append(values)
        seen.append([1] + values)
        seen.append(values == values[:])
        seen.append([1, 2] < [1, 3])
    return seen


@compiled
def case_dict_methods():
    seen = []
    table = {}
    for i in range(8):
        table[i % 3] = table.get(i % 3, 0) + i
        table.setdefault("s", []).append(i)
        seen.append(dict(table))
        seen.append(list(table.items())[0])
        seen.append(table.pop("missing", "default"))
        seen.append(len(table))
    table.update({"u": 1}, v=2)
    seen.append(table | {"w": 3})
    table |= {"x": 4}
    seen.append(table)
    return seen


def case_missing_keys():
    class Missing(dict):
        def __missing__(self, key):
            return f"missing {key}"

    print([item(container, 1) for container in ({1: 2}, {1: 3}, Missing(), {1: 4})])
    print(attempt(item, {}, "k"), attempt(item, {}, (1, 2)), attempt(item, {}, []))
    return item({1: 2}, 3)


@compiled
def case_comprehensions():
    seen = []
    for n in range(5):
        seen.append([x * x for x in range(n)])
        seen.append([x for x in range(10) if x % 2 if x > n])
        seen.append([(x, y) for x in range(n) for y in "ab" if x])
        seen.append([[x * y for x in range(3)] for y in range(n)])
        seen.append({x: x + n for x in range(3)})
        seen.append({x % 2 for x in range(n)})
        seen.append(sum(x for x in range(n)))
        seen.append(any(x > 2 for x in range(n)))
        seen.append([(lambda y: y + x)(n) for x in range(2)])
        seen.append([f() for f in [lambda: x for x in range(3)]])
    return seen


def case_comprehension_isolates():
    x = "outer"
    seen = []
    for i in range(4):
        seen.append([x for x in range(i)])
        seen.append(x)
    return seen


def case_comprehension_fails():
    def run(values):
        x = "kept"
        return [10 // x for x in values]

    print(run([1, 2]), run([5]), run([10]))
    return run([1, 0])


@compiled
def case_walrus():
    seen = []
    values = [1, 5, 3, 8]
    for _ in range(3):
        while (n := len(values)) > 2:
            seen.append(n)
            values.pop()
        if (m := n * 2) > 3:
            seen.append(m)
        seen.append([y := 1, y**2])
        values += [1, 2]
    return seen


def kind(value):
    match value:
        case 0 | 1:
            return "small"
        case int(n) if n > 100:
            return f"big {n}"
        case [x]:
            return f"one {x}"
        case [x, y, *rest]:
            return f"many {x} {y} {rest}"
        case {"k": v, **rest}:
            return f"mapping {v} {rest}"
        case Point(x=0, y=y):
            return f"on axis {y}"
        case Point(a, b):
            return f"point {a} {b}"
        case str() as text:
            return f"text {text}"
        case None:
            return "none"
        case (1.5 | 2.5) as number:
            return f"float {number}"
        case _:
            return "other"


class Point:
    __match_args__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


def case_match():
    values = [0, 1, 500, 50, [1], (1, 2), [1, 2, 3, 4], {"k": 1}, {"k": 1, "m": 2}, {"z": 1}, Point(0, 5), Point(1, 2),
              "text", None, 1.5, 2.5, 3.5, object, b"x", [], ()]
    return [kind(value) for value in values for _ in range(2)]


@compiled
def case_byte_work():
    data = bytearray(16)
    for i in range(16):
        data[i] = (i * 37) & 255
    total = 0
    for value in data:
        total += value
    text = bytes(data)
    for i in range(len(text)):
        total ^= text[i]
    return data, total


def case_byte_range():
    data = bytearray(4)
    for i in (1, 2, 255, 256):
        data[0] = i
        print(data)


@compiled
def case_sets():
    seen = set()
    log = []
    for i in range(10):
        seen.add(i % 4)
        log.append((len(seen), i in seen, seen & {1, 2}, seen | {9}, seen - {0}, seen ^ {1}))
    seen.discard(3)
    seen |= {7}
    return log, seen


@compiled
def case_nested_structures():
    graph = {n: [(n * 3 + 1) % 7, (n * 2) % 7] for n in range(7)}
    order = []
    todo = [0]
    found = {0}
    while todo:
        node = todo.pop()
        order.append(node)
        for other in graph[node]:
            if other not in found:
                found.add(other)
                todo.append(other)
    return order


@compiled
def case_sorting():
    seen = []
    for i in range(4):
        words = ["pear", "fig", "apple", "kiwi"]
        seen.append(sorted(words, key=len))
        seen.append(sorted(words, key=lambda word: word[-1], reverse=True))
        words.sort(key=lambda word: (len(word), word))
        seen.append(words)
        seen.append(min(words), ) if i < 0 else seen.append(max(words, key=len))
    return seen


@compiled
def case_chained_stores():
    class Box:
        pass

    seen = []
    for i in range(4):
        box = Box()
        a = b = box.x = [i]
        a.append(b is box.x)
        c = [0, 0]
        c[0], box.y = i, c
        seen.append((a, box.y))
    return seen
