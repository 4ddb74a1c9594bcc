"""The iterator of a generator expression replaced through `f_locals`, also by what is none."""

from differential import compiled


def replaced(generator, value):
    generator.gi_frame.f_locals[".0"] = value
    try:
        return list(generator)
    except TypeError as error:
        return str(error)


def case_replaced_before_it_begins():
    @compiled
    def run(value):
        return replaced((x for x in range(3)), value), replaced((x + 1 for x in iter([1, 2])), value)

    return [run(value) for value in (iter([7]), range(3), object(), [1, 2], 5) for _ in range(3)]


def case_replaced_behind_a_yield():
    def run(value):
        generator = (x for x in (4, 5, 6))
        return next(generator), replaced(generator, value)

    return [run(value) for value in (iter([7]), object(), 5) for _ in range(3)]
