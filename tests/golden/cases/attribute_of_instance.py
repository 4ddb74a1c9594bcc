# stage: built
class Point:
    def __init__(self, x, y):
        self.x = x
        self.y = y


def attribute_of_instance(point):
    return point.x + point.y


for _ in range(60):
    attribute_of_instance(Point(1, 2))
