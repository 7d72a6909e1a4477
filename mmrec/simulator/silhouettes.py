"""Outlines of products by category, in a unit square; y grows downward, things stand on y = .9."""

from dataclasses import dataclass
from typing import Literal

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Part:
    """One filled piece of an outline."""

    role: Literal["body", "trim", "metal", "dark", "white"]
    kind: Literal["polygon", "box", "ellipse", "arc"]
    points: tuple[Point, ...]
    """Corners of a polygon, or two opposite corners of a box, ellipse or arc (upper half)."""
    radius: float = 0.0
    """Corner radius of a box; line width of an arc."""


def _box(role: Literal["body", "trim", "metal", "dark", "white"], *at: float, radius: float = 0.02) -> Part:
    return Part(role=role, kind="box", points=((at[0], at[1]), (at[2], at[3])), radius=radius)


def _ellipse(role: Literal["body", "trim", "metal", "dark", "white"], *at: float) -> Part:
    return Part(role=role, kind="ellipse", points=((at[0], at[1]), (at[2], at[3])))


def _arc(role: Literal["body", "trim", "metal", "dark", "white"], *at: float, width: float) -> Part:
    return Part(role=role, kind="arc", points=((at[0], at[1]), (at[2], at[3])), radius=width)


def _polygon(role: Literal["body", "trim", "metal", "dark", "white"], *at: float) -> Part:
    return Part(role=role, kind="polygon", points=tuple(zip(at[::2], at[1::2], strict=True)))


