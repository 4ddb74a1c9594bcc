"""`f(*arguments)`: what the tuple held dies in the callee that lets go of it."""

from differential import known


class Noisy:
    def __init__(self, log):
        self.log = log

    def __del__(self):
        self.log.append("gone")


def let_go(thing, log):
    thing = None
    log.append("let go")
    return thing


@known("the tuple lives until the call returns")
def case_the_last_reference_is_the_callees():
    def run(make):
        log = []
        let_go(*make(log))
        return log

    return [run(lambda log: (Noisy(log), log)) for _ in range(8)]
