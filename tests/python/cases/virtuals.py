"""Tuples, instances and numbers that compiled code does without: what they are when somebody sees them after all."""

import gc
import sys
import weakref

from differential import compiled


class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def plus(self, other):
        return Point(self.x + other.x, self.y + other.y)

    def dot(self, other):
        return self.x * other.x + self.y * other.y

    def __add__(self, other):
        return Point(self.x + other.x, self.y + other.y)

    def __eq__(self, other):
        return self.x == other.x and self.y == other.y


class Noisy:
    log = []

    def __init__(self, name):
        self.name = name

    def __del__(self):
        self.log.append(self.name)


class Grid:
    def __init__(self, width, height):
        self.width = width
        self.data = [0] * (width * height)

    def __getitem__(self, key):
        x, y = key
        return self.data[x + y * self.width]

    def __setitem__(self, key, value):
        x, y = key
        self.data[x + y * self.width] = value


@compiled
def case_swap():
    a, b, c = 1, "two", 3.0
    for _ in range(25):
        a, b, c = b, c, a
    return a, b, c


def divide(i, j):
    return i // j, i % j


@compiled
def case_returned_tuples():
    total = 0
    for i in range(30):
        quotient, rest = divide(i, 7)
        total += quotient * rest
        both = divide(i, 3)
        total += both[0] - both[-1] + len(both)
    return total, both


@compiled
def case_keys():
    grid = Grid(6, 6)
    for x in range(6):
        for y in range(6):
            grid[x, y] = x * 10 + y
    total = 0
    for x in range(1, 5):
        for y in range(1, 5):
            grid[x, y] = (grid[x - 1, y] + grid[x + 1, y] + grid[x, y - 1] + grid[x, y + 1]) // 4
            total += grid[x, y]
    return total, grid.data


def failing_key(grid, i):
    return grid[i, i * 2]


def case_key_that_fails():
    grid = Grid(4, 4)
    seen = []
    for i in list(range(4)) * 5:
        try:
            seen.append(failing_key(grid, i))
        except IndexError as error:
            frame = error.__traceback__.tb_next.tb_next.tb_frame
            seen.append((str(error), frame.f_code.co_name, frame.f_locals["key"], frame.f_locals["x"]))
    return seen


@compiled
def case_points_in_loop():
    total = 0.0
    p, q = Point(0.5, 1.5), Point(1.0, 2.0)
    for i in range(30):
        r = p.plus(q)
        total += r.dot(p) + (p + r).x
    return total, r.x, r.y


@compiled
def case_point_carried_around():
    p, step = Point(0, 0.0), Point(1, 0.25)
    for i in range(30):
        p = p.plus(step)
    return p.x, p.y, vars(p)


@compiled
def case_point_replaced_on_some_paths():
    p = best = Point(0, 0)
    for i in range(40):
        p = Point(i * 7 % 11, i)
        if p.x > best.x:
            best = p
    return best.x, best.y, best is p


@compiled
def case_kept_on_a_rare_path():
    kept = []
    for i in range(40):
        pair = (i, i + 1)
        point = Point(i, pair)
        if i % 9 == 4:
            kept.append(pair)
            kept.append(point)
        first, second = pair
        point.x = first + second
    return [item if type(item) is tuple else vars(item) for item in kept], kept[0] is kept[1].y


@compiled
def case_identity():
    seen = []
    for i in range(20):
        name = "n" + str(i)
        number = i * 1.5
        pair = (name, number)
        other = (name, number)
        point = Point(name, pair)
        seen.append((pair is other, pair is pair, point.y is pair, point.x is pair[0], pair[1] is number, pair[1] is other[1]))
        seen.append(point is None or point is other)
    return seen


def locals_of_caller(depth):
    names = sys._getframe(depth).f_locals
    result = []
    for name in sorted(names):
        value = names[name]
        result.append((name, sorted(vars(value).items()) if type(value) is Point else value))
    return result


