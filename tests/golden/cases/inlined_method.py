# stage: built
class Square:
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side * self.side


def inlined_method(shape):
    return shape.area() + 1


square = Square(3)
for _ in range(60):
    inlined_method(square)