SILHOUETTES: dict[str, tuple[Part, ...]] = {
    "lipstick": (
        _polygon("trim", 0.41, 0.46, 0.41, 0.24, 0.45, 0.16, 0.59, 0.10, 0.59, 0.46),
        _box("metal", 0.38, 0.42, 0.62, 0.56, radius=0.01),
        _box("body", 0.33, 0.55, 0.67, 0.90),
    ),
    "nail polish": (
        _box("dark", 0.43, 0.10, 0.57, 0.48, radius=0.03),
        _box("metal", 0.41, 0.45, 0.59, 0.52, radius=0.01),
        _box("body", 0.28, 0.50, 0.72, 0.90, radius=0.10),
    ),
    "perfume": (
        _box("dark", 0.41, 0.12, 0.59, 0.28, radius=0.02),
        _box("metal", 0.45, 0.27, 0.55, 0.36, radius=0.0),
        _box("body", 0.22, 0.35, 0.78, 0.90, radius=0.05),
        _box("white", 0.36, 0.54, 0.64, 0.72, radius=0.01),
    ),
    "face cream": (
        _box("trim", 0.20, 0.44, 0.80, 0.60, radius=0.03),
        _box("body", 0.17, 0.58, 0.83, 0.90, radius=0.07),
    ),
    "foundation": (
        _box("dark", 0.41, 0.10, 0.59, 0.34, radius=0.02),
        _polygon("body", 0.38, 0.34, 0.62, 0.34, 0.68, 0.42, 0.68, 0.90, 0.32, 0.90, 0.32, 0.42),
        _box("white", 0.40, 0.56, 0.60, 0.70, radius=0.01),
    ),
    "eyeshadow": (
        _box("dark", 0.14, 0.36, 0.86, 0.90, radius=0.05),
        _box("body", 0.18, 0.40, 0.82, 0.72, radius=0.02),
        _box("trim", 0.18, 0.75, 0.48, 0.86, radius=0.01),
        _box("white", 0.52, 0.75, 0.82, 0.86, radius=0.01),
    ),
    "hand soap": (
        _box("dark", 0.30, 0.12, 0.56, 0.18, radius=0.02),
        _box("dark", 0.47, 0.14, 0.53, 0.34, radius=0.01),
        _box("dark", 0.40, 0.28, 0.60, 0.37, radius=0.02),
        _box("body", 0.28, 0.35, 0.72, 0.90, radius=0.08),
        _box("white", 0.36, 0.54, 0.64, 0.74, radius=0.02),
    ),
    "serum": (
        _ellipse("dark", 0.43, 0.06, 0.57, 0.24),
        _box("metal", 0.41, 0.21, 0.59, 0.38, radius=0.02),
        _box("body", 0.33, 0.38, 0.67, 0.90, radius=0.06),
    ),
    "shirt": (
        _polygon(
            "body", 0.36, 0.16, 0.64, 0.16, 0.80, 0.24, 0.95, 0.46, 0.82, 0.55, 0.74, 0.44, 0.74, 0.90, 0.26, 0.90,
            0.26, 0.44, 0.18, 0.55, 0.05, 0.46, 0.20, 0.24,
        ),
        _ellipse("trim", 0.40, 0.10, 0.60, 0.24),
        _box("white", 0.494, 0.24, 0.506, 0.88, radius=0.0),
    ),
    "dress": (
        _polygon(
            "body", 0.38, 0.10, 0.43, 0.10, 0.50, 0.20, 0.57, 0.10, 0.62, 0.10, 0.64, 0.26, 0.60, 0.42, 0.82, 0.90,
            0.18, 0.90, 0.40, 0.42, 0.36, 0.26,
        ),
        _box("trim", 0.395, 0.40, 0.605, 0.45, radius=0.01),
    ),
    "sneaker": (
        _polygon(
            "body", 0.10, 0.46, 0.16, 0.42, 0.34, 0.44, 0.40, 0.50, 0.56, 0.64, 0.82, 0.70, 0.92, 0.78, 0.92, 0.84,
            0.08, 0.84,
        ),
        _polygon("trim", 0.34, 0.44, 0.40, 0.50, 0.56, 0.64, 0.50, 0.67, 0.36, 0.56, 0.30, 0.46),
        _box("white", 0.07, 0.82, 0.93, 0.90, radius=0.03),
    ),
    "handbag": (
        _arc("trim", 0.30, 0.16, 0.70, 0.72, width=0.035),
        _polygon("body", 0.22, 0.44, 0.78, 0.44, 0.86, 0.90, 0.14, 0.90),
        _box("metal", 0.45, 0.42, 0.55, 0.54, radius=0.02),
    ),
    "trousers": (
        _polygon("body", 0.32, 0.12, 0.68, 0.12, 0.76, 0.90, 0.56, 0.90, 0.50, 0.38, 0.44, 0.90, 0.24, 0.90),
        _box("trim", 0.315, 0.10, 0.685, 0.17, radius=0.01),
    ),
    "scarf": (
        _polygon("body", 0.34, 0.30, 0.52, 0.34, 0.47, 0.86, 0.27, 0.84),
        _polygon("body", 0.50, 0.34, 0.66, 0.30, 0.75, 0.72, 0.57, 0.76),
        _ellipse("body", 0.24, 0.12, 0.76, 0.42),
        _ellipse("trim", 0.34, 0.15, 0.66, 0.29),
        _polygon("trim", 0.27, 0.84, 0.47, 0.86, 0.465, 0.90, 0.265, 0.88),
        _polygon("trim", 0.57, 0.76, 0.75, 0.72, 0.76, 0.76, 0.58, 0.80),
    ),
    "hat": (
        _ellipse("trim", 0.04, 0.64, 0.96, 0.88),
        _polygon("body", 0.26, 0.76, 0.30, 0.40, 0.38, 0.30, 0.62, 0.30, 0.70, 0.40, 0.74, 0.76, 0.62, 0.81,
                 0.38, 0.81),
        _polygon("dark", 0.265, 0.70, 0.735, 0.70, 0.742, 0.77, 0.62, 0.82, 0.38, 0.82, 0.258, 0.77),
    ),
    "coat": (
        _polygon(
            "body", 0.37, 0.10, 0.63, 0.10, 0.77, 0.18, 0.90, 0.62, 0.79, 0.66, 0.73, 0.44, 0.78, 0.90, 0.22, 0.90,
            0.27, 0.44, 0.21, 0.66, 0.10, 0.62, 0.23, 0.18,
        ),
        _polygon("trim", 0.37, 0.10, 0.50, 0.34, 0.63, 0.10, 0.68, 0.14, 0.50, 0.46, 0.32, 0.14),
        _box("dark", 0.492, 0.44, 0.508, 0.90, radius=0.0),
        _ellipse("dark", 0.54, 0.52, 0.58, 0.56),
        _ellipse("dark", 0.54, 0.66, 0.58, 0.70),
    ),
}  # fmt: skip
"""Parts by category, painted in their order."""
