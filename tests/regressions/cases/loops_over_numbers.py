"""A loop over a number that is in a register raises; what is tested about lists needs an object."""


def loops_over(x):
    number = x + 1
    try:
        for item in number:
            return item
    except TypeError as error:
        return str(error)


def loops_over_float(x):
    number = x * 0.5
    for item in number:
        return item


def case_loops_over_numbers():
    seen = [loops_over(i) for i in range(6)]
    for i in range(6):
        try:
            loops_over_float(float(i))
        except TypeError as error:
            seen.append(str(error))
    return seen
