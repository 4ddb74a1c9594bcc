"""A frame object of an inlined call that nobody holds, but that was told to trace, goes on tracing behind the call."""

import sys

from differential import compiled


def nothing():
    pass


def stepped(n, action):
    total = 0
    for i in range(n):
        total += i
        if i == 3:
            action()
        total += 1
    return total


def outer(n, action):
    return stepped(n, action) + 1


@compiled
def case_trace_function_set_from_below():
    def run(change):
        events = []

        def trace(frame, event, argument):
            events.append((event, frame.f_lineno - frame.f_code.co_firstlineno))
            return trace

        def on():
            sys.settrace(trace)
            change(sys._getframe(1), trace)

        result = outer(6, on)
        sys.settrace(None)
        return result, events[-12:]

    def traced(frame, trace):
        frame.f_trace = trace

    def without_lines(frame, trace):
        frame.f_trace = trace
        frame.f_trace_lines = False

    for _ in range(30):
        outer(6, nothing)
    return [run(change) for change in (traced, without_lines, traced) for _ in range(3)]
