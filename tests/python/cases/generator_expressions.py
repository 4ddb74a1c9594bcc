"""Generator expressions that put their items into list, set, tuple, any, all themselves."""

import sys

from differential import compiled


class Lying:
    """Equal to everything, with the hash of a small int; says when it is asked."""

    def __init__(self, log, value):
        self.log, self.value = log, value

    def __hash__(self):
        self.log.append(("hash", self.value))
        return hash(self.value)

    def __eq__(self, other):
        self.log.append(("eq", self.value, getattr(other, "value", other)))
        return True


def case_collect():
    @compiled
    def run(pool, indices):
        return (
            set(pool[i] + i for i in indices),
            list(pool[i] * 1.5 for i in indices if i != 2),
            tuple(pool[i] for i in indices),
            tuple(x + y for x in indices for y in indices if x < y),
            sorted(-x for x in indices),
            ",".join(str(x) for x in indices),
            sum(x * 2 for x in indices),
        )

    pool = list(range(9))
    return [run(pool, range(8)) for _ in range(6)] + [run(pool, [1, 3, 2]), run(pool, (4, 3)), run([1.5, 2.5], range(2))]


def case_any_all():
    @compiled
    def run(items, wanted):
        it = iter(items)
        found = any(x == wanted for x in it)
        left = list(it)
        return found, left, all(x < wanted for x in items), any(x for x in items), all(x or [] for x in items)

    rows = [([1, 2, 3, 4, 5], 3), ([1, 2], 9), ([], 1), ([0, 0.0, ""], 4) if False else ([0, 0.0], 4), ([7, 8], 7)]
    return [run(*row) for row in rows for _ in range(3)]


def case_truth_runs_code():
    class Truth:
        def __init__(self, log, value):
            self.log, self.value = log, value

        def __bool__(self):
            frame = sys._getframe(1)
            self.log.append((self.value, frame.f_code.co_name))
            return self.value

    @compiled
    def run(values):
        log = []
        return any(Truth(log, v) for v in values), all(Truth(log, v) for v in values), log

    return [run([False, True, False]) for _ in range(6)]


def case_items_with_hash_and_eq():
    @compiled
    def run(values, at):
        log = []
        items = set(Lying(log, v) if i >= at else v for i, v in enumerate(values))
        return len(items), log

    return [run([1, 2, 1, 3, 2], at) for at in (9, 9, 9, 3, 0, 2, 4)]


def case_unhashable():
    @compiled
    def run(values):
        try:
            return len(set(v for v in values))
        except TypeError as error:
            trace = error.__traceback__
            names = []
            while trace:
                names.append((trace.tb_frame.f_code.co_name, trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno))
                trace = trace.tb_next
            return str(error).split("(")[0], names

    return [run([1, 2, 3]), run([1, 2, 3]), run([1, 2, 3]), run([1, [], 3]), run([[]]), run(["a", 1.5, None, True, 1])]


def case_exception_in_body():
    @compiled
    def run(values, consumer):
        it = iter(values)
        try:
            if consumer == "set":
                return set(1 / v for v in it)
            if consumer == "list":
                return list(1 / v for v in it)
            if consumer == "tuple":
                return tuple(1 / v for v in it)
            return any(1 / v < 0 for v in it)
        except ZeroDivisionError as error:
            trace, names = error.__traceback__, []
            while trace:
                names.append((trace.tb_frame.f_code.co_name, trace.tb_lineno - trace.tb_frame.f_code.co_firstlineno))
                trace = trace.tb_next
            return names, list(it)

    rows = [[1, 2, 4], [1, 2, 4], [1, 0, 4], [0], [1, 2, 0]]
    return [run(row, consumer) for consumer in ("set", "list", "tuple", "any") for row in rows]


def case_stop_iteration_in_body():
    def stop(v):
        if v == 3:
            raise StopIteration(v)
        return v

    @compiled
    def run(values):
        try:
            return tuple(stop(v) for v in values), set(stop(v) for v in values)
        except RuntimeError as error:
            return str(error), repr(error.__cause__), repr(error.__context__)

    return [run(row) for row in ([1, 2], [1, 2], [1, 2], [1, 3, 2], [3])]


