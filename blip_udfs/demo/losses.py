"""A batch of scenes and a BLIP being trained -> its losses: patches, image, ITC with soft targets, ITM."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blip_udfs.demo.dataset import KINDS
from blip_udfs.draw.captions import Facts, Sentence, false_sentence, is_true, true_sentence
from blip_udfs.draw.world import COLORS, DISTANCES, PERIODS, ROADS, SIDES

WEATHERS = ("sunny", "clear", "cloudy", "rainy")
CAPTIONS = 2  # of each image in a step: the vision encoder's work serves both
SHARPNESS = 14.0  # of the draw of hard negatives by similarity
UNSEEN = -1e4  # added to an attention score: its weight becomes 0
IGNORED = -100  # cross_entropy's label for what has no answer


class Heads(nn.Module):
    """Heads that only training has: what each patch shows and where it is, what the image holds; ITC's temperature."""

    def __init__(self, width: int, columns: int) -> None:
        super().__init__()
        self.kind = nn.Linear(width, 1 + len(KINDS))
        self.color = nn.Linear(width, 1 + len(COLORS))
        self.distance = nn.Linear(width, 1 + len(DISTANCES))
        self.sky = nn.Linear(width, len(ROADS) + len(WEATHERS) + len(PERIODS))
        self.held = nn.Linear(width, len(HOLDINGS))
        self.scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))
        self.column = nn.Linear(width, columns)


HOLDINGS = tuple(  # what an image may hold: a thing of a kind with one more attribute, or several of a kind
    (kind, name, value)
    for kind in KINDS
    for name, values in (("color", COLORS), ("side", SIDES), ("distance", DISTANCES), ("number", (1, 2, 3)))
    for value in values
)


def holds(facts: Facts, holding: tuple[str, str, Any]) -> bool:
    kind, name, value = holding
    things = [thing for thing in facts.things if thing.kind == kind]
    return len(things) >= value if name == "number" else any(getattr(thing, name) == value for thing in things)


def patch_loss(heads: Heads, features: Tensor, labels: Tensor) -> Tensor:
    """What each patch shows. features (B, 1 + P*P, W), labels (B, 3, P, P): kind, colour, distance."""
    patches = features[:, 1:]
    kinds, colors, distances = labels.flatten(2).long().unbind(1)  # each (B, P*P)
    weight = torch.tensor([0.3] + [1.0] * len(KINDS))  # most patches show nothing
    loss = F.cross_entropy(heads.kind(patches).flatten(0, 1).float(), kinds.flatten(), weight)
    for head, wanted in ((heads.color, colors), (heads.distance, distances)):
        answers = torch.where(wanted == 0, IGNORED, wanted).flatten()
        loss = loss + F.cross_entropy(head(patches).flatten(0, 1).float(), answers, ignore_index=IGNORED)
    return loss


def column_loss(heads: Heads, features: Tensor) -> Tensor:
    """In which column each patch stands: what is left and right would else be lost on the way through the layers."""
    columns = heads.column.out_features
    wanted = torch.arange(columns).repeat(len(features) * columns)  # patches run row by row
    return F.cross_entropy(heads.column(features[:, 1:]).flatten(0, 1).float(), wanted)


def image_loss(heads: Heads, features: Tensor, facts: list[Facts]) -> Tensor:
    """Road, weather, period and things from [CLS]; a tunnel tells nothing of weather and period."""
    road, weather, period = heads.sky(features[:, 0]).float().split([len(ROADS), len(WEATHERS), len(PERIODS)], 1)
    loss = F.cross_entropy(road, torch.tensor([list(ROADS).index(fact.road) for fact in facts]))
    for logits, names, about in ((weather, WEATHERS, "weather"), (period, PERIODS, "period")):
        labels = [names.index(getattr(fact, about)) if fact.sky_seen else IGNORED for fact in facts]
        loss = loss + F.cross_entropy(logits, torch.tensor(labels), ignore_index=IGNORED)
    held = torch.tensor([[float(holds(fact, holding)) for holding in HOLDINGS] for fact in facts])
    return loss + 4 * F.binary_cross_entropy_with_logits(heads.held(features[:, 0]).float(), held)


class Texts:
    """Sentences -> token ids with the first token that the objective wants."""

    def __init__(self, tokenizer: Any, enc: int) -> None:
        self.tokenizer, self.enc = tokenizer, enc

    def ids(self, sentences: list[str], first: str) -> list[list[int]]:
        rows = self.tokenizer(sentences, truncation=True, max_length=35)["input_ids"]
        return [[self.enc, *row[1:]] for row in rows] if first == "enc" else rows

    def padded(self, sentences: list[str]) -> tuple[Tensor, Tensor]:
        """Ids (B, T) with [CLS] first, and the mask of tokens."""
        batch = self.tokenizer(sentences, padding=True, truncation=True, max_length=35, return_tensors="pt")
        return batch["input_ids"], batch["attention_mask"]


