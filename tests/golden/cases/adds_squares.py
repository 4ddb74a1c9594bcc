# stage: insert_refcounts
def adds_squares(items):
    return sum(item * item for item in items)


for i in range(60):
    adds_squares([i, 2])
