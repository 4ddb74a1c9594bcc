"""A local that is unbound on one path, perhaps unbound on another and an int on a third."""

from differential import compiled


def joins(x, values):
    for a in values:
        if x > 2:
            t = 3
            continue
        for b in values:
            if a == b:
                t = a + 1
    else:
        if x == 0:
            return "early"
        if x == 3:
            t = 5
    try:
        return t
    except UnboundLocalError as error:
        return str(error)


@compiled
def case_joins():
    compiled(joins)
    return [joins(x, values) for values in ([], [1], [1, 2, 3]) for x in range(5)]
