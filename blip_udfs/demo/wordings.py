"""What can be said of a drawn scene, and in which words: (trained on, held out to test the model with)."""

from __future__ import annotations

Wordings = tuple[tuple[str, ...], tuple[str, ...]]

ROAD_NAMES: dict[str, Wordings] = {
    "intersection": (
        (
            "an intersection",
            "a junction",
            "a crossroads",
            "a street intersection",
            "an intersection with traffic lights",
        ),
        ("a junction with traffic lights", "a street junction"),
    ),
    "highway": (
        ("a highway", "a motorway", "a freeway", "a wide highway", "an open motorway"),
        ("an open highway", "a wide motorway"),
    ),
    "city street": (
        ("a city street", "a street in the city", "a street between tall buildings", "an urban street"),
        ("a city street between buildings", "an urban road with tall buildings"),
    ),
    "suburban road": (
        ("a suburban road", "a road with houses and trees", "a residential road", "a suburban street with houses"),
        ("a residential street with houses", "a road between houses and trees"),
    ),
    "tunnel": (
        ("a tunnel", "a road tunnel", "a long tunnel", "a lit tunnel"),
        ("a long road tunnel", "a lit road tunnel"),
    ),
    "bridge": (
        ("a bridge", "a bridge over water", "a suspension bridge", "a long bridge"),
        ("a long bridge over water", "a road bridge"),
    ),
}
ROAD_PREPOSITIONS: dict[str, tuple[str, ...]] = {
    "intersection": ("on", "at"),
    "highway": ("on", "along"),
    "city street": ("on", "in"),
    "suburban road": ("on", "along"),
    "tunnel": ("in", "inside"),
    "bridge": ("on", "crossing"),
}
REGIONS: dict[str, Wordings] = {
    "Downtown": (("downtown", "in the city centre", "in a downtown area"), ("in the downtown area",)),
    "Suburbs": (("in the suburbs", "in a suburb", "in a suburban area"), ("in the suburban area",)),
}
WEATHERS: dict[str, Wordings] = {
    "sunny": (
        ("on a sunny day", "in sunny weather", "in the sunshine", "under a clear sky", "in clear weather"),
        ("in clear sunny weather", "under a sunny sky"),
    ),
    "cloudy": (
        ("under a cloudy sky", "in cloudy weather", "on an overcast day", "under grey clouds", "on a cloudy day"),
        ("under an overcast sky", "in overcast weather"),
    ),
    "rainy": (
        ("in the rain", "in rainy weather", "on a wet road", "while it is raining", "on a rainy day", "in wet weather"),
        ("on a wet rainy day", "it is raining", "in rain"),
    ),
}
CLEAR_NIGHT: Wordings = (("under a clear sky", "in clear weather", "under the stars"), ("in a clear sky",))
PERIODS: dict[str, Wordings] = {
    "morning": (
        ("in the morning", "early in the morning", "at sunrise", "in the early morning"),
        ("on an early morning",),
    ),
    "noon": (("at noon", "at midday", "in the middle of the day", "around noon"), ("around midday",)),
    "afternoon": (
        ("in the afternoon", "late in the afternoon", "at sunset", "in the late afternoon"),
        ("on a late afternoon",),
    ),
    "night": (
        ("at night", "after dark", "in the dark", "at night-time", "during the night"),
        ("by night", "in the night", "during night-time"),
    ),
}
CLASSES: dict[str, Wordings] = {
    "car": (("car", "automobile", "passenger car"), ("passenger automobile",)),
    "truck": (("truck", "lorry", "cargo truck"), ("cargo lorry",)),
    "bus": (("bus", "city bus", "coach"), ("city coach",)),
    "pedestrian": (("pedestrian", "person walking", "person on foot", "walking person"), ("pedestrian walking",)),
    "cyclist": (
        ("cyclist", "person on a bicycle", "bicycle rider", "person riding a bike"),
        ("bike rider", "person riding a bicycle"),
    ),
}
PLURALS: dict[str, Wordings] = {
    "car": (("cars", "automobiles", "passenger cars"), ("passenger automobiles",)),
    "truck": (("trucks", "lorries", "cargo trucks"), ("cargo lorries",)),
    "bus": (("buses", "city buses", "coaches"), ("city coaches",)),
    "pedestrian": (("pedestrians", "people walking", "people on foot"), ("pedestrians walking",)),
    "cyclist": (("cyclists", "people on bicycles", "bicycle riders"), ("bike riders",)),
}
VERBS: dict[str, tuple[str, ...]] = {
    "car": ("driving", "moving"),
    "truck": ("driving", "moving"),
    "bus": ("driving", "moving"),
    "pedestrian": ("crossing the street", "standing"),
    "cyclist": ("riding", "moving"),
}
NUMBERS: dict[int, Wordings] = {
    2: (("two", "a pair of"), ("exactly two",)),
    3: (("three", "a group of three"), ("exactly three",)),
}
SIDES: dict[str, Wordings] = {
    "left": (
        ("on the left", "on the left side", "to the left", "on the left-hand side"),
        ("at the left side", "to the left side"),
    ),
    "ahead": (
        ("ahead", "straight ahead", "in the middle", "in the centre"),
        ("ahead in the middle", "straight in the centre"),
    ),
    "right": (
        ("on the right", "on the right side", "to the right", "on the right-hand side"),
        ("at the right side", "to the right side"),
    ),
}
DISTANCES: dict[str, Wordings] = {
    "near": (("nearby", "close by", "near the camera"), ("close to the camera",)),
    "far": (("far away", "in the distance", "far from the camera"), ("far in the distance",)),
}
COLOR_FORMS: Wordings = (
    ("{color} {noun}", "{color}-coloured {noun}", "{noun} painted {color}"),
    ("{noun} coloured {color}",),
)
RELATIONS: dict[str, Wordings] = {
    "behind": (("{a} behind {b}", "{a} farther away than {b}", "{b} in front of {a}"), ("{a} farther back than {b}",)),
    "left of": (
        ("{a} to the left of {b}", "{a} on the left of {b}", "{b} to the right of {a}"),
        ("{a} at the left side of {b}",),
    ),
}
# words that users may well type; they are in the vocabulary, whole, though no drawn scene needs them
COMMON = (
    "vehicle vehicles road street lane lanes traffic light lights driver driving turn turning stop stopping wait "
    "waiting parked van motorcycle scooter taxi police ambulance fire child children man woman dog bicycle bike "
    "crosswalk zebra sidewalk snow fog foggy storm dark bright day evening dawn dusk big small large old new fast "
    "slow empty busy crowded"
)
