"""`sum` of a generator that adds for itself: behind ints that do not fit a word, floats are added as they come."""

from differential import compiled


def case_floats_behind_an_overflow():
    @compiled
    def run(items):
        return sum(x for x in items)

    floats = [0.1] * 10 + [1e100, 1.0, -1e100]
    rows = [
        [1, 2, 3],
        [-(2**62), 2**63, *floats],
        [2**62, 2**62, -(2**63), *floats],
        [1, *floats],
        [True, 2**64, -(2**64), *floats],
        [2**63 - 1, 1, -5, *floats],
    ]
    return [run(row) for row in rows for _ in range(3)]
