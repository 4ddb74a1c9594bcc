# stage: insert_refcounts
def float_loop(values, factor):
    total = 0.0
    for value in values:
        total += value * factor
    return total


for _ in range(60):
    float_loop([1.5, 2.5], 0.5)
