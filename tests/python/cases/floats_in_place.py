"""Floats in lists and attributes that are replaced by others: what else refers to the old one must not see it."""

import sys

from differential import compiled


def add(values, n):
    for i in range(n):
        values[i % len(values)] += 0.5
    return values


def swap(values, i, j):
    values[i], values[j] = values[j], values[i]
    values[i] += 1.0
    values[j] -= 1.0


@compiled
def case_lists():
    def run():
        values = [1.5, 2.5, 1.5, float("3.5")]
        kept = values[0]
        copies = list(values)
        add(values, 40)
        again = values[1]
        seen = [kept, copies, list(values)]
        for _ in range(20):
            swap(values, 0, 3)
            swap(values, 1, 1)
        return seen, again, values

    return [run() for _ in range(6)][-1]


@compiled
def case_shared_items():
    def run(n):
        one = n * 1.25
        values = [one] * 3
        matrix = [values, values, [one]]
        total = 0.0
        for row in matrix:
            for i in range(len(row)):
                before = row[i]
                row[i] = row[i] * 2.0
                total += before - row[i]
        return one, matrix, total

    return [run(n) for n in range(12)][-3:]


class Point:
    def __init__(self, x):
        self.x = x
        self.y = 0.0

    def move(self, dx):
        self.x += dx
        self.y = self.x * 2.0
        return self.x


@compiled
def case_attributes():
    def run(n):
        point = Point(0.25)
        trail = []
        for i in range(n):
            old = point.x
            trail.append(point.move(0.5))
            trail.append(old)
        twin = Point(point.x)
        twin.move(1.0)
        return trail, point.x, point.y, twin.x

    return [run(20) for _ in range(6)][-1]


@compiled
def case_handed_out():
    held = []

    def hold(value):
        held.append(value)
        return value

    def run(values):
        for i in range(12):
            hold(values[0])
            values[0] = values[0] + 1.0
            values[1] = hold(values[1]) + 2.0
        return list(values)

    results = [run([0.0, 10.0]) for _ in range(5)]
    return results, held


@compiled
def case_other_kinds():
    def run(values):
        for _ in range(3):
            for i in range(len(values)):
                values[i] = values[i] + 1
        return values

    seen = [run([0.5, 1.5, 2.5]) for _ in range(20)][-1:]
    seen.append(run([1, 2.5, True, 1 << 70]))
    seen.append(run([0.0, -0.0, float("inf"), float("-inf")]))
    return seen


@compiled
def case_references():
    def run():
        values = [n * 1.5 for n in range(4)]
        kept = values[2]
        for _ in range(10):
            for i in range(4):
                values[i] += 1.0
        return kept, [sys.getrefcount(value) - sys.getrefcount(values[0]) for value in values]

    return [run() for _ in range(6)][-1]


@compiled
def case_slots_are_overwritten():
    class Point:
        __slots__ = ("x", "y")

        def __init__(self, x, y):
            self.x = x
            self.y = y

        def scale(self, by):
            self.x /= by
            self.y = self.y * by + self.x

    def run(i):
        points = [Point(i + 0.5, i * 2.0) for _ in range(3)]
        shared = Point(points[0].x, points[1].y)
        kept = shared.x, points[1].y
        for point in points:
            for _ in range(4):
                point.scale(1.25)
        shared.scale(2.0)
        return [(point.x, point.y) for point in [*points, shared]], kept

    return [run(i) for i in range(40)][-2:]


@compiled
def case_slots_of_other_types():
    class Point:
        __slots__ = ("x",)

    def scale(point, by):
        point.x = point.x * by
        return point.x

    point = Point()
    found = []
    for start in [1.5] * 60 + [2, "ab", True, 2.5, [1]]:
        point.x = start
        found.append((scale(point, 2), scale(point, 3)))
    del point.x
    try:
        scale(point, 2)
    except AttributeError as error:
        found.append(str(error))
    return found[-7:]
