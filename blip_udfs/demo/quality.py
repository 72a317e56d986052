"""A model and unseen scenes -> precision@10 of its ranking, by the sentences' number of attributes."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from blip_udfs.demo.captions import Facts, Sentence, is_true, true_sentence
from blip_udfs.demo.losses import Texts

TOP = 10


def sentences_with_answers(facts: list[Facts], per_group: int, seed: int, held_out: bool) -> dict[str, list[Sentence]]:
    """Sentences that are true of ten scenes or more, but not of most, by what they mention."""
    rng = random.Random(seed)
    groups: dict[str, list[Sentence]] = {name: [] for name in ("one", "two", "three", "pair or relation")}
    for _ in range(20_000):
        sentence = true_sentence(rng.choice(facts), rng, held_out)
        group = group_of(sentence)
        if group is None or len(groups[group]) >= per_group:
            continue
        if TOP <= sum(is_true(sentence, fact) for fact in facts) <= len(facts) / 2:
            groups[group].append(sentence)
    return groups


def group_of(sentence: Sentence) -> str | None:
    abouts = [condition.about for condition in sentence.conditions]
    if "relation" in abouts or abouts.count("thing") > 1:
        return "pair or relation"
    return {1: "one", 2: "two", 3: "three"}.get(sentence.attributes)


@torch.inference_mode()
def precision(model: Any, texts: Texts, features: torch.Tensor, facts: list[Facts], sentences: list[Sentence]) -> dict:
    """Mean precision@10 over the sentences, ranked by ITC alone and by ITM of every image."""
    images = F.normalize(model.vision_proj(features[:, 0]), dim=1)
    out: dict[str, list[float]] = {"itc": [], "itm": []}
    for sentence in sentences:
        encoded = model.text_encoder(**texts([sentence.text], "cls")).last_hidden_state[:, 0]
        itc = (images @ F.normalize(model.text_proj(encoded), dim=1).T)[:, 0]
        one = texts([sentence.text], "enc")
        repeated = {key: value.expand(len(features), -1) for key, value in one.items()}
        hidden = model.text_encoder(**repeated, encoder_hidden_states=features).last_hidden_state[:, 0]
        itm = model.itm_head(hidden)[:, 1] + itc
        for name, score in (("itc", itc), ("itm", itm)):
            best = score.argsort(descending=True)[:TOP].tolist()
            out[name].append(float(np.mean([is_true(sentence, facts[index]) for index in best])))
    return {name: round(float(np.mean(values)), 3) for name, values in out.items() if values}