def itc_loss(
    model: Any, heads: Heads, texts: Texts, cls: Tensor, sentences: list[Sentence], facts: list[Facts]
) -> tuple[Tensor, Tensor, Tensor]:
    """Image-text contrast, its targets spread over every sentence of the batch that is true of the image.

    cls (B, W); CAPTIONS sentences per image, in the images' order. The loss; similarities (B, T); truth (B, T).
    """
    images = F.normalize(model.vision_proj(cls).float(), dim=1)  # (B, D)
    ids, mask = texts.padded([sentence.text for sentence in sentences])
    encoded = model.text_encoder(input_ids=ids, attention_mask=mask).last_hidden_state[:, 0]
    similarity = images @ F.normalize(model.text_proj(encoded).float(), dim=1).T  # (B, T)
    true = torch.tensor([[float(is_true(sentence, fact)) for sentence in sentences] for fact in facts])
    logits = similarity * heads.scale.exp().clamp(max=100)
    by_image = -(true / true.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_text = -(true / true.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (by_image + by_text) / 2, similarity.detach(), true


Pairs = list[list[tuple[str, int]]]  # of each image: sentences with 1 if true, 0 if false, IGNORED if to be left out


def itm_pairs(
    sentences: list[Sentence], facts: list[Facts], similarity: Tensor, true: Tensor, rng: random.Random
) -> Pairs:
    """Of each image: its sentences; each with one claim changed until it is false; and two sentences of other images
    that are false of this one, drawn by ITC similarity as the paper does: as the text that is hard for the image,
    and the image that is hard for the text."""
    hard = torch.where(true == 1, float("-inf"), similarity * SHARPNESS)  # (B, T)
    weights = [hard.softmax(1).nan_to_num(0.0), hard.softmax(0).nan_to_num(0.0)]
    drawn = [torch.multinomial(each + (true == 0) * 1e-9, 1)[:, 0].tolist() for each in weights]
    pairs: Pairs = []
    for image, fact in enumerate(facts):
        own = sentences[image * CAPTIONS : (image + 1) * CAPTIONS]
        changed = [false_sentence(sentence, fact, rng) for sentence in own]
        pairs.append(
            [(sentence.text, 1) for sentence in own]
            + [(each.text, 0) if each else (own[0].text, IGNORED) for each in changed]
            + [(sentences[which[image]].text, 0) for which in drawn]
        )
    return pairs


def itm_loss(model: Any, texts: Texts, features: Tensor, pairs: Pairs) -> tuple[Tensor, float]:
    """Image-text matching of pairs; the loss and the share that is right. features (B, N, W)."""
    ids, segments, positions = packed([texts.ids([text for text, _ in row], "enc") for row in pairs])  # each (B, L)
    own = segments[:, None, :, None] == segments[:, None, None, :]  # (B, 1, L, L): each text looks at itself alone
    hidden = model.text_encoder(
        input_ids=ids,
        attention_mask=torch.where(own, 0.0, UNSEEN),
        position_ids=positions,
        encoder_hidden_states=features,
    ).last_hidden_state
    first = (positions == 0) & (segments >= 0)  # (B, L)
    logits = model.itm_head(hidden[first]).float()  # (B P, 2), row by row
    labels = torch.tensor([label for row in pairs for _, label in row])
    right = (logits.argmax(1) == labels)[labels != IGNORED].float().mean().item()
    return F.cross_entropy(logits, labels, ignore_index=IGNORED), right


def packed(rows: list[list[list[int]]]) -> tuple[Tensor, Tensor, Tensor]:
    """Texts of an image end to end in one row, so that its keys and values are projected once for all of them and
    little is padded: ids, which text a token is of (-1: padding) and its position there, each (B, L)."""
    out = []
    for row in rows:
        tokens = [(token, segment, place) for segment, ids in enumerate(row) for place, token in enumerate(ids)]
        out.append(torch.tensor(tokens).T)  # (3, L of this row)
    length = max(each.shape[1] for each in out)
    filled = torch.stack([F.pad(each, (0, length - each.shape[1]), value=-1) for each in out])  # (B, 3, L)
    ids, segments, positions = filled.unbind(1)
    return ids.clamp(min=0), segments, positions.clamp(min=0)


def sample_sentences(facts: list[Facts], rng: random.Random, binding: float) -> list[Sentence]:
    return [true_sentence(fact, rng, binding=binding) for fact in facts for _ in range(CAPTIONS)]
