"""What was borrowed from a list, and lives until compiled code is left, has a reference of its own."""

from differential import compiled


class Thing:
    def __init__(self, name):
        self.name = name


def forever(things, action):
    first = things[0]
    while True:
        action(things)


def case_loop_that_ends_by_an_exception():
    compiled(forever)
    seen = []
    for number in range(6):
        calls = []

        def action(things):
            calls.append(number)
            things[0] = None
            if len(calls) == 4:
                raise ValueError("enough")

        try:
            forever([Thing(f"thing {number}")], action)
        except ValueError as error:
            frame = error.__traceback__.tb_next.tb_frame
            seen.append(frame.f_locals["first"].name)
            del frame
    return seen


def tries(a, things):
    for i in things:
        for j in a:
            things.append(j)


def case_code_that_never_came_to_its_end():
    seen = []
    for a in (1.5, 10**20, None, None, None, None, None):
        try:
            tries(a, [Thing("only")])
        except TypeError as error:
            seen.append((str(error), error.__traceback__.tb_next.tb_frame.f_locals["i"].name))
    return seen


def fails(things, error):
    kept = things[0]
    things.clear()
    raise error(kept.name)


def case_raises_behind_a_clear():
    seen = []
    for number in range(6):
        try:
            fails([Thing(f"kept {number}")], KeyError)
        except KeyError as error:
            seen.append((str(error), error.__traceback__.tb_next.tb_frame.f_locals["kept"].name))
    return seen
