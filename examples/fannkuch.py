"""Flipping pancakes in every order: small ints and lists. Usage: fannkuch.py [size]"""

import sys


def fannkuch(size):
    """Returns the checksum, and the most flips that any order of `size` pancakes needs."""
    order = list(range(size))
    count = list(range(1, size + 1))
    most_flips = checksum = permutation = 0
    remaining = size
    while True:
        while remaining != 1:
            count[remaining - 1] = remaining
            remaining -= 1
        flips = 0
        pancakes = order[:]
        top = pancakes[0]
        while top:
            pancakes[: top + 1] = pancakes[top::-1]
            flips += 1
            top = pancakes[0]
        most_flips = max(most_flips, flips)
        checksum += -flips if permutation % 2 else flips
        while remaining != size:
            order.insert(remaining, order.pop(0))
            count[remaining] -= 1
            if count[remaining] > 0:
                break
            remaining += 1
        else:
            return checksum, most_flips
        permutation += 1


if __name__ == "__main__":
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    checksum, most_flips = fannkuch(size)
    print(checksum)
    print(f"Pfannkuchen({size}) = {most_flips}")
