"""A loop that goes round only by an exception handler, entered in the loop inside it."""


def marks(pieces):
    found = bytearray(8)
    rest = []
    for piece in pieces:
        while True:
            try:
                if isinstance(piece, int):
                    found[piece] = 1
                else:
                    for index in piece:
                        found[index] = 1
            except IndexError:
                if len(found) == 8:
                    found += bytes(24)
                    continue
                rest.append(piece)
            break
    return found.count(1), len(found), rest


PIECES = [[1, range(3, 6)], [range(4, 12), 2, 30], [31, 40, range(6)], [range(20, 50), 3], [2, range(2, 30), range(40)]]


def case_loops_that_go_on_from_a_handler():
    return [marks(pieces) for _ in range(12) for pieces in PIECES]
