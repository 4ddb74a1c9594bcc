"""Calls of functions with `*args` and `**kwargs` in line."""

import sys

from differential import compiled


class Logger:
    def __init__(self):
        self.level = 30
        self.lines = []

    def is_enabled(self, level):
        return level >= self.level

    def debug(self, message, *args, **kwargs):
        if self.is_enabled(10):
            self.lines.append((message, args, kwargs))

    def warning(self, message, *args, **kwargs):
        if self.is_enabled(30):
            self.lines.append((message, args, kwargs))


def pack(*args):
    return args


def both(a, *args, **kwargs):
    kwargs["a"] = a
    return args, kwargs


def with_default(a, b=2, *rest):
    return a, b, rest


def named(a, **kwargs):
    return a, len(kwargs), kwargs


@compiled
def calls(logger, i):
    logger.debug("x")
    logger.debug("x", i)
    logger.warning("y", i, i + 1)
    return pack(), pack(i), pack(i, i * 2.5, "z"), both(i), both(i, i, i), with_default(i), with_default(i, 5), \
        with_default(i, 5, i, 7), named(i), both(i, k=3)


def case_calls():
    logger = Logger()
    seen = [calls(logger, i) for i in range(30)]
    return seen[-2:], calls(logger, 2**70), calls(logger, 2.5), logger.lines[-4:]


def many_defaults(a, b=1, c=2, d=3, e=4, **kwargs):
    return a, b, c, d, e, kwargs


def many_defaults_and_rest(a, b=1, c=2, d=3, *rest):
    return a, b, c, d, rest


@compiled
def leaves_defaults_out(i):
    return many_defaults(i)


@compiled
def leaves_defaults_and_rest_out(i):
    return many_defaults_and_rest(i)


def case_more_defaults_than_operands():
    return [(leaves_defaults_out(i), leaves_defaults_and_rest_out(i)) for i in range(20)][-2:]


def raises(a, *args):
    return a + args[0]


@compiled
def tries(a, b):
    try:
        return raises(a, b)
    except (TypeError, IndexError) as error:
        return f"{type(error).__name__}: {error}"


def case_exceptions():
    for _ in range(30):
        tries(1, 2)
    return [tries(*pair) for pair in [(1, "a"), ("a", 1), (1.5, 2), (None, None)] * 5]


class Finalized:
    def __init__(self, log, name):
        self.log, self.name = log, name

    def __del__(self):
        self.log.append(self.name)


def takes(*args):
    return len(args)


@compiled
def deaths(log, i):
    takes(Finalized(log, i), Finalized(log, -i))
    log.append("after")


def case_deaths():
    log = []
    for i in range(25):
        deaths(log, i)
    return log[-6:]


def depth_of(*args, **kwargs):
    frame = sys._getframe()
    return sorted(frame.f_locals), frame.f_back.f_code.co_name


@compiled
def looks(i):
    return depth_of(i)


def case_frames():
    return [looks(i) for i in range(20)][-1]


@compiled
def passes_on(*args, **kwargs):
    return both(*args, **kwargs)


def case_passed_on():
    return [passes_on(i, i + 1, key=i) for i in range(20)][-2:]
