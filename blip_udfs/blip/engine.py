"""Tensors of pixels and token ids -> BLIP's embeddings, patch features and matching logits.

The modules carry the names of transformers' BlipForImageTextRetrieval, so its weights load unchanged. Letters in
shapes: B rows, N patches + 1, T tokens, W width, H heads, D = W / H; U different texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blip_udfs.blip.products import Linear, linear

SAMPLED = 256  # patches, and
PAIRS, TOKENS = 8, 9  # texts and their tokens, with which a layer is timed
ONE_AT_A_TIME = 1 << 18  # patch features of an image from which a CPU does better with one image in its cache


@dataclass(frozen=True)
class VisionShape:
    width: int
    inner: int
    layers: int
    heads: int
    image_size: int
    patch_size: int
    eps: float

    @property
    def positions(self) -> int:
        return (self.image_size // self.patch_size) ** 2 + 1


@dataclass(frozen=True)
class TextShape:
    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    positions: int
    eps: float
    image_width: int


def split_heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-3, -2)  # (B, T, W) -> (B, H, T, D)


def join_heads(x: Tensor) -> Tensor:
    return x.transpose(-3, -2).flatten(-2)  # (B, H, T, D) -> (B, T, W)


class VisionEmbeddings(nn.Module):
    def __init__(self, shape: VisionShape):
        super().__init__()
        self.class_embedding = nn.Parameter(torch.empty(1, 1, shape.width))
        self.position_embedding = nn.Parameter(torch.empty(1, shape.positions, shape.width))
        self.patch_embedding = nn.Conv2d(3, shape.width, shape.patch_size, shape.patch_size)

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patch_embedding(images).flatten(2).transpose(1, 2)  # (B, N - 1, W)
        first = self.class_embedding.expand(images.shape[0], -1, -1)  # len is a constant of a trace
        return torch.cat([first, patches], 1) + self.position_embedding  # (B, N, W)


class VisionAttention(nn.Module):
    def __init__(self, shape: VisionShape):
        super().__init__()
        self.heads = shape.heads
        self.qkv = Linear(shape.width, 3 * shape.width)
        self.projection = Linear(shape.width, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, -1))  # each (B, H, N, D)
        return self.projection(join_heads(F.scaled_dot_product_attention(q, k, v)))

    def first_row(self, x: Tensor) -> Tensor:
        """What [CLS] alone attends to: (B, N, W) -> (B, 1, W)."""
        width = x.shape[-1]
        weight, bias, way = self.qkv.weight, self.qkv.bias, self.qkv.way
        q = linear(x[:, :1], weight[:width], bias[:width], way=way)
        k, v = linear(x, weight[width:], bias[width:], way=way).chunk(2, -1)
        q, k, v = (split_heads(part, self.heads) for part in (q, k, v))
        return self.projection(join_heads(F.scaled_dot_product_attention(q, k, v)))


class VisionMLP(nn.Module):
    def __init__(self, shape: VisionShape):
        super().__init__()
        self.fc1 = Linear(shape.width, shape.inner, "gelu")
        self.fc2 = Linear(shape.inner, shape.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.fc1(x))


class VisionLayer(nn.Module):
    def __init__(self, shape: VisionShape):
        super().__init__()
        self.self_attn = VisionAttention(shape)
        self.layer_norm1 = nn.LayerNorm(shape.width, shape.eps)
        self.mlp = VisionMLP(shape)
        self.layer_norm2 = nn.LayerNorm(shape.width, shape.eps)

    def forward(self, x: Tensor, only_first: bool = False) -> Tensor:
        attend = self.self_attn.first_row if only_first else self.self_attn
        x = (x[:, :1] if only_first else x) + attend(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class VisionModel(nn.Module):
    def __init__(self, shape: VisionShape):
        super().__init__()
        self.embeddings = VisionEmbeddings(shape)
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(VisionLayer(shape) for _ in range(shape.layers))})
        self.post_layernorm = nn.LayerNorm(shape.width, shape.eps)

    def forward(self, images: Tensor, only_first: bool = False) -> Tensor:
        """(B, 3, S, S) -> (B, N, W); (B, 1, W) with `only_first`, where the last layer sees to [CLS] alone."""
        x = self.embeddings(images)
        *layers, last = cast(list[VisionLayer], self.encoder["layers"])
        for layer in layers:
            x = layer(x)
        return self.post_layernorm(last(x, only_first))

    def a_little(self) -> Tensor:
        """One layer of a part of an image: of all that `forward` does, enough to be timed."""
        _, positions, width = self.embeddings.position_embedding.shape
        rows = self.embeddings.position_embedding.new_ones(1, min(positions, SAMPLED), width)
        return cast(list[VisionLayer], self.encoder["layers"])[0](rows)


class Attention(nn.Module):
    """Queries, keys and values of one text layer, to itself or to the image."""

    def __init__(self, width: int, source_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = Linear(width, width)
        self.key = Linear(source_width, width)
        self.value = Linear(source_width, width)

    def to_tokens(self, x: Tensor, source: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in (self.query(x), self.key(source), self.value(source)))
        return join_heads(F.scaled_dot_product_attention(q, k, v, mask))

    def to_patches(self, x: Tensor, patches: Tensor) -> Tensor:
        """(B, T, W) to (B, N, W) or (1, N, W) patches, by whichever order of the products is fewer operations."""
        rows, tokens = x.shape[0] // patches.shape[0] * x.shape[1], patches.shape[1]
        width, head = self.query.out_features, self.query.out_features // self.heads
        by_query = 2 * rows * self.heads * patches.shape[2] * (tokens + head)
        by_key = 2 * tokens * patches.shape[2] * width + 2 * rows * tokens * width
        return self.projected_queries(x, patches) if by_query < by_key else self.projected_keys(x, patches)

    def projected_keys(self, x: Tensor, patches: Tensor) -> Tensor:
        k, v = (split_heads(part, self.heads) for part in (self.key(patches), self.value(patches)))  # (B | 1, H, N, D)
        q = split_heads(self.query(x), self.heads)  # (B, H, T, D)
        size = (len(x), -1, -1, -1)
        return join_heads(F.scaled_dot_product_attention(q, k.expand(size), v.expand(size)))

    def projected_queries(self, x: Tensor, patches: Tensor) -> Tensor:
        """The same attention with the products re-associated: scores = (q W_k) X^T, context = (p X) W_v^T.

        Patches are then never projected. The key's bias adds the same to all scores of a query, which softmax
        cancels; the value's bias passes through, as the probabilities of a query sum to 1.
        """
        groups, rows, heads = len(patches), x.shape[0] * x.shape[1], self.heads
        q = self.query(x).reshape(rows, heads, -1).transpose(0, 1)  # (H, B T, D)
        head = q.shape[-1]
        key, value = (layer.weight.unflatten(0, (heads, head)) for layer in (self.key, self.value))  # (H, D, W)
        q = torch.bmm(q * head**-0.5, key).unflatten(1, (groups, -1))  # (H, B | 1, T, W), rows of one image together
        context = attended(q, patches, self.query.way).flatten(1, 2)  # (H, B T, W)
        out = torch.bmm(context, value.transpose(1, 2))  # (H, B T, D)
        return out.transpose(0, 1).reshape(x.shape) + self.value.bias  # (B, T, W)


def attended(q: Tensor, patches: Tensor, way: str) -> Tensor:
    """Queries (H, B, T, W) of all heads to patches (B, N, W), which are keys and values -> (H, B, T, W)."""
    if patches.is_cpu and patches[0].numel() >= ONE_AT_A_TIME:
        return torch.stack([attended_to_one(q[:, row], image, way) for row, image in enumerate(patches)], 1)
    rows = q.transpose(0, 1).flatten(1, 2)  # (B, H T, W)
    scores = torch.bmm(rows, patches.transpose(1, 2))  # (B, H T, N)
    context = torch.bmm(scores.softmax(-1), patches)  # (B, H T, W)
    return context.unflatten(1, (len(q), -1)).transpose(0, 1)


def attended_to_one(q: Tensor, patches: Tensor, way: str) -> Tensor:
    """(H, T, W) to (N, W) -> (H, T, W)."""
    scores = linear(q.flatten(0, 1), patches, way=way)  # (H T, N)
    return linear(scores.softmax(-1), patches.t(), way=way).view_as(q)


class AddNorm(nn.Module):
    """BERT's way: project, add, then normalise."""

    def __init__(self, inner: int, width: int, eps: float):
        super().__init__()
        self.dense = Linear(inner, width)
        self.LayerNorm = nn.LayerNorm(width, eps)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(x) + residual)


