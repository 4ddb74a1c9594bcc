"""Setters of frames keep the exception they raise, also where compiled code has a door into the frame's code."""

import sys


def make(raises):
    for _ in range(3):
        frame = sys._getframe()
    if raises:
        raise ValueError(raises)
    return frame


def attempt(operation, *arguments):
    try:
        return operation(*arguments)
    except Exception as error:
        return type(error).__name__, str(error)


def case_wrong_values():
    found = []
    for _ in range(4):
        frame = make(0)
        for name in ("f_trace_lines", "f_trace_opcodes"):
            for value in (False, 1, None, True, False):
                found.append(attempt(setattr, frame, name, value))
                found.append(getattr(frame, name))
            found.append(attempt(delattr, frame, name))
    return found


def case_nobody_listens():
    for _ in range(4):
        make(0)
    return [sys.monitoring.get_events(tool) for tool in range(6)], sys.monitoring._all_events(), attempt(sys.monitoring.get_events, "5")
