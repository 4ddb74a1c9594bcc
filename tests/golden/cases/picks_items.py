# stage: built
def picks_items(pool, indices):
    return tuple(pool[index] for index in indices)


for i in range(60):
    picks_items((i, "a"), [1, 0])
