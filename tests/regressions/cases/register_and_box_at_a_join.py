"""A number that joins one slot as an object and another one as a register."""

from array import array

from differential import compiled


def largest(values, count):
    top = 0.0
    place = 0
    for i in range(1, count):
        value = abs(values[i])
        if value > top:
            place = i
            top = value
    return place, top


def case_largest():
    compiled(largest)
    seen = []
    for values in [array("d", [0.5 * k for k in range(40)]), [0.5 * (k % 7) for k in range(40)], list(range(40))] * 5:
        seen.append(largest(values, 40))
    return seen
