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
            "a crossing with traffic lights",
        ),
        ("a junction with traffic lights", "a street junction", "a crossroads with traffic lights"),
    ),
    "highway": (
        ("a highway", "a motorway", "a freeway", "a wide highway", "an open motorway", "an expressway"),
        ("an open highway", "a wide motorway", "a wide freeway"),
    ),
    "city street": (
        (
            "a city street",
            "a street in the city",
            "a street between tall buildings",
            "an urban street",
            "a city road",
            "a street with tall buildings",
        ),
        ("a city street between buildings", "an urban road with tall buildings", "a road in the city"),
    ),
    "suburban road": (
        (
            "a suburban road",
            "a road with houses and trees",
            "a residential road",
            "a suburban street with houses",
            "a residential street",
            "a road past houses",
        ),
        ("a residential street with houses", "a road between houses and trees", "a suburban street"),
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
    "Downtown": (
        ("downtown", "in the city centre", "in a downtown area", "in the centre of the city"),
        ("in the downtown area", "in a city centre"),
    ),
    "Suburbs": (
        ("in the suburbs", "in a suburb", "in a suburban area", "in a suburban neighbourhood"),
        ("in the suburban area", "in the suburban neighbourhood"),
    ),
}
WEATHERS: dict[str, Wordings] = {
    "sunny": (
        ("on a sunny day", "in sunny weather", "in the sunshine", "in bright sunshine", "with the sun shining"),
        ("on a bright sunny day", "under a sunny sky", "in bright sunny weather"),
    ),
    "clear": (  # a night without clouds
        ("under the stars", "under a starry sky", "on a starry night", "under the moon"),
        ("on a night with stars", "under the moon and the stars"),
    ),
    "fair": (  # either of the two
        ("under a clear sky", "in clear weather", "under a cloudless sky", "without clouds"),
        ("in cloudless weather", "with a clear sky"),
    ),
    "cloudy": (
        (
            "under a cloudy sky",
            "in cloudy weather",
            "on an overcast day",
            "under grey clouds",
            "with clouds in the sky",
        ),
        ("under an overcast sky", "in overcast weather", "on a day with clouds"),
    ),
    "rainy": (
        ("in the rain", "in rainy weather", "on a wet road", "while it is raining", "on a rainy day", "in wet weather"),
        ("on a wet rainy day", "it is raining", "in rain"),
    ),
}
PERIODS: dict[str, Wordings] = {
    "morning": (
        ("in the morning", "early in the morning", "at sunrise", "in the early morning", "at dawn"),
        ("on an early morning", "around sunrise", "on a morning at sunrise"),
    ),
    "noon": (
        ("at noon", "at midday", "in the middle of the day", "around noon"),
        ("around midday", "around the middle of the day"),
    ),
    "afternoon": (
        ("in the afternoon", "late in the afternoon", "at sunset", "in the late afternoon"),
        ("on a late afternoon", "around sunset"),
    ),
    "night": (
        ("at night", "after dark", "in the dark", "at night-time", "during the night", "on a dark night"),
        ("by night", "in the night", "during night-time"),
    ),
    "day": (  # any but night
        ("by day", "in the daytime", "in daylight", "during the day"),
        ("during the daytime", "in the light of day"),
    ),
}
CLASSES: dict[str, Wordings] = {
    "car": (("car", "automobile", "passenger car", "motor car"), ("passenger automobile", "moving car")),
    "truck": (("truck", "lorry", "cargo truck", "delivery truck"), ("cargo lorry", "delivery lorry")),
    "bus": (("bus", "city bus", "coach", "passenger bus"), ("city coach", "passenger coach")),
    "vehicle": (("vehicle", "motor vehicle"), ("moving vehicle",)),
    "pedestrian": (
        ("pedestrian", "person walking", "person on foot", "walking person"),
        ("pedestrian walking", "pedestrian on foot"),
    ),
    "cyclist": (
        ("cyclist", "person on a bicycle", "bicycle rider", "person riding a bike"),
        ("bike rider", "person riding a bicycle"),
    ),
}
PLURALS: dict[str, Wordings] = {
    "car": (("cars", "automobiles", "passenger cars", "motor cars"), ("passenger automobiles", "moving cars")),
    "truck": (("trucks", "lorries", "cargo trucks", "delivery trucks"), ("cargo lorries", "delivery lorries")),
    "bus": (("buses", "city buses", "coaches", "passenger buses"), ("city coaches", "passenger coaches")),
    "vehicle": (("vehicles", "motor vehicles"), ("moving vehicles",)),
    "pedestrian": (
        ("pedestrians", "people walking", "people on foot", "walking people"),
        ("pedestrians walking", "pedestrians on foot"),
    ),
    "cyclist": (
        ("cyclists", "people on bicycles", "bicycle riders", "people riding bikes"),
        ("bike riders", "people riding bicycles"),
    ),
}
VERBS: dict[str, tuple[str, ...]] = {
    "car": ("driving", "moving"),
    "truck": ("driving", "moving"),
    "bus": ("driving", "moving"),
    "vehicle": ("driving", "moving"),
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
    "near": (("nearby", "close by", "near the camera", "up close"), ("close to the camera", "close nearby")),
    "far": (
        ("far away", "in the distance", "far from the camera", "at a distance"),
        ("far in the distance", "at a far distance"),
    ),
}
PAINTED: Wordings = (
    ("{color} {noun}", "{color}-coloured {noun}", "{noun} painted {color}"),
    ("{noun} coloured {color}", "{color}-painted {noun}"),
)
DRESSED: Wordings = (
    ("{color} {noun}", "{noun} in {color}", "{noun} dressed in {color}", "{noun} wearing {color}"),
    ("{noun} dressed {color}", "{color}-dressed {noun}"),
)
RELATIONS: dict[str, Wordings] = {
    "behind": (
        ("{a} behind {b}", "{a} farther away than {b}", "{b} in front of {a}", "{b} nearer than {a}"),
        ("{a} farther back than {b}", "{b} closer than {a}"),
    ),
    "left of": (
        ("{a} to the left of {b}", "{a} on the left of {b}", "{b} to the right of {a}", "{b} on the right of {a}"),
        ("{a} at the left side of {b}", "{b} at the right side of {a}"),
    ),
}
OPENINGS = ("a photo of", "a picture of", "an image of", "there is")
PLACES = ("road", "street", "scene", "view")
ADJECTIVES = ("sunny", "cloudy", "rainy")
# words that users may well type; they are in the vocabulary, whole, though no drawn scene needs them
COMMON = (
    "road street lane lanes traffic light lights driver driving turn turning stop stopping wait "
    "waiting parked van motorcycle scooter taxi police ambulance fire child children man woman dog bicycle bike "
    "crosswalk zebra sidewalk snow fog foggy storm dark bright day evening dusk big small large old new fast "
    "slow empty busy crowded"
)
