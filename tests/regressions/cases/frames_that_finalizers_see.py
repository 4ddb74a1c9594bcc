"""Finalizers see the frames that the interpreter shows them: not the one whose locals die, and the right line."""

import sys

from differential import known

SEEN = []


class Dying:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        names = []
        frame = sys._getframe(1)
        while frame and not frame.f_code.co_name.startswith("case_"):
            names.append((frame.f_code.co_name, frame.f_lineno - frame.f_code.co_firstlineno))
            frame = frame.f_back
        SEEN.append((self.name, names))


def seen(function, *arguments):
    for _ in range(4):
        function(*arguments)
    found = SEEN[:]
    SEEN.clear()
    return found


def locals_at_the_end(n):
    first = Dying("first")
    second = Dying("second")
    return n


def locals_of_a_loop(n):
    for i in range(n):
        each = Dying(i)
    last = Dying("last")
    return each.name


def rebound(n):
    it = Dying("rebound")
    it = None
    it = Dying("deleted")
    del it
    Dying("temporary")
    return n


def calls(n):
    kept = Dying("kept")
    locals_at_the_end(n)
    return rebound(n)


def calls_that_call(n):
    return calls(n) + locals_of_a_loop(n)


def argument(it):
    return 1


def gives_arguments(n):
    for _ in range(n):
        argument(Dying("argument"))
        argument(it=Dying("named"))
    return argument(Dying("last"))


def keeps_a_traceback(n):
    it = Dying("it")
    try:
        raise ValueError(n)
    except ValueError as error:
        del error
    return n


def keeps_the_frame(n):
    it = Dying("in a frame that is held")
    frame = sys._getframe()
    return n


def case_locals_at_the_end():
    return seen(locals_at_the_end, 3)


def case_locals_of_a_loop():
    return seen(locals_of_a_loop, 4)


def case_rebound():
    return seen(rebound, 3)


@known("finalizers in an inlined call see the unit's frame only")
def case_calls():
    return seen(calls, 3), seen(calls_that_call, 3)


def case_arguments():
    return seen(gives_arguments, 3)


def case_frame_objects():
    return seen(keeps_a_traceback, 3), sorted(map(str, seen(keeps_the_frame, 3)))
