# stage: remove_guards


class Point:
    def __init__(self):
        self.x = 1
        self.y = 2


class Other:
    def __init__(self):
        self.x = 3
        self.y = 4


def two_classes(point):
    point.x = point.y
    return point.x, point.y


POINTS = [Point(), Other()]

# What was left often is looked at again when another function gets warm.
list(map(two_classes, POINTS * 300))
exec("def another(): pass\nanother()")
list(map(two_classes, POINTS * 1500))
exec("def another(): pass\nanother()")
two_classes(Point())
