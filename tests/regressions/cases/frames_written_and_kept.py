"""Writes through `f_locals`, frame objects of inlined calls that are kept, tracing begun by a call, references of `self`
and frames that open a piece of the data stack."""

import sys
import weakref


def set_x(value):
    sys._getframe(1).f_locals["x"] = value


def case_a_local_is_written_from_a_callee():
    def run(n):
        x = 1
        y = [n]
        set_x(n + 5)
        return x, y, n

    return [run(i) for i in range(8)]


def case_locals_of_inlined_calls_are_written():
    def inner(n):
        w = 5
        sys._getframe(0).f_locals["w"] = n * 1000
        sys._getframe(1).f_locals["z"] = n * 1000
        return w

    def outer(n):
        z = object()
        return inner(n), z

    seen = []
    for i in range(8):
        seen.append(outer(i))
    return seen


def case_a_kept_frame_goes_on():
    def inner(n):
        frame = sys._getframe()
        later = n + 1
        return frame

    def outer(n):
        return inner(n)

    seen = []
    for i in range(8):
        frame = outer(i)
        names = sorted(name for name in frame.f_locals)
        seen.append((names, frame.f_locals["later"], frame.f_locals["frame"] is frame))
        frame.clear()
        del frame
    return seen


def case_tracing_begun_by_a_call_is_noticed():
    def callee():
        return 1

    def run(begins):
        events = []

        def trace(frame, event, argument):
            if frame.f_code.co_name == "callee":
                events.append(event)
            return trace

        callee()
        before = sys.gettrace()
        if begins:
            sys.settrace(trace)
        callee()
        sys.settrace(before)
        return events

    return [run(i > 4) for i in range(8)]


class Context:
    def __enter__(self):
        return None

    def __exit__(self, *arguments):
        return None


def case_self_of_a_method_call_stays_the_callers():
    def run():
        with Context():
            pass
        context = Context()
        with context:
            pass
        reference = weakref.ref(context)
        del context
        return reference() is None

    return [run() for _ in range(8)]


def case_frames_open_pieces_of_the_data_stack():
    def deep(depth, *rest, **named):
        if depth == 0:
            return len(rest) + len(named)
        return deep(depth - 1, *rest, **named)

    return [deep(depth, 1, 2, a=3) for depth in range(0, 400, 7)]


def case_loops_over_iterators_and_containers_at_one_place():
    def run(items):
        total = 0
        for item in items:
            total += item
        return total

    makers = [lambda: b"abc", lambda: [1, 2, 3], lambda: (4, 5), lambda: {6: 1, 7: 2}, lambda: range(9), lambda: iter([1, 2])]
    return [run(maker()) for _ in range(4) for maker in makers]
