"""What stands or drives in a street: each is drawn at (x, z), in metres, on the road or beside it."""

import numpy as np

from input_pipeline.datasets._streets.canvas import Canvas

SKY, BUILDING, ROAD, MARKING, PAVEMENT, TREE, POLE, SIGN, CAR, PEDESTRIAN, BONNET = range(11)


def gray(rng: np.random.Generator, low: float, high: float, spread: float = 8) -> np.ndarray:
    """A nearly gray colour."""
    return rng.uniform(low, high) + rng.normal(0, spread, 3)


def any_color(rng: np.random.Generator) -> np.ndarray:
    """Any colour: cars, clothes and signs share theirs with all else."""
    return gray(rng, 25, 225) if rng.random() < 0.45 else rng.uniform(15, 215, 3)


def leaves(rng: np.random.Generator) -> np.ndarray:
    """The colour of a crown, in any season."""
    colors = [(70, 105, 40), (45, 80, 45), (105, 115, 45), (150, 105, 45), (90, 95, 70)]
    return np.array(colors[rng.choice(len(colors), p=[0.4, 0.25, 0.15, 0.1, 0.1])]) * rng.uniform(0.6, 1.2)


def car(canvas: Canvas, rng: np.random.Generator, x: float, z: float, night: bool) -> None:
    """A car, a van or a lorry seen from behind or from ahead."""
    kind = rng.choice(3, p=[0.7, 0.2, 0.1])
    wide, tall, long = ((1.8, 1.45, 4.2), (1.95, 2.0, 4.8), (2.3, 3.0, 7.0))[kind]
    wide, tall = wide * rng.uniform(0.92, 1.08), tall * rng.uniform(0.95, 1.1)
    waist = tall * (0.6, 0.5, 0.45)[kind]
    paint, x0, x1 = any_color(rng), x - wide / 2, x + wide / 2
    tyre = canvas.add(CAR, (22, 22, 24), z, 0.05)
    for wheel in (x0 + 0.2, x1 - 0.2):
        canvas.upright(tyre, wheel, z, 0, 0.4, 0.26)
    canvas.polygons(0, [_shade(x0 - 0.15, x1 + 0.15, z - 0.1, z + long)], shadow=True)
    canvas.box(CAR, paint, (x0, x1), (0.28, waist), (z, z + long))
    side = x0 if x0 > 0 else x1 if x1 < 0 else None
    if side is not None:
        for wheel in (z + 0.8, z + long - 0.8):
            turn = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            rim = [(side, 0.33 + 0.33 * np.sin(a), wheel + 0.33 * np.cos(a)) for a in turn]
            canvas.polygons(tyre, [rim])
    inset, back = (0.18, 0.7) if kind == 0 else (0.06, 0.05)
    front = z + long - (1.3 if kind == 0 else 0.9)
    canvas.box(CAR, paint * 0.95, (x0 + inset, x1 - inset), (waist, tall), (z + back, front))
    glass = canvas.add(CAR, rng.uniform(25, 90) + np.array((0, 5, 12)), z, 0.08)
    if kind < 2 or rng.random() < 0.3:
        y0, y1, zz = waist + 0.05, tall - 0.12, z + back
        canvas.polygons(glass, [[(x0 + inset + 0.12, y0, zz), (x1 - inset - 0.12, y0, zz),
                                 (x1 - inset - 0.2, y1, zz), (x0 + inset + 0.2, y1, zz)]])  # fmt: skip
    if side is not None:
        s, y0, y1 = side + (inset if side == x0 else -inset), waist + 0.05, tall - 0.12
        middle = (z + back + front) / 2
        for z0, z1 in ((z + back + 0.2, middle - 0.08), (middle + 0.08, front - 0.2)):
            canvas.polygons(glass, [[(s, y0, z0), (s, y0, z1), (s, y1, z1), (s, y1, z0)]])
    lamps = canvas.add(CAR, (200, 35, 30) if rng.random() < 0.6 else (235, 230, 205), z, 0.0, glow=0.85 * night)
    for lamp in (x0 + 0.22, x1 - 0.22):
        canvas.upright(lamps, lamp, z, waist - 0.32, waist - 0.12, 0.3)
    plate = canvas.add(CAR, (205, 205, 190), z, 0.02)
    canvas.upright(plate, x, z, 0.42, 0.56, 0.5)


