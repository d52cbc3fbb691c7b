"""One street: what stands where, and in what light."""

import numpy as np

from input_pipeline.datasets._streets import things
from input_pipeline.datasets._streets.canvas import Canvas
from input_pipeline.datasets._streets.things import (
    BUILDING,
    MARKING,
    PAVEMENT,
    ROAD,
    SKY,
    TREE,
    any_color,
    gray,
    leaves,
)

FAR = 400.0  # metres: where the ground ends
WALLS = (
    (150, 95, 75), (190, 170, 140), (140, 140, 145), (95, 100, 110), (175, 130, 100), (205, 200, 190), (110, 125, 100)
)  # fmt: skip


def draw(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns (image RGB uint8, class ids uint8, things int32) of a street nobody has seen.

    Things are numbered from 1, the farthest first; 0 is all that is no thing. A sign and its pole are one thing.
    """
    height, width = size
    vanishing = (width * rng.uniform(0.32, 0.68), height * rng.uniform(0.4, 0.54))
    canvas = Canvas(size, vanishing, focal=width * rng.uniform(0.8, 1.1), camera=rng.uniform(1.5, 2.4))
    light = _light(rng)
    road = (-rng.uniform(2.4, 5), rng.uniform(2.4, 5))  # metres left and right of the camera
    walk = (road[0] - rng.uniform(2.2, 4.5), road[1] + rng.uniform(2.2, 4.5))
    _sky(canvas, rng, light)
    _ground(canvas, rng, road)
    _markings(canvas, rng, road)
    _facades(canvas, rng, walk, light)
    first = []  # the first row of each thing in the canvas' table
    for z, thing, x in sorted(_inventory(rng, road, walk), key=lambda t: -t[0]):
        first.append(len(canvas.table))
        thing(canvas, rng, x, z, light["kind"] == "night")
    last = len(canvas.table)
    if rng.random() < 0.3:
        things.bonnet(canvas, rng)
    _shadows(canvas, rng, walk)
    label = canvas.label()
    canvas.shadow[~np.isin(label, (ROAD, MARKING, PAVEMENT))] = 0
    numbers = np.searchsorted(first, np.arange(len(canvas.table)), side="right").astype(np.int32)
    numbers[last:] = 0
    return canvas.render(rng, light), label, numbers[canvas.part]


def _light(rng):
    """Day, overcast, dusk or night; a cast of colour; fog now and then."""
    kind = str(rng.choice(["day", "overcast", "dusk", "night"], p=[0.42, 0.28, 0.2, 0.1]))
    gain = {"day": (0.9, 1.2), "overcast": (0.7, 1.0), "dusk": (0.5, 0.8), "night": (0.4, 0.6)}[kind]
    tint = {
        "day": (1.0, 1.0, 0.97),
        "overcast": (0.97, 1.0, 1.03),
        "dusk": (1.15, 0.95, 0.85),
        "night": (0.85, 0.95, 1.2),
    }
    top = {"day": (105, 150, 215), "overcast": (165, 170, 175), "dusk": (110, 105, 140), "night": (25, 28, 45)}
    low = {"day": (205, 220, 235), "overcast": (190, 192, 195), "dusk": (235, 170, 120), "night": (60, 55, 60)}
    level = rng.uniform(0.6, 1.2)
    sky = [np.array(c[kind]) * level + rng.normal(0, 8, 3) for c in (top, low)]
    return {
        "kind": kind,
        "sky": sky,
        "gain": rng.uniform(*gain),
        "tint": np.array(tint[kind]) * rng.uniform(0.9, 1.1, 3),
        "shadow": {"day": rng.uniform(0.3, 0.65), "dusk": 0.3}.get(kind, 0.12),
        "halo": {"dusk": 0.25, "night": 0.6}.get(kind, 0.0),
        "sight": rng.uniform(50, 130) if rng.random() < 0.15 else rng.uniform(250, 900),
        "fog": sky[1],
        "blur": rng.uniform(0.35, 0.7),
        "gamma": rng.uniform(0.8, 1.25),
        "noise": rng.uniform(1, 4) + 2 * (kind == "night"),
    }


def _between(a, b, t):
    return np.asarray(a) * (1 - t) + np.asarray(b) * t


def _floor(x0, x1, z0, z1):
    return [(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)]


def _sky(canvas, rng, light):
    bands = 24
    rows = np.linspace(0, canvas.size[0], bands + 1).astype(int)
    for i in range(bands):
        color = _between(*light["sky"], min(1, i / (bands * 0.5)))
        canvas.part[rows[i] : rows[i + 1]] = canvas.add(SKY, color, FAR * 0.01, 0.01, glow=1.0)
    cloud = _between(light["sky"][1], (235, 235, 235), rng.uniform(0, 0.6))
    part = canvas.add(SKY, cloud, FAR * 0.01, 0.02, glow=1.0)
    for _ in range(rng.integers(0, 7)):
        x, y = rng.uniform(-60, 60), rng.uniform(8, 60)
        for _ in range(4):
            canvas.disc(part, (x + rng.uniform(-9, 9), y, 100), rng.uniform(1, 3.5), squeeze=3.0)
    # The skyline behind the street: no ground shows between the houses.
    x = -130.0
    while x < 130:
        wide, tall = rng.uniform(6, 22), rng.uniform(5, 24)
        if rng.random() < 0.3:
            part = canvas.add(TREE, leaves(rng), 120, 0.25)
            for _ in range(3):
                canvas.disc(part, (x + rng.uniform(0, wide), rng.uniform(1, 3), 120), rng.uniform(4, 7))
        canvas.upright(canvas.add(BUILDING, _wall(rng), 120), x + wide / 2, 120, 0, tall * (rng.random() < 0.75), wide)
        x += wide


def _ground(canvas, rng, road):
    paving = canvas.add(PAVEMENT, gray(rng, 105, 195, 10), 8, 0.08)
    canvas.polygons(paving, [_floor(-300, 300, 1, FAR)])
    kerb = canvas.add(PAVEMENT, gray(rng, 140, 220), 10, 0.05)
    canvas.polygons(kerb, [_floor(x - 0.2, x + 0.2, 1, FAR) for x in road])
    seams = canvas.add(PAVEMENT, np.array(canvas.table[paving][1]) * 0.8, 8, 0.05)
    if rng.random() < 0.6:
        step = rng.uniform(1.5, 3)
        canvas.polygons(seams, [_floor(-40, 40, z, z + 0.12) for z in np.arange(3, 14, step)])
    asphalt = canvas.add(ROAD, gray(rng, 50, 130, 6), 8, rng.uniform(0.05, 0.14))
    canvas.polygons(asphalt, [_floor(*road, 1, FAR)])
    for _ in range(rng.integers(0, 4)):  # patches of another asphalt
        x, z = rng.uniform(road[0], road[1] - 1), rng.uniform(4, 20)
        patch = canvas.add(ROAD, np.array(canvas.table[asphalt][1]) * rng.uniform(0.75, 1.2), z, 0.1)
        canvas.polygons(patch, [_floor(x, min(road[1], x + rng.uniform(0.6, 2)), z, z + rng.uniform(1, 8))])


def _markings(canvas, rng, road):
    paint = gray(rng, 165, 240) if rng.random() < 0.8 else np.array((225, 185, 60)) * rng.uniform(0.8, 1)
    part = canvas.add(MARKING, paint, 8, rng.uniform(0.05, 0.15))
    half = rng.uniform(0.08, 0.13)
    lanes = max(2, round((road[1] - road[0]) / rng.uniform(3, 4)))
    solid = rng.random() < 0.25
    for x in np.linspace(road[0], road[1], lanes + 1)[1:-1]:
        dash, gap, start = rng.uniform(2.5, 4), rng.uniform(2, 4), rng.uniform(1, 5)
        starts = [1.0] if solid else np.arange(start, 24, dash + gap)
        canvas.polygons(part, [_floor(x - half, x + half, z, 28 if solid else z + dash) for z in starts])
    if rng.random() < 0.5:
        edges = (road[0] + 0.45, road[1] - 0.45)
        canvas.polygons(part, [_floor(x - half, x + half, 1, 28) for x in edges])
    if rng.random() < 0.35:  # a zebra crossing
        z, width = rng.uniform(7, 14), rng.uniform(0.45, 0.6)
        bars = np.arange(road[0] + 0.3, road[1] - width, 2 * width)
        canvas.polygons(part, [_floor(x, x + width, z, z + 3) for x in bars])


def _wall(rng):
    return np.array(WALLS[rng.integers(len(WALLS))]) * rng.uniform(0.6, 1.15) + rng.normal(0, 10, 3)


def _facades(canvas, rng, walk, light):
    """Rows of houses on both sides, drawn from the far end; now and then one is missing."""
    for side, x in zip((-1, 1), walk, strict=True):
        edges, z = [], rng.uniform(1.2, 6)
        while z < 70:
            edges.append((z, z + rng.uniform(6, 18)))
            z = edges[-1][1]
        for z0, z1 in reversed(edges):
            if rng.random() < 0.12:
                continue
            tall, wall, deep = rng.uniform(5, 16), _wall(rng), 12 * side
            front = canvas.add(BUILDING, wall * 0.7, z0, 0.06)
            canvas.polygons(front, [[(x, 0, z0), (x + deep, 0, z0), (x + deep, tall, z0), (x, tall, z0)]])
            part = canvas.add(BUILDING, wall, (z0 + z1) / 2, 0.08)
            canvas.polygons(part, [[(x, 0, z0), (x, 0, z1), (x, tall, z1), (x, tall, z0)]])
            _windows(canvas, rng, light, x, z0, z1, tall)


def _windows(canvas, rng, light, x, z0, z1, tall):
    storey, step = rng.uniform(2.8, 3.5), rng.uniform(2, 3.2)
    wide, high = step * rng.uniform(0.35, 0.6), storey * rng.uniform(0.4, 0.65)
    if z0 > 45:
        return
    bottom, left = np.meshgrid(np.arange(storey + 0.8, tall - high, storey), np.arange(z0 + 0.5, z1 - wide, step))
    corners = [(0, 0), (0, wide), (high, wide), (high, 0)]
    panes = [[(x, y + dy, z + dz) for dy, dz in corners] for y, z in zip(bottom.ravel(), left.ravel(), strict=True)]
    bright = {"dusk": 0.4, "night": 0.5}.get(light["kind"], 0.0)
    on = rng.random(len(panes)) < bright
    glass = canvas.add(BUILDING, _between((30, 35, 45), light["sky"][0], rng.uniform(0, 0.6)), z0, 0.05)
    lamp = canvas.add(BUILDING, (235, 195, 120), z0, 0.05, glow=0.8)
    for part, chosen in ((glass, ~on), (lamp, on)):
        if chosen.any():
            canvas.polygons(part, np.array(panes)[chosen])
    if rng.random() < 0.5:  # a shop: a dark front with an awning
        shop = canvas.add(BUILDING, gray(rng, 30, 110), z0, 0.15)
        canvas.polygons(shop, [[(x, 0.4, z0 + 0.6), (x, 2.4, z0 + 0.6), (x, 2.4, z1 - 0.6), (x, 0.4, z1 - 0.6)]])
        awning = canvas.add(BUILDING, any_color(rng), z0, 0.05)
        canvas.polygons(awning, [[(x, 2.4, z0 + 0.6), (x, 3.0, z0 + 0.6), (x, 3.0, z1 - 0.6), (x, 2.4, z1 - 0.6)]])


def _inventory(rng, road, walk):
    """Where everything stands that is no ground and no house: (distance, what, place across)."""
    kerbs = [(road[0] - 0.7, walk[0] + 0.4), (road[1] + 0.7, walk[1] - 0.4)]
    lanes = [road[0] + 1.2, road[1] - 1.2, *rng.uniform(road[0] + 1.2, road[1] - 1.2, 2)]
    found = [(rng.uniform(6, 26), things.car, rng.choice(lanes)) for _ in range(rng.integers(2, 6))]
    if rng.random() < 0.15:
        found.append((rng.uniform(7, 16), things.crossing_car, rng.uniform(*road)))
    # How many at least and at most, how near, how deep the zone, and how far from the kerb (0) to the wall (1).
    beside = ((things.tree, 1, 4, 6, 18, 1.0), (things.sign, 2, 4, 5, 4, 0.2), (things.lamp, 1, 3, 6, 8, 0.2),
              (things.pedestrian, 2, 5, 4, 4, 0.8))  # fmt: skip
    for thing, fewest, most, near, zone, spread in beside:
        for _ in range(rng.integers(fewest, most + 1)):
            x = _between(*kerbs[rng.integers(2)], rng.uniform(0, spread))
            if thing is things.pedestrian and rng.random() < 0.3:
                x = rng.uniform(*road)
            z = max(near, 2.1 * abs(x))  # nearer, it would stand outside the picture
            found.append((rng.uniform(z, z + zone), thing, float(x)))
    return found


def _shadows(canvas, rng, walk):
    """The shadow of the houses of one side, or of what stands behind the camera."""
    if rng.random() < 0.6:
        side = rng.integers(2)
        edge = _between(walk[side], walk[1 - side], rng.uniform(0.1, 0.7))
        gaps = np.sort(rng.uniform(2, 60, 4))
        strips = [(1.0, gaps[0]), (gaps[1], gaps[2]), (gaps[3], 120.0)]
        canvas.polygons(0, [_floor(walk[side] * 3, edge, *strip) for strip in strips], shadow=True)