class TextLayer(nn.Module):
    def __init__(self, shape: TextShape):
        super().__init__()
        width, eps = shape.width, shape.eps
        of_text, of_image = Attention(width, width, shape.heads), Attention(width, shape.image_width, shape.heads)
        self.attention = nn.ModuleDict({"self": of_text, "output": AddNorm(width, width, eps)})
        self.crossattention = nn.ModuleDict({"self": of_image, "output": AddNorm(width, width, eps)})
        self.intermediate = nn.ModuleDict({"dense": Linear(width, shape.inner, "gelu")})
        self.output = AddNorm(shape.inner, width, eps)

    def to_itself(self, x: Tensor, mask: Tensor, only_first: bool = False) -> Tensor:
        rows = x[:, :1] if only_first else x
        return self.attention["output"](cast(Attention, self.attention["self"]).to_tokens(rows, x, mask), rows)

    def to_image(self, x: Tensor, patches: Tensor) -> Tensor:
        return self.crossattention["output"](cast(Attention, self.crossattention["self"]).to_patches(x, patches), x)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.output(self.intermediate["dense"](x), x)


class TextEmbeddings(nn.Module):
    def __init__(self, shape: TextShape):
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocabulary, shape.width)
        self.position_embeddings = nn.Embedding(shape.positions, shape.width)
        self.LayerNorm = nn.LayerNorm(shape.width, shape.eps)

    def forward(self, ids: Tensor) -> Tensor:
        return self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings.weight[: ids.shape[1]])


