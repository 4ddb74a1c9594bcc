# stage: built
LIMIT = 10


def global_constant(x):
    return x < LIMIT


for i in range(60):
    global_constant(i)
