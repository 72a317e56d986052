"""What was drawn -> sentences about it, each with the conditions that decide of any scene whether it is true."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import permutations
from typing import Any

from blip_udfs.draw import wordings as W
from blip_udfs.draw.wordings import Wordings
from blip_udfs.draw.world import COLORS, DISTANCES, PEOPLE, ROADS, SIDES, VEHICLES

ORDER = {"left": 0, "ahead": 1, "right": 2}
KINDS = tuple(W.CLASSES)
WIDER = {  # a word that is true of several: what it covers
    "vehicle": VEHICLES,
    "fair": ("sunny", "clear"),
    "day": ("morning", "noon", "afternoon"),
}


def covers(said: str, there: str) -> bool:
    """Whether what is said is true of what is there: a vehicle of a car."""
    return there in WIDER.get(said, (said,))


def said_of(there: str, rng: random.Random, share: float = 0.15) -> str:
    """What is there by its own name or, at times, by a wider one."""
    wider = [name for name, covered in WIDER.items() if there in covered]
    return wider[0] if wider and rng.random() < share else there


@dataclass(frozen=True)
class Thing:
    """An object as a camera sees it; in a condition, None is what the sentence does not mention."""

    kind: str
    color: str | None = None
    side: str | None = None
    distance: str | None = None

    def matches(self, other: Thing) -> bool:
        """Whether `other`, a thing that is there, is what this one describes."""
        mentioned = ((self.color, other.color), (self.side, other.side), (self.distance, other.distance))
        return covers(self.kind, other.kind) and all(mine in (None, theirs) for mine, theirs in mentioned)


@dataclass(frozen=True)
class Facts:
    """What one camera sees in one frame."""

    road: str
    region: str
    weather: str
    period: str
    things: tuple[Thing, ...]

    @classmethod
    def of(cls, scene: dict[str, Any], weather: str, period: str, region: str) -> Facts:
        """From a frame record's `scene.<camera>`, its meta_info and the sequence's region.

        ONCE calls a night without clouds sunny; nobody would say so, so that it is called clear.
        """
        if (weather, period) == ("sunny", "night"):
            weather = "clear"
        things = tuple(Thing(o["class"], o["color"], o["side"], o["distance"]) for o in scene["objects"])
        return cls(scene["road"], region, weather, period, things)

    @property
    def sky_seen(self) -> bool:
        return self.road != "tunnel"


@dataclass(frozen=True)
class Condition:
    """One thing that a sentence claims. `about` is road, region, weather, period, thing, count or relation."""

    about: str
    value: Any

    def holds(self, facts: Facts) -> bool:
        if self.about in ("weather", "period"):
            return facts.sky_seen and covers(self.value, getattr(facts, self.about))
        if self.about in ("road", "region"):
            return getattr(facts, self.about) == self.value
        if self.about == "thing":
            return any(self.value.matches(thing) for thing in facts.things)
        if self.about == "count":
            kind, number = self.value
            return sum(covers(kind, thing.kind) for thing in facts.things) == number
        return related(facts, *self.value)

    @property
    def attributes(self) -> int:
        """How many attributes it mentions: a red car on the left has three."""
        if self.about == "thing":
            return 1 + sum(v is not None for v in (self.value.color, self.value.side, self.value.distance))
        return 2 if self.about in ("count", "relation") else 1


def related(facts: Facts, one: Thing, relation: str, other: Thing) -> bool:
    """Behind: one is far and the other near. Left of: one stands in a place further left."""
    pairs = [(a, b) for a in facts.things for b in facts.things if a is not b and one.matches(a) and other.matches(b)]
    if relation == "behind":
        return any((a.distance, b.distance) == ("far", "near") for a, b in pairs)
    return any(ORDER[a.side or ""] < ORDER[b.side or ""] for a, b in pairs)


@dataclass(frozen=True)
class Sentence:
    """A sentence and what it claims."""

    text: str
    conditions: tuple[Condition, ...]

    @property
    def attributes(self) -> int:
        return sum(condition.attributes for condition in self.conditions)


def is_true(sentence: Sentence, facts: Facts) -> bool:
    """Whether all that it claims holds; of a pair, each must be another thing."""
    if not all(condition.holds(facts) for condition in sentence.conditions):
        return False
    pair = [condition.value for condition in sentence.conditions if condition.about == "thing"]
    return len(pair) < 2 or any(
        all(one.matches(other) for one, other in zip(pair, found, strict=True))
        for found in permutations(facts.things, len(pair))
    )


def captions(scene: dict[str, Any], weather: str, period: str, region: str, seed: str, count: int = 3) -> list[str]:
    """Sentences that are true of a frame record's scene, in the wordings of training."""
    rng, facts = random.Random(seed), Facts.of(scene, weather, period, region)
    return [true_sentence(facts, rng).text for _ in range(count)]