class TextModel(nn.Module):
    def __init__(self, shape: TextShape):
        super().__init__()
        self.embeddings = TextEmbeddings(shape)
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(TextLayer(shape) for _ in range(shape.layers))})

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """[CLS] of texts alone: ids (B, T), mask (B, T) true where there is a token -> (B, W)."""
        x, mask = self.embeddings(ids), mask[:, None, None]  # (B, T, W); (B, 1, 1, T)
        *layers, last = cast(list[TextLayer], self.encoder["layer"])
        for layer in layers:
            x = layer.feed_forward(layer.to_itself(x, mask))
        return last.feed_forward(last.to_itself(x, mask, only_first=True))[:, 0]

    def with_image(self, ids: Tensor, mask: Tensor, which: Tensor, patches: Tensor) -> Tensor:
        """First token of texts that look at images: ids, mask (U, T); which (B,) says the text of each row;
        patches (B, N, W), or (1, N, W) for all rows -> (B, W)."""
        mask = mask[:, None, None]
        first, *layers = cast(list[TextLayer], self.encoder["layer"])
        # before the first cross-attention a row depends on its text only: U texts instead of B rows
        x = self.embeddings(ids)
        x = first.to_itself(x, mask, only_first=not layers)[which]  # (B, T, W)
        mask = mask[which]  # (B, 1, 1, T)
        x = first.feed_forward(first.to_image(x, patches))
        for layer in layers:
            x = layer.to_itself(x, mask, only_first=layer is layers[-1])  # only row 0 feeds the head
            x = layer.feed_forward(layer.to_image(x, patches))
        return x[:, 0]

    def a_little(self, patches: int) -> Tensor:
        """One layer of a few short texts that look at images of so many patches, enough to be timed."""
        layer, weight = cast(list[TextLayer], self.encoder["layer"])[0], self.embeddings.word_embeddings.weight
        x = weight.new_ones(PAIRS, TOKENS, weight.shape[1])
        mask = torch.ones(PAIRS, 1, 1, TOKENS, dtype=torch.bool)
        images = weight.new_ones(PAIRS, patches, cast(Attention, layer.crossattention["self"]).key.in_features)
        return layer.feed_forward(layer.to_image(layer.to_itself(x, mask), images))


class Retrieval(nn.Module):
    """BLIP for retrieval: ITC embeddings of images and texts in one space, ITM logits of pairs (paper, section 3.2)."""

    def __init__(self, vision: VisionShape, text: TextShape, embed_dim: int):
        super().__init__()
        self.vision_model = VisionModel(vision)
        self.text_encoder = TextModel(text)
        self.vision_proj = Linear(vision.width, embed_dim)
        self.text_proj = Linear(text.width, embed_dim)
        self.itm_head = Linear(text.width, 2)

    def features(self, images: Tensor) -> Tensor:
        return self.vision_model(images)  # (B, 3, S, S) -> (B, N, W)

    def embed_images(self, images: Tensor) -> Tensor:
        return self.project_image(self.vision_model(images, only_first=True)[:, 0])  # (B, E)

    def project_image(self, first: Tensor) -> Tensor:
        return F.normalize(self.vision_proj(first), dim=-1)  # (B, W) -> (B, E)

    def embed_texts(self, ids: Tensor, mask: Tensor) -> Tensor:
        return F.normalize(self.text_proj(self.text_encoder(ids, mask)), dim=-1)  # (B, E)

    def match(self, ids: Tensor, mask: Tensor, which: Tensor, patches: Tensor) -> Tensor:
        return self.itm_head(self.text_encoder.with_image(ids, mask, which, patches))  # (B, 2)
