"""A local that may be unbound where compiled code is entered, and is an operand on two paths that meet: each knows that it is bound."""

from differential import compiled


def case_operand_behind_a_yield():
    def generate(number, condition):
        total = yield 0
        total = 1.5
        total += number if not condition else number
        yield total
        yield [number if condition else number, number]

    @compiled
    def run(number, condition):
        return list(generate(number, condition))

    return [run(number, condition) for number in (2.5, 3, "x" * 0 or 1) for condition in (True, False) for _ in range(3)]


def case_operand_in_a_running_loop():
    def run(number, rounds):
        total = 0
        for i in range(rounds):
            total += (number if i % 2 else number) + i
        return total

    return [run(number, 40) for number in (2, 2.5)]