def crossing_car(canvas: Canvas, rng: np.random.Generator, x: float, z: float, night: bool) -> None:
    """A car seen from its side."""
    long, paint = rng.uniform(3.8, 4.6), any_color(rng)
    x0, x1, waist, tall = x - long / 2, x + long / 2, 0.85, 1.45
    canvas.polygons(0, [_shade(x0, x1, z - 0.1, z + 1.8)], shadow=True)
    canvas.box(CAR, paint, (x0, x1), (0.28, waist), (z, z + 1.8))
    roof = [(x0 + 0.5, waist, z), (x1 - 1.0, waist, z), (x1 - 1.6, tall, z), (x0 + 1.0, tall, z)]
    canvas.polygons(canvas.add(CAR, paint * 0.97, z, 0.03), [roof])
    middle = np.mean(roof, axis=0)
    glass = canvas.add(CAR, rng.uniform(25, 90) + np.array((0, 5, 12)), z, 0.08)
    canvas.polygons(glass, [middle + (np.array(roof) - middle) * (0.85, 0.75, 1)])
    canvas.upright(canvas.add(CAR, paint * 0.9, z, 0.03), middle[0], z, waist, tall, 0.1)
    tyre, rim = canvas.add(CAR, (22, 22, 24), z, 0.05), canvas.add(CAR, (140, 140, 145), z, 0.05)
    for wheel in (x0 + 0.75, x1 - 0.75):
        canvas.disc(tyre, (wheel, 0.33, z), 0.36)
        canvas.disc(rim, (wheel, 0.33, z), 0.16)


def tree(canvas: Canvas, rng: np.random.Generator, x: float, z: float, night: bool) -> None:
    """A trunk and a crown of leaves."""
    bark = canvas.add(TREE, np.array((90, 72, 55)) * rng.uniform(0.5, 1.1), z, 0.2)
    high, wide = rng.uniform(2.2, 3.6), rng.uniform(1.1, 2.1)
    canvas.upright(bark, x, z, 0, high + 0.5, rng.uniform(0.28, 0.5), minimum=3)
    canvas.polygons(0, [_shade(x - wide, x + wide, z - 1, z + 1)], shadow=True)
    color = leaves(rng)
    for shade in (0.7, 0.85, 1.0, 1.15):
        part = canvas.add(TREE, color * shade, z, 0.35)
        for _ in range(4):
            dx, dy = rng.normal(0, wide * 0.45), rng.normal(0, wide * 0.35)
            center = (x + dx, high + wide * 0.7 + dy + shade * 0.6, z)
            canvas.disc(part, center, wide * rng.uniform(0.35, 0.62))


def lamp(canvas: Canvas, rng: np.random.Generator, x: float, z: float, night: bool) -> None:
    """A street lamp, or a bare mast."""
    color = gray(rng, 45, 190)
    part = canvas.add(POLE, color, z, 0.05)
    high, arm = rng.uniform(5, 8), rng.uniform(0.8, 2) * (-1 if x > 0 else 1)
    _mast(canvas, color, x, z, high, rng.uniform(0.18, 0.26))
    if rng.random() < 0.75:
        thick = max(0.14, 2.5 / canvas.scale(z))
        ends = [(x, high - thick), (x + arm, high - thick + 0.3), (x + arm, high + 0.3), (x, high)]
        canvas.polygons(part, [[(*p, z) for p in ends]])
        bulb = canvas.add(POLE, (255, 225, 160), z, 0.0, glow=1.0 * night)
        canvas.upright(bulb, x + arm * 0.85, z, high - 0.1, high + 0.3, 0.6)


def sign(canvas: Canvas, rng: np.random.Generator, x: float, z: float, night: bool) -> None:
    """A traffic sign on its pole."""
    high, r = rng.uniform(2.1, 3.2), rng.uniform(0.42, 0.6)
    _mast(canvas, gray(rng, 70, 190), x, z, high, 0.14)
    for level in range(1 + (rng.random() < 0.25)):
        y, shape = high - level * 2.1 * r, rng.integers(4)
        rim, field = _sign_colors(rng)
        outer, inner = (canvas.add(SIGN, c, z - 0.02, 0.04) for c in (rim, field))
        for part, size in ((outer, r), (inner, r * 0.66)):
            if shape == 0:
                canvas.disc(part, (x, y, z), size)
            elif shape == 1:
                canvas.polygons(part, [[(x - size, y - size, z), (x + size, y - size, z), (x, y + size, z)]])
            elif shape == 2:
                canvas.upright(part, x, z, y - size, y + size, 1.9 * size)
            else:
                canvas.polygons(part, [[(x - size, y, z), (x, y - size, z), (x + size, y, z), (x, y + size, z)]])
        if rng.random() < 0.6:
            mark = canvas.add(SIGN, rim if rng.random() < 0.5 else (30, 30, 30), z, 0.02)
            canvas.upright(mark, x, z, y - r * 0.35, y + r * 0.35, r * 0.3)