def true_sentence(facts: Facts, rng: random.Random, held_out: bool = False, binding: float = 0.0) -> Sentence:
    """A random sentence that is true of the facts; a share of `binding` tells which thing is where."""
    return say(true_conditions(facts, rng, binding), rng, held_out)


def true_conditions(facts: Facts, rng: random.Random, binding: float = 0.0) -> tuple[Condition, ...]:
    """One to four claims: something of the place and sky, something of the things."""
    if facts.things and binding and rng.random() < binding:
        return tuple(things_bound(facts, rng))
    about_place = [("road", facts.road)]
    if facts.sky_seen:
        about_place += [("weather", said_of(facts.weather, rng, 0.3)), ("period", said_of(facts.period, rng))]
    if facts.region in W.REGIONS:
        about_place.append(("region", facts.region))
    rng.shuffle(about_place)
    place = [Condition(*each) for each in about_place[: rng.choice((0, 1, 1, 2))]]
    conditions = [*things_claimed(facts, rng), *place]
    return tuple(conditions) or (Condition("road", facts.road),)


def things_claimed(facts: Facts, rng: random.Random) -> list[Condition]:
    """Nothing, a thing, a pair, a count or a relation."""
    if not facts.things or rng.random() < 0.15:
        return []
    claims: list[Callable[[], list[Condition]]] = [
        lambda: [Condition("thing", described(rng.choice(facts.things), rng))]
    ] * 3
    kinds = [thing.kind for thing in facts.things]
    counted = [kind for kind in sorted(set(kinds)) if kinds.count(kind) in W.NUMBERS]
    if counted:
        claims += [lambda: [Condition("count", (kind := rng.choice(counted), kinds.count(kind)))]] * 2
    vehicles = sum(kind in VEHICLES for kind in kinds)
    if vehicles in W.NUMBERS and rng.random() < 0.2:
        claims.append(lambda: [Condition("count", ("vehicle", vehicles))])
    if len(facts.things) > 1:
        one, other = rng.sample(facts.things, 2)
        claims.append(lambda: [Condition("thing", described(each, rng, 0.4)) for each in (one, other)])
        if relations := relations_of(one, other, facts, rng):
            claims += [lambda: [rng.choice(relations)]] * 2
    return rng.choice(claims)()


def relations_of(one: Thing, other: Thing, facts: Facts, rng: random.Random) -> list[Condition]:
    """How one stands to the other, when words tell them apart."""
    a, b = (Thing(each.kind, each.color if rng.random() < 0.4 else None) for each in (one, other))
    told_apart = (a.kind, a.color) != (b.kind, b.color)
    return [Condition("relation", (a, each, b)) for each in W.RELATIONS if told_apart and related(facts, a, each, b)]


def things_bound(facts: Facts, rng: random.Random) -> list[Condition]:
    """A relation; else a pair; else a thing and its side."""
    pairs = list(permutations(facts.things, 2))
    rng.shuffle(pairs)
    if pairs and rng.random() < 0.6:
        for one, other in pairs:
            if relations := relations_of(one, other, facts, rng):
                return [rng.choice(relations)]
    if pairs and rng.random() < 0.5:
        return [Condition("thing", described(each, rng)) for each in pairs[0]]
    thing = rng.choice(facts.things)
    return [Condition("thing", replace(described(thing, rng), side=thing.side))]


def described(thing: Thing, rng: random.Random, share: float = 0.5) -> Thing:
    """The thing with some of its attributes mentioned."""
    return Thing(
        said_of(thing.kind, rng, 0.08),
        thing.color if rng.random() < share + 0.1 else None,
        thing.side if rng.random() < share - 0.1 else None,
        thing.distance if rng.random() < share - 0.3 else None,
    )


def false_sentence(sentence: Sentence, facts: Facts, rng: random.Random) -> Sentence | None:
    """The sentence with one claim changed so that it is false of the facts; None if no change made it so."""
    for _ in range(12):
        index = rng.randrange(len(sentence.conditions))
        conditions = list(sentence.conditions)
        conditions[index] = changed(conditions[index], facts, rng)
        changed_to = say(tuple(conditions), rng)
        if not is_true(changed_to, facts):
            return changed_to
    return None


def other_than(value: Any, choices: Any, rng: random.Random) -> Any:
    return rng.choice([each for each in choices if each != value])


def changed(condition: Condition, facts: Facts, rng: random.Random) -> Condition:
    """The claim with one attribute another."""
    choices = {"road": ROADS, "region": W.REGIONS, "weather": W.WEATHERS, "period": W.PERIODS}
    if condition.about in choices:
        return Condition(condition.about, other_than(condition.value, choices[condition.about], rng))
    if condition.about == "count":
        kind, number = condition.value
        if rng.random() < 0.5:
            return Condition("count", (other_than(kind, KINDS, rng), number))
        return Condition("count", (kind, other_than(number, W.NUMBERS, rng)))
    if condition.about == "relation":
        one, relation, other = condition.value
        if rng.random() < 0.6:
            return Condition("relation", (other, relation, one))
        if rng.random() < 0.5:
            return Condition("relation", (changed_thing(one, facts, rng), relation, other))
        return Condition("relation", (one, relation, changed_thing(other, facts, rng)))
    return Condition("thing", changed_thing(condition.value, facts, rng))


