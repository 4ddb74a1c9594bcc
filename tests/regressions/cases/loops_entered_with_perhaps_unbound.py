"""A loop entered with a local that is perhaps unbound, and assigned an int in the loop."""

from differential import compiled


def twice(a, c):
    for j in a:
        v = j + 0.5
    for j in c:
        v = 10**19
    for j in a:
        v = 3
    return v


@compiled
def case_twice():
    seen = []
    for a, c in [((1, 2), (3,)), ((), (1, 2)), ((1,), ()), ((1, 2, 3), (4, 5))] * 2:
        seen.append(twice(a, c))
    compiled(twice)
    try:
        twice((), ())
    except UnboundLocalError as error:
        seen.append(str(error))
    return seen