def observed(i):
    pair = (i, i + 1.5)
    point = Point(pair, i * 2)
    again = point
    seen = locals_of_caller(2)
    return seen, pair[1], point.y, again is point, point.x is pair


def case_seen_by_a_callee():
    return [observed(i) for i in range(30)]


def change_point(depth):
    names = sys._getframe(depth).f_locals
    names["point"].x = "changed"
    names["point"].z = "new"
    return names["pair"]


def changed(i):
    pair = (i, i + 1)
    point = Point(i, pair)
    seen = change_point(2)
    return point.x, point.z, vars(point), seen is pair, point.y is pair


def case_changed_by_a_callee():
    return [changed(i) for i in range(30)]


def change_point_only(depth):
    names = sys._getframe(depth).f_locals
    names["point"].y = "changed"
    return names["point"]


def seen_and_changed(i):
    point = Point(i, None)
    other = Point(i, i)
    other.y = change_point_only(2)
    other.x = i + 1
    return other.y is point, vars(point), other.x


def case_seen_and_changed():
    return [seen_and_changed(i) for i in range(20)]


def die_unseen(i):
    point = Point(i, Noisy(i))
    weak = change_point_only(2) is not None
    point = None
    return weak


def case_seen_and_dead():
    Noisy.log.clear()
    result = [die_unseen(i) for i in range(20)]
    gc.collect()
    return result, Noisy.log


def local_names():
    pair = (1, 2.5)
    point = Point(pair, 3)
    names = locals()
    return sorted(names), names["pair"] is pair, names["point"] is point, point.x is names["pair"]


def case_locals_builtin():
    return [local_names() for _ in range(20)]


class Late:
    def __init__(self, first, second):
        self.second = second
        self.first = first
        if first > 15:
            self.third = first + second


@compiled
def case_order_of_attributes():
    seen = []
    for i in range(30):
        late = Late(i, -i)
        if i % 10 == 7:
            late.fourth = "x"
            seen.append(list(vars(late)))
        total = late.first + late.second
    return seen, total


class Failing:
    def __init__(self, value):
        self.value = value
        self.inverse = 10 // value
        self.rest = 10 % value


def make_failing(value):
    made = Failing(value)
    return made.value + made.inverse + made.rest


def case_exception_in_init():
    seen = []
    for i in list(range(5)) * 6:
        try:
            seen.append(make_failing(i))
        except ZeroDivisionError as error:
            frame = error.__traceback__.tb_next.tb_next.tb_frame
            seen.append(vars(frame.f_locals["self"]))
    return seen


def order_of_deaths(i):
    pair = (Noisy(f"a{i}"), Noisy(f"b{i}"))
    point = Point(Noisy(f"x{i}"), Noisy(f"y{i}"))
    Noisy.log.append("made")
    pair = None
    Noisy.log.append("pair gone")
    point.x = None
    Noisy.log.append("x gone")
    point = Point(point.y, 1)
    Noisy.log.append("first gone")


def case_order_of_deaths():
    Noisy.log.clear()
    for i in range(12):
        order_of_deaths(i)
        Noisy.log.append("end")
    return Noisy.log


class Finalized(Point):
    def __del__(self):
        Noisy.log.append((self.x, self.y))


@compiled
def case_class_with_finalizer():
    Noisy.log.clear()
    for i in range(12):
        point = Finalized(i, -i)
        total = point.x + point.y
    del point
    return Noisy.log, total


def weakly(i):
    point = Point(i, i)
    reference = weakref.ref(point)
    alive = reference() is point
    point = None
    return alive, reference() is None


def case_weak_references():
    return [weakly(i) for i in range(20)]


@compiled
def case_contains_itself():
    seen = []
    for i in range(12):
        point = Point(i, None)
        point.y = point
        seen.append(point.y.y.x)
        point.y = None
    return seen


@compiled
def case_nested():
    total = 0
    for i in range(30):
        inner = Point(i, (i, i + 1))
        outer = Point(inner, (inner, i))
        a, b = outer.y
        total += a.y[1] + b + outer.x.x
        if i % 11 == 10:
            total += len(repr(outer.y[0].y))
    return total


