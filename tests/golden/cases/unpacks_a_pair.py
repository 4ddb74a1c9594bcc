# stage: insert_refcounts
def unpacks_a_pair(pairs):
    total = 0
    for a, b in pairs:
        total += a * b
    return total


for _ in range(60):
    unpacks_a_pair([(1, 2), (3, 4)])
