# stage: built
def branches(x):
    if x is None:
        return 0
    if x > 3:
        return x - 3
    return -x


for i in range(60):
    branches(i % 6)
    branches(None)