def counts(values):
    first = values[0]
    pair = (first, first)
    point = Point(first, pair)
    number = len(pair) + (point.x is first)
    del point, pair
    return number


def case_reference_counts():
    values = [object()]
    before = sys.getrefcount(values[0])
    for _ in range(20):
        counts(values)
    gc.collect()
    return sys.getrefcount(values[0]) - before


class Changing:
    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value


def change_class(i):
    if i == 20:
        Changing.get = lambda self: ("patched", self.value)
    return i


def use_changing(i):
    made = Changing(i)
    change_class(i)
    return made.get()


def case_class_changed_meanwhile():
    seen = [use_changing(i) for i in range(30)]
    del Changing.get
    Changing.get = lambda self: self.value
    return seen


def numbers_carried():
    values = []
    x, y, last = 0.5, 1, None
    for i in range(20):
        x = x * 1.25
        y = y * 3
        if i % 4 == 3:
            values.append(x)
            values.append(y)
            last = x
    return values, last is values[-2], x is last, x, y


@compiled
def case_numbers_kept_sometimes():
    return [numbers_carried() for _ in range(5)]


def joined(flag):
    if flag:
        point = Point(1, 2.0)
        pair = ("a", 1)
    else:
        point = Point(3, 4.5)
        pair = ("b", 2)
    return point.x + pair[1], point.y, pair[0], point


def case_joined():
    result = [joined(i % 3 == 0) for i in range(20)]
    return [(a, b, c, vars(d)) for a, b, c, d in result]


def shapes(flag):
    if flag:
        point = Late(20, 1)
    else:
        point = Late(1, 1)
    return point.first, list(vars(point))


def case_shapes_differ_at_a_join():
    return [shapes(i % 3 == 0) for i in range(20)]


def rotate(points):
    a, b = Point(1, 1), Point(2, 2)
    for i in range(len(points) + 6):
        a, b = b, a
        if i % 5 == 4:
            a = b
        if i % 7 == 6:
            b = Point(i, i)
    return a.x, b.x, a is b


def case_two_places_of_a_loop():
    return [rotate([None] * i) for i in range(20)]


class Slotted:
    __slots__ = ("y", "x", "unset")

    def __init__(self, x, y):
        self.x = x
        self.y = y

    def plus(self, other):
        return Slotted(self.x + other.x, self.y + other.y)


class SlottedWithDict(Slotted):
    def __init__(self, x, y):
        self.z = y
        self.x = x
        self.y = y


@compiled
def case_slots():
    kept = []
    sums = []
    place = Slotted(0, 0.5)
    for i in range(40):
        step = Slotted(i, 1.5)
        other = SlottedWithDict(i, "z")
        place = place.plus(step)
        if i % 13 == 5:
            kept.append(step)
            kept.append(other)
        sums.append(other.x + len(other.z + other.y))
    return place.x, place.y, sums, [(item.x, item.y, hasattr(item, "unset"), getattr(item, "__dict__", None)) for item in kept]


def unset_slot(i):
    thing = Slotted(i, i)
    if i < 20:
        thing.unset = i
    return thing.unset


def case_unset_slot():
    seen = []
    for i in range(25):
        try:
            seen.append(unset_slot(i))
        except AttributeError as error:
            seen.append((str(error), error.obj.x))
    return seen


def order_of_slots(i):
    thing = Slotted(Noisy(f"x{i}"), Noisy(f"y{i}"))
    thing = None
    Noisy.log.append("gone")


def case_order_of_deaths_in_slots():
    Noisy.log.clear()
    for i in range(12):
        order_of_slots(i)
    return Noisy.log


def collect(*items):
    return items[0], len(items)


@compiled
def case_many_arguments():
    total = 0
    for i in range(20):
        first, count = collect(i, i + 1, i + 2)
        total += first * count
    return total
