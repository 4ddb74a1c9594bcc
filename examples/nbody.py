"""The motion of the outer planets: floats in a loop. Usage: nbody.py [steps]"""

import sys
from math import sqrt

DAYS = 365.24
SOLAR_MASS = 39.47841760435743

BODIES = {
    "sun": ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], SOLAR_MASS),
    "jupiter": (
        [4.84143144246472090, -1.16032004402742839, -0.103622044471123109],
        [0.00166007664274403694 * DAYS, 0.00769901118419740425 * DAYS, -0.0000690460016972063023 * DAYS],
        0.000954791938424326609 * SOLAR_MASS,
    ),
    "saturn": (
        [8.34336671824457987, 4.12479856412430479, -0.403523417114321381],
        [-0.00276742510726411346 * DAYS, 0.00499852801234917238 * DAYS, 0.0000230417297573763929 * DAYS],
        0.000285885980666130812 * SOLAR_MASS,
    ),
    "uranus": (
        [12.8943695621391310, -15.1111514016986312, -0.223307578892655734],
        [0.00296460137564761618 * DAYS, 0.00237847173959480950 * DAYS, -0.0000296589568540237556 * DAYS],
        0.0000436624404335156298 * SOLAR_MASS,
    ),
    "neptune": (
        [15.3796971148509165, -25.9193146099879641, 0.179258772950371181],
        [0.00268067772490389322 * DAYS, 0.00162824170038242295 * DAYS, -0.0000951592254519715870 * DAYS],
        0.0000515138902046611451 * SOLAR_MASS,
    ),
}


def pairs(items):
    return [(items[i], items[j]) for i in range(len(items)) for j in range(i + 1, len(items))]


def advance(dt, steps, bodies, body_pairs):
    for _ in range(steps):
        for ([x1, y1, z1], v1, m1), ([x2, y2, z2], v2, m2) in body_pairs:
            dx = x1 - x2
            dy = y1 - y2
            dz = z1 - z2
            distance = dx * dx + dy * dy + dz * dz
            magnitude = dt / (distance * sqrt(distance))
            b1 = m1 * magnitude
            b2 = m2 * magnitude
            v1[0] -= dx * b2
            v1[1] -= dy * b2
            v1[2] -= dz * b2
            v2[0] += dx * b1
            v2[1] += dy * b1
            v2[2] += dz * b1
        for r, [vx, vy, vz], _mass in bodies:
            r[0] += dt * vx
            r[1] += dt * vy
            r[2] += dt * vz


def energy(bodies, body_pairs):
    total = 0.0
    for ([x1, y1, z1], _v1, m1), ([x2, y2, z2], _v2, m2) in body_pairs:
        dx, dy, dz = x1 - x2, y1 - y2, z1 - z2
        total -= m1 * m2 / sqrt(dx * dx + dy * dy + dz * dz)
    for _r, [vx, vy, vz], mass in bodies:
        total += mass * (vx * vx + vy * vy + vz * vz) / 2.0
    return total


def offset_momentum(bodies, reference):
    momentum = [0.0, 0.0, 0.0]
    for _r, velocity, mass in bodies:
        for axis in range(3):
            momentum[axis] -= velocity[axis] * mass
    _r, velocity, mass = reference
    for axis in range(3):
        velocity[axis] = momentum[axis] / mass


def main(steps):
    bodies = list(BODIES.values())
    body_pairs = pairs(bodies)
    offset_momentum(bodies, BODIES["sun"])
    print(f"energy before: {energy(bodies, body_pairs):.9f}")
    advance(0.01, steps, bodies, body_pairs)
    print(f"energy after {steps} steps: {energy(bodies, body_pairs):.9f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 600_000)
