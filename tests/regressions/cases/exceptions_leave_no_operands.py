"""An exception out of compiled code left the operand stack, with the exception on it, to the frame that the traceback keeps."""

from differential import compiled

LOG = []


class Noisy:
    def __init__(self, name):
        self.name = name

    def __del__(self):
        LOG.append(self.name)


def fails(condition):
    thing = Noisy("local")
    if condition:
        raise ValueError(1)


@compiled
def case_frame_dies_with_the_exception():
    seen = []
    for _ in range(5):
        try:
            fails(1)
        except ValueError:
            pass
        seen.append(LOG[:])
        LOG.clear()
    compiled(fails)
    return seen
