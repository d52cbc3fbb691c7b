"""A canvas that keeps which part covers each pixel: one drawing gives the image, the exact label and the depth."""

import cv2
import numpy as np


class Canvas:
    """Draws parts of a scene in metres, the farthest first: X right, Y up, Z away from the camera."""

    def __init__(self, size: tuple[int, int], vanishing: tuple[float, float], focal: float, camera: float):
        """`vanishing` (x, y) and `focal` are in pixels, the height of the `camera` above the road in metres."""
        self.size, self._vanishing, self._focal, self._camera = size, vanishing, focal, camera
        self._origin, self._eye, self._axes = np.array(vanishing), np.array((0, camera)), np.array((focal, -focal))
        self.part = np.zeros(size, np.int16)  # the row of `table` that each pixel shows
        self.shadow = np.zeros(size, np.uint8)  # where light is blocked; what stands up is not darkened by it
        self.table = []  # (class id, colour, roughness, depth in metres, glow 0..1) of each part

    def scale(self, z: float) -> float:
        """Pixels a metre at distance `z`."""
        return self._focal / z

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels (x, y) of points (X, Y, Z)."""
        points = np.asarray(points, np.float64)
        return self._origin + (points[..., :2] - self._eye) * (self._axes / points[..., 2:])

    def _pixel(self, x, y, z):
        """`project` of one point, without numpy's overhead."""
        scale = self._focal / z
        return self._vanishing[0] + x * scale, self._vanishing[1] - (y - self._camera) * scale

    def add(self, label: int, color, z: float, roughness: float = 0.1, glow: float = 0.0) -> int:
        """Enters a part into the table and returns its number, for `polygons` and `disc`."""
        self.table.append((label, color, roughness, z, glow))
        return len(self.table) - 1

    def polygons(self, part: int, polygons: np.ndarray, shadow: bool = False) -> None:
        """Fills polygons [n, corners, (X, Y, Z)], which may not overlap one another."""
        corners = np.rint(self.project(polygons)).astype(np.int32)
        cv2.fillPoly(self.shadow if shadow else self.part, list(corners), 1 if shadow else part)

    def disc(self, part: int, center, radius: float, squeeze: float = 1.0) -> None:
        """Fills a circle of `radius` metres that faces the camera; its width is `squeeze` of its height."""
        x, y = self._pixel(*center)
        r = self.scale(center[2]) * radius
        axes = (max(1, round(r * squeeze)), max(1, round(r)))
        cv2.ellipse(self.part, (round(x), round(y)), axes, 0, 0, 360, part, -1)

    def upright(
        self, part: int, x: float, z: float, bottom: float, top: float, width: float, minimum: float = 0
    ) -> None:
        """Fills an upright rectangle that faces the camera, at least `minimum` pixels wide."""
        half = max(width, minimum / self.scale(z)) / 2
        left, low = self._pixel(x - half, bottom, z)
        right, high = self._pixel(x + half, top, z)
        cv2.rectangle(self.part, (round(left), round(high)), (round(right), round(low)), part, -1)

    def box(self, label: int, color, x: tuple, y: tuple, z: tuple, roughness: float = 0.03) -> None:
        """Fills the faces of a box that the camera sees: a side, the top, the front."""
        (x0, x1), (y0, y1), (z0, z1) = x, y, z
        side = x0 if x0 > 0 else x1 if x1 < 0 else None
        if side is not None:
            face = [(side, y0, z0), (side, y1, z0), (side, y1, z1), (side, y0, z1)]
            self.polygons(self.add(label, np.multiply(color, 0.75), z0, roughness), [face])
        if y1 < self._camera:
            face = [(x0, y1, z0), (x1, y1, z0), (x1, y1, z1), (x0, y1, z1)]
            self.polygons(self.add(label, np.multiply(color, 1.15), z0, roughness), [face])
        face = [(x0, y0, z0), (x1, y0, z0), (x1, y1, z0), (x0, y1, z0)]
        self.polygons(self.add(label, color, z0, roughness), [face])

    def label(self) -> np.ndarray:
        """The class of every pixel, uint8."""
        return np.array([row[0] for row in self.table], np.uint8)[self.part]

    def render(self, rng: np.random.Generator, light: dict) -> np.ndarray:
        """The image as a camera takes it, RGB uint8: roughness, shadows, lamps, fog, and the sensor's noise."""
        table = np.array([(*color, *numbers) for _, color, *numbers in self.table], np.float32)[self.part]
        colors, roughness, depth, glow = table[..., :3], table[..., 3], table[..., 4], table[..., 5]
        height, width = self.size
        fine = rng.standard_normal(self.size, np.float32)
        coarse = cv2.resize(rng.standard_normal((height // 4, width // 4), np.float32), (width, height))
        broad = cv2.resize(rng.standard_normal((4, 5), np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
        grain = 1 + roughness * (0.6 * fine + 0.7 * coarse) + 0.06 * broad
        lit = 1 - light["shadow"] * cv2.GaussianBlur(self.shadow.astype(np.float32), (0, 0), 0.8) * (glow == 0)
        ambient = light["gain"] * np.array(light["tint"], np.float32)
        image = colors * (grain * lit)[..., None] * (ambient + glow[..., None] * (1 - ambient))
        if light["halo"]:  # lamps and lit windows spill over
            spill = np.where(glow[..., None] > 0.5, image, 0)
            image += light["halo"] * cv2.GaussianBlur(spill, (0, 0), height / 24)
        clear = np.exp(-depth / np.float32(light["sight"]))[..., None]
        image = image * clear + np.array(light["fog"], np.float32) * (1 - clear)
        image = cv2.GaussianBlur(image, (0, 0), light["blur"])
        image += light["noise"] * rng.standard_normal(image.shape, np.float32)
        curve = 255 * np.linspace(0, 1, 256) ** light["gamma"]
        return np.rint(curve).astype(np.uint8)[np.clip(image, 0, 255).astype(np.uint8)]
