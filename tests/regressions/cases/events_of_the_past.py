"""Code that is left for the interpreter in the middle hears nothing of tools that listened when it was last interpreted."""

import sys

monitoring = sys.monitoring
events = monitoring.events
TOOL = 2


def inner(x):
    if x < 0:
        x = x * x
    return x + 1


def outer(x, calls):
    if calls:
        return inner(x)
    return x


def case_a_tool_that_has_gone():
    heard = []

    def returned(code, offset, value):
        if code in (inner.__code__, outer.__code__):
            heard.append((code.co_name, value))

    for _ in range(4):
        outer(1, True)
        outer(1, False)
    monitoring.use_tool_id(TOOL, "test")
    monitoring.register_callback(TOOL, events.PY_RETURN, returned)
    try:
        monitoring.set_events(TOOL, events.PY_RETURN)
        outer(1, True)
        monitoring.set_events(TOOL, 0)
        heard.append("nothing from here on")
        for _ in range(3):
            outer(1, False)
        outer(-1, True)
        outer(1, True)
        return heard
    finally:
        monitoring.set_events(TOOL, 0)
        monitoring.register_callback(TOOL, events.PY_RETURN, None)
        monitoring.free_tool_id(TOOL)


def case_a_tracer_that_has_gone():
    seen = []

    def trace(frame, event, argument):
        if frame.f_code in (inner.__code__, outer.__code__):
            seen.append((frame.f_code.co_name, event))
        return trace

    for _ in range(4):
        outer(1, True)
        outer(1, False)
    sys.settrace(trace)
    outer(1, True)
    sys.settrace(None)
    for _ in range(3):
        outer(1, False)
    return outer(-1, True), outer(1, True), seen
