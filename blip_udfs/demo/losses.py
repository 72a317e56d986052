"""A batch of scenes and a BLIP being trained -> its losses: patches, image, ITC with soft targets, ITM."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from blip_udfs.demo.captions import Facts, Sentence, false_sentence, is_true, true_sentence
from blip_udfs.demo.dataset import KINDS
from blip_udfs.demo.world import COLORS, PERIODS, ROADS, WEATHERS

CAPTIONS = 2  # of each image in a step: the vision encoder's work serves both
IGNORED = -100  # cross_entropy's label for what has no answer


class Heads(nn.Module):
    """Heads that only training has: what each patch shows, what the image shows; and ITC's temperature."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.kind = nn.Linear(width, 1 + len(KINDS))
        self.color = nn.Linear(width, 1 + len(COLORS))
        self.image = nn.Linear(width, len(ROADS) + len(WEATHERS) + len(PERIODS))
        self.scale = nn.Parameter(torch.tensor(np.log(1 / 0.07), dtype=torch.float32))


def patch_loss(heads: Heads, features: Tensor, kinds: Tensor, colors: Tensor) -> Tensor:
    """What each patch shows. features (B, 1 + P*P, W), labels (B, P, P)."""
    patches = features[:, 1:]
    weight = torch.tensor([0.3] + [1.0] * len(KINDS))  # most patches show nothing
    kind = F.cross_entropy(heads.kind(patches).flatten(0, 1).float(), kinds.flatten().long(), weight)
    colored = torch.where(colors == 0, IGNORED, colors.long()).flatten()
    return kind + F.cross_entropy(heads.color(patches).flatten(0, 1).float(), colored, ignore_index=IGNORED)


def image_loss(heads: Heads, features: Tensor, facts: list[Facts]) -> Tensor:
    """Road, weather and period from [CLS]; a tunnel tells nothing of the latter two."""
    road, weather, period = heads.image(features[:, 0]).float().split([len(ROADS), len(WEATHERS), len(PERIODS)], 1)
    sky = [fact.sky_seen for fact in facts]
    loss = F.cross_entropy(road, torch.tensor([list(ROADS).index(fact.road) for fact in facts]))
    for logits, names, about in ((weather, WEATHERS, "weather"), (period, PERIODS, "period")):
        labels = [names.index(getattr(f, about)) if seen else IGNORED for f, seen in zip(facts, sky, strict=True)]
        loss = loss + F.cross_entropy(logits, torch.tensor(labels), ignore_index=IGNORED)
    return loss


class Texts:
    """Sentences -> token ids with the first token that the objective wants."""

    def __init__(self, tokenizer: Any, enc: int) -> None:
        self.tokenizer, self.enc = tokenizer, enc

    def __call__(self, sentences: list[str], first: str) -> dict[str, Tensor]:
        batch = self.tokenizer(sentences, padding=True, truncation=True, max_length=35, return_tensors="pt")
        if first == "enc":
            batch["input_ids"][:, 0] = self.enc
        return {"input_ids": batch["input_ids"], "attention_mask": batch["attention_mask"]}


def itc_loss(model: Any, heads: Heads, texts: Texts, cls: Tensor, sentences: list[Sentence], facts: list[Facts]):
    """Image-text contrast, its targets spread over every sentence of the batch that is true of the image.

    cls (B, W); one sentence or more per image, in the images' order. Returns the loss and similarities (B, T).
    """
    images = F.normalize(model.vision_proj(cls).float(), dim=1)  # (B, D)
    encoded = model.text_encoder(**texts([s.text for s in sentences], "cls")).last_hidden_state[:, 0]
    similarity = images @ F.normalize(model.text_proj(encoded).float(), dim=1).T  # (B, T)
    true = torch.tensor([[is_true(sentence, fact) for sentence in sentences] for fact in facts], dtype=torch.float32)
    logits = similarity * heads.scale.exp().clamp(max=100)
    by_image = -(true / true.sum(1, keepdim=True) * logits.log_softmax(1)).sum(1).mean()
    by_text = -(true / true.sum(0, keepdim=True) * logits.log_softmax(0)).sum(0).mean()
    return (by_image + by_text) / 2, similarity.detach(), true


def itm_loss(model: Any, texts: Texts, features: Tensor, pairs: list[tuple[int, str, int]]) -> tuple[Tensor, float]:
    """Image-text matching on (image's index, sentence, 1 if true else 0); the loss and the share that is right."""
    images = features[[image for image, _, _ in pairs]]
    labels = torch.tensor([label for _, _, label in pairs])
    encoded = model.text_encoder(
        **texts([text for _, text, _ in pairs], "enc"), encoder_hidden_states=images
    ).last_hidden_state[:, 0]
    logits = model.itm_head(encoded).float()
    return F.cross_entropy(logits, labels), (logits.argmax(1) == labels).float().mean().item()


def itm_pairs(
    sentences: list[Sentence], facts: list[Facts], similarity: Tensor, true: Tensor, rng: random.Random
) -> list[tuple[int, str, int]]:
    """Each sentence with its image; with one claim changed until it is false; and, as it stands, with an image of
    which it is false, drawn by ITC similarity: the hard ones."""
    pairs = []
    weights = torch.where(true == 1, float("-inf"), similarity * 14.0).softmax(0).nan_to_num(0.0)  # (B, T)
    for index, sentence in enumerate(sentences):
        image = index // CAPTIONS
        pairs.append((image, sentence.text, 1))
        changed = false_sentence(sentence, facts[image], rng)
        if changed:
            pairs.append((image, changed.text, 0))
        if index % CAPTIONS == 0 and weights[:, index].sum() > 0:
            pairs.append((int(torch.multinomial(weights[:, index], 1)), sentence.text, 0))
    return pairs


def sample_sentences(facts: list[Facts], rng: random.Random) -> list[Sentence]:
    return [true_sentence(fact, rng) for fact in facts for _ in range(CAPTIONS)]