def pedestrian(canvas: Canvas, rng: np.random.Generator, x: float, z: float, night: bool) -> None:
    """Somebody standing or walking."""
    tall, stride = rng.uniform(1.5, 1.95), rng.uniform(0, 0.28)
    legs, coat = (canvas.add(PEDESTRIAN, any_color(rng), z, 0.08) for _ in range(2))
    skin = canvas.add(PEDESTRIAN, np.array((205, 160, 130)) * rng.uniform(0.35, 1.1), z, 0.04)
    hair = canvas.add(PEDESTRIAN, gray(rng, 20, 120, 15), z, 0.1)
    canvas.polygons(0, [_shade(x - 0.3, x + 0.3, z - 0.2, z + 0.4)], shadow=True)
    hip, neck = tall * 0.48, tall * 0.84
    for step in (-stride, stride):
        foot = x + step
        canvas.polygons(
            legs, [[(foot - 0.1, 0, z), (foot + 0.1, 0, z), (x + 0.17, hip + 0.05, z), (x - 0.17, hip + 0.05, z)]]
        )
    skirt = rng.uniform(0.2, 0.32)
    body = [(x - skirt, hip * rng.uniform(0.75, 1.0), z), (x + skirt, hip, z), (x + 0.28, neck, z), (x - 0.28, neck, z)]
    canvas.polygons(coat, [body])
    for side in (-1, 1):
        hand = x + side * (0.3 + stride * 0.5)
        arm = [(x + side * 0.16, neck, z), (x + side * 0.27, neck, z), (hand, hip, z), (hand - side * 0.11, hip, z)]
        canvas.polygons(coat, [arm])
    canvas.disc(hair, (x, tall - 0.12, z), 0.17, squeeze=0.9)
    canvas.disc(skin, (x + rng.choice([-0.04, 0, 0.04]), tall - 0.15, z - 0.01), 0.13, squeeze=0.8)


def bonnet(canvas: Canvas, rng: np.random.Generator) -> None:
    """The camera's own car at the lower edge: no class of the table."""
    height, width = canvas.size
    rows = height - height * rng.uniform(0.05, 0.1) * (1 - np.linspace(-1, 1, width) ** 2 * rng.uniform(0.3, 0.9))
    below = np.arange(height)[:, None] >= rows[None]
    canvas.part[below] = canvas.add(BONNET, any_color(rng) * 0.8, 1.0, 0.02)


def _mast(canvas, color, x, z, high, width):
    """A round mast: one side of it is darker."""
    width = max(width, 3 / canvas.scale(z))
    canvas.upright(canvas.add(POLE, color * 1.1, z, 0.04), x, z, 0, high, width)
    canvas.upright(canvas.add(POLE, color * 0.65, z, 0.04), x + width * 0.3, z, 0, high, width * 0.4)


def _shade(x0, x1, z0, z1):
    return [(x0, 0, max(z0, 1)), (x1, 0, max(z0, 1)), (x1, 0, z1), (x0, 0, z1)]


def _sign_colors(rng):
    pairs = [((200, 30, 35), (235, 235, 230)), ((30, 75, 165), (235, 235, 235)), ((35, 75, 160), (35, 80, 170)),
             ((235, 235, 230), (25, 110, 70)), ((30, 30, 30), (240, 195, 40)), ((190, 30, 35), (180, 25, 30)),
             ((130, 130, 130), (215, 215, 210)), ((25, 100, 60), (35, 120, 75))]  # fmt: skip
    rim, field = pairs[rng.integers(len(pairs))]
    return np.array(rim) * rng.uniform(0.7, 1.05), np.array(field) * rng.uniform(0.7, 1.05)