def case_frames_in_body():
    def look(log):
        frame = sys._getframe(1)
        log.append((frame.f_code.co_name, frame.f_back.f_code.co_name, sorted(frame.f_locals), frame.f_locals.get("x")))
        return len(log)

    @compiled
    def run(n):
        log = []
        return set(look(log) + x for x in range(n)), list(look(log) for x in range(n)), log

    return [run(4) for _ in range(6)]


def case_shadowed_builtins():
    def run(set, tuple, values):
        return set(v + 1 for v in values), tuple(v for v in values)

    compiled(run)
    return [run(set, tuple, [1, 2, 2])] * 3 + [run(sum, list, [1, 2, 2]), run(sorted, max, [3, 1])]


def case_running_generator_seen_from_outside():
    @compiled
    def run(n):
        seen = []

        def look(x):
            seen.append((g.gi_running, g.gi_frame is not None, g.gi_yieldfrom))
            return x

        g = (look(x) for x in range(n))
        result = list(g)
        return result, seen, g.gi_frame, list(g)

    return [run(3) for _ in range(6)]


def case_reentered():
    def again(g, x):
        try:
            next(g[0])
        except ValueError as error:
            return str(error)

    @compiled
    def run(n):
        g = []
        g.append(again(g, x) for x in range(n))
        return list(g[0])

    return [run(2) for _ in range(6)]


def case_changes_while_draining():
    @compiled
    def run(n):
        values = list(range(n))
        return list(values.append(v) if len(values) < 12 else v for v in values), len(values)

    return [run(3) for _ in range(6)]


def case_growing_numbers():
    @compiled
    def run(values):
        return set(v * v for v in values), list(v * v for v in values), any(v * v == 4 for v in values)

    return [run(row) for row in ([1, 2, 3], [1, 2, 3], [1, 2, 3], [1 << 40, 3], [2.5, 1], [True, 2], [1j, 2])]


def case_nested():
    @compiled
    def run(rows):
        return (
            tuple(tuple(x + 1 for x in row) for row in rows),
            set(sum(x for x in row) for row in rows),
            all(any(x == y for x in row) for row in rows for y in row),
            list(set(x % 2 for x in row) for row in rows),
        )

    rows = [[1, 2, 3], [4, 5], [], [6]]
    return [run(rows) for _ in range(6)]


def case_long():
    @compiled
    def run(n):
        return len(set(x & 1023 for x in range(n))), sum(list(x ^ 5 for x in range(n))), all(x >= 0 for x in range(n))

    return [run(20000) for _ in range(3)]


def case_sums():
    @compiled
    def run(values):
        try:
            return sum(v for v in values), sum(v + v for v in values if v), sum(v == 1 for v in values)
        except TypeError as error:
            return str(error)

    huge = 1 << 62
    rows = [
        [1, 2, 3],
        [1, 2, 3],
        [],
        [huge, huge, huge, -5],
        [huge, -huge, huge, huge, -huge, 7],
        [1 << 70, -(1 << 70), 3],
        [1, 2.5, 3, 0.1, 0.2, 0.3, 1e100, 1, -1e100],
        [0.1] * 10,
        [-0.0],
        [True, 2, False],
        [1, 2, 1j, 0.5],
        [1, "a"],
        ["a"],
        [3, None],
    ]
    return [run(row) for row in rows for _ in range(3)]


def case_sum_of_objects():
    class Adding:
        def __init__(self, value):
            self.value = value

        def __radd__(self, other):
            return f"{other}+{self.value}" if isinstance(other, str) else f"start {other}: {self.value}"

    class Number(int):
        def __radd__(self, other):
            return Number(int(self) + int(other) + 100)

    @compiled
    def run(values):
        return sum(v for v in values), sum(Number(v) for v in range(4))

    return [run([1, 2]) for _ in range(4)] + [run([1, Adding(2), Adding(3)]), run([Adding(1), Adding(2)])]