def changed_thing(thing: Thing, facts: Facts, rng: random.Random) -> Thing:
    """With one attribute another; often another thing's, so that what is learned is whose it is."""
    fields = {"kind": KINDS, "color": COLORS, "side": SIDES, "distance": DISTANCES}
    name = rng.choice([name for name in fields if getattr(thing, name) is not None])
    value = getattr(thing, name)
    present = [getattr(other, name) for other in facts.things if getattr(other, name) != value]
    return replace(
        thing, **{name: rng.choice(present) if present and rng.random() < 0.5 else other_than(value, fields[name], rng)}
    )


def word(wordings: Wordings, rng: random.Random, held_out: bool) -> str:
    return rng.choice(wordings[1] if held_out else wordings[0])


def say(conditions: tuple[Condition, ...], rng: random.Random, held_out: bool = False) -> Sentence:
    """The claims in words: things, the road, and weather, period and region in any order, behind or before."""
    by_about = {condition.about: condition.value for condition in conditions}
    subject = spoken_things(conditions, rng, held_out)
    if len(conditions) == 1 and by_about.get("weather") in W.ADJECTIVES and not held_out and rng.random() < 0.3:
        return Sentence(f"a {by_about['weather']} {rng.choice(W.PLACES)}", conditions)
    around = [
        spoken_sky(about, by_about[about], rng, held_out)
        for about in ("weather", "period", "region")
        if about in by_about
    ]
    rng.shuffle(around)
    middle = spoken_place(subject, by_about.get("road"), rng, held_out)
    if not middle and len(around) == 1 and rng.random() < 0.3:
        return Sentence(around[0], conditions)
    middle = middle or f"a {rng.choice(W.PLACES)}"
    if rng.random() < 0.08:
        middle = f"{rng.choice(W.OPENINGS)} {middle}"
    if around and rng.random() < 0.15:
        return Sentence(f"{' '.join(around)}, {middle}", conditions)
    return Sentence(" ".join([middle, *around]), conditions)


def spoken_place(subject: str, road: str | None, rng: random.Random, held_out: bool) -> str:
    """A car on a bridge, or a bridge with a car."""
    if not road:
        return subject
    name = word(W.ROAD_NAMES[road], rng, held_out)
    if not subject:
        return name
    if rng.random() < 0.25:
        return f"{name} {'and' if ' with ' in name else 'with'} {subject}"
    return f"{subject} {rng.choice(W.ROAD_PREPOSITIONS[road])} {name}"


def spoken_sky(about: str, value: str, rng: random.Random, held_out: bool) -> str:
    wordings: dict[str, dict[str, Wordings]] = {"weather": W.WEATHERS, "period": W.PERIODS, "region": W.REGIONS}
    return word(wordings[about][value], rng, held_out)


def spoken_things(conditions: tuple[Condition, ...], rng: random.Random, held_out: bool) -> str:
    spoken = []
    for condition in conditions:
        if condition.about == "thing":
            spoken.append(spoken_thing(condition.value, rng, held_out))
        elif condition.about == "count":
            kind, number = condition.value
            spoken.append(f"{word(W.NUMBERS[number], rng, held_out)} {word(W.PLURALS[kind], rng, held_out)}")
        elif condition.about == "relation":
            one, relation, other = condition.value
            form = word(W.RELATIONS[relation], rng, held_out)
            spoken.append(form.format(a=noun_phrase(one, rng, held_out), b=noun_phrase(other, rng, held_out)))
    things = " and ".join(spoken)
    if things and rng.random() < 0.3 and len(spoken) == 1:
        kind = next((c.value.kind for c in conditions if c.about == "thing"), None)
        things += f" {rng.choice(W.VERBS[kind])}" if kind else ""
    return things


def spoken_thing(thing: Thing, rng: random.Random, held_out: bool) -> str:
    parts = [noun_phrase(thing, rng, held_out)]
    places = [
        word(wordings[value], rng, held_out)
        for wordings, value in ((W.SIDES, thing.side), (W.DISTANCES, thing.distance))
        if value
    ]
    rng.shuffle(places)
    return " ".join(parts + places)


def noun_phrase(thing: Thing, rng: random.Random, held_out: bool) -> str:
    noun = word(W.CLASSES[thing.kind], rng, held_out)
    if thing.color:
        forms = W.DRESSED if thing.kind in PEOPLE else W.PAINTED
        noun = word(forms, rng, held_out).format(color=thing.color, noun=noun)
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
