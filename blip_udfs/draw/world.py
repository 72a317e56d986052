"""A seed -> drives through a drawn world: where the road is, what the sky does, what stands where.

Coordinates are the vehicle's, in metres: x forward, y left, z up, the ground at 0.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

CAMERAS = {"cam01": 0, "cam03": 180, "cam05": 90, "cam06": 45, "cam07": -45, "cam08": -90, "cam09": 135}  # yaw, degrees
ALONG, ASIDE = (0, 180), (90, -90)  # yaws before which things are placed: their views do not overlap, so none is cut

ROADS = {
    "intersection": ("Downtown", "Suburbs"),
    "highway": ("Highway",),
    "city street": ("Downtown",),
    "suburban road": ("Suburbs",),
    "tunnel": ("Tunnel",),
    "bridge": ("Bridge",),
}
ROAD_SHARES = {"intersection": 5, "highway": 4, "city street": 4, "suburban road": 4, "tunnel": 2, "bridge": 3}
WEATHERS = ("sunny", "cloudy", "rainy")
PERIODS = ("morning", "noon", "afternoon", "night")
VEHICLES = ("car", "truck", "bus")
PEOPLE = ("pedestrian", "cyclist")
WALKED = ("intersection", "city street", "suburban road")  # roads with people
COLORS = ("red", "blue", "white", "black", "yellow", "green")
SIDES = ("left", "ahead", "right")
DISTANCES = ("near", "far")

# length, width, height in metres; people are drawn a little large, to be seen at a model's input size
DIMENSIONS = {
    "car": (4.2, 1.9, 1.55),
    "truck": (7.0, 2.5, 3.3),
    "bus": (9.5, 2.6, 3.1),
    "pedestrian": (0.7, 0.8, 1.9),
    "cyclist": (1.9, 0.7, 1.9),
}
RANGE = {"near": (8.5, 12.0), "far": (17.0, 23.0)}  # metres from the camera
LATERAL = {"near": (2.6, 3.3), "far": (4.0, 5.4)}  # metres from a camera's axis, for left and right


@dataclass(frozen=True)
class Thing:
    """A vehicle or person: centre on the ground (x, y), heading in radians, metres moved per frame."""

    kind: str
    color: str
    x: float
    y: float
    heading: float
    speed: tuple[float, float] = (0.0, 0.0)

    def at(self, frame: int) -> Thing:
        return replace(self, x=self.x + frame * self.speed[0], y=self.y + frame * self.speed[1])


@dataclass(frozen=True)
class Drive:
    """One sequence: a short drive under one sky. `scenery` seeds what lines the road."""

    sequence_id: str
    region: str
    road: str
    weather: str
    period: str
    things: tuple[Thing, ...]
    scenery: int
    metres_per_frame: float

    def things_at(self, frame: int) -> list[Thing]:
        return [thing.at(frame) for thing in self.things]


def drive(seed: int, number: int) -> Drive:
    """The drive with this number; the same seed and number give the same drive."""
    rng = random.Random(f"{seed}/{number}")
    road = rng.choices(list(ROAD_SHARES), weights=list(ROAD_SHARES.values()))[0]
    things = [thing for yaw in ALONG for thing in things_before(rng, road, math.radians(yaw))]
    if road in WALKED:
        things += [person_on_pavement(rng, math.radians(yaw)) for yaw in ASIDE if rng.random() < 0.6]
    return Drive(
        sequence_id=f"{number:06d}",
        region=rng.choice(ROADS[road]),
        road=road,
        weather=rng.choice(WEATHERS),
        period=rng.choice(PERIODS),
        things=tuple(things),
        scenery=rng.randrange(2**32),
        metres_per_frame=0.25 if road == "intersection" else rng.uniform(1.0, 3.0),
    )


def things_before(rng: random.Random, road: str, yaw: float) -> list[Thing]:
    """Up to four things in the view of the camera with this yaw, each in its own place (side, distance)."""
    count = rng.choices((0, 1, 2, 3, 4), weights=(8, 28, 34, 20, 10))[0]
    places = rng.sample([(side, distance) for side in SIDES for distance in DISTANCES], count)
    kinds = VEHICLES + PEOPLE if road in WALKED else VEHICLES
    favourite = rng.choice(kinds)  # else two of a kind would be rare
    return [
        thing_at(rng, favourite if rng.random() < 0.35 else rng.choice(kinds), yaw, side, distance)
        for side, distance in places
    ]


def person_on_pavement(rng: random.Random, yaw: float) -> Thing:
    """Beside the vehicle there is no road to drive on, but a pavement."""
    return thing_at(rng, rng.choice(PEOPLE), yaw, rng.choice(SIDES), "near")


def thing_at(rng: random.Random, kind: str, yaw: float, side: str, distance: str) -> Thing:
    """A thing in a place of a camera's view, slowly moving within it."""
    length = DIMENSIONS[kind][0]
    depth = rng.uniform(*RANGE[distance]) + length / 2  # its near end is at the range
    offset = {"left": 1, "ahead": 0, "right": -1}[side] * rng.uniform(*LATERAL[distance]) * (1 + length / 40)
    offset += rng.uniform(-0.3, 0.3)
    x = depth * math.cos(yaw) - offset * math.sin(yaw)
    y = depth * math.sin(yaw) + offset * math.cos(yaw)
    away = rng.random() < (0.3 if side == "left" else 0.85)
    heading = yaw + (0 if away else math.pi)
    if kind in PEOPLE:
        heading = yaw + math.pi / 2 * rng.choice((-1, 1))
    pace = rng.uniform(0.02, 0.12)
    return Thing(kind, rng.choice(COLORS), x, y, heading, (pace * math.cos(heading), pace * math.sin(heading)))
