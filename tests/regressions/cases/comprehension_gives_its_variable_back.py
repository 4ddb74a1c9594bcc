"""A comprehension's variable gets back what it was: nothing, although everything else that is assigned to it is an int."""

from differential import compiled


def attempt(items):
    return [item + 1 for item in items]


@compiled
def case_exception_in_a_comprehension():
    found = []
    for index in (0, -1, 1, 2**70, True):
        found += [[1, 2].__len__() + number for number in range(3)]
        try:
            found += [found[index].__index__() for number in range(3)]
        except IndexError as error:
            found.append(type(error).__name__)
    return found


@compiled
def case_variable_that_is_bound_at_times():
    found = []
    for turn in range(12):
        if turn > 6:
            number = turn
        try:
            found.append([1 // (number - turn % 5) for number in range(3)])
        except ZeroDivisionError:
            found.append(turn)
        if turn > 6:
            found.append(number + 1)
    return found
