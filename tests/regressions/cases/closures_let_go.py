"""What a closure holds (defaults, cells) dies with it, also while and after its code is compiled."""

from differential import compiled


class Noisy:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        log.append(self.name)


log = []


def made(a, b):
    def inner(z, n=b):
        return b, n

    inner(a)


@compiled
def case_order_of_deaths():
    log.clear()
    for number in range(12):
        made(Noisy(f"a{number}"), Noisy(f"b{number}"))
    return list(log)
