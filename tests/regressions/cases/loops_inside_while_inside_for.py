"""A `for` inside a `while` inside a `for`: the outer iterator stays as it is in the inner loops."""

from differential import compiled


@compiled
def case_three_loops():
    seen = []
    for number in [3, 1, 4]:
        while number:
            for step in range(number):
                seen.append((number, step))
            number -= 1
    return seen
