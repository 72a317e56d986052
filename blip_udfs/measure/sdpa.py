"""transformers' BLIP, which multiplies out its attention -> the same by torch's scaled_dot_product_attention."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def with_sdpa(model: Any) -> Any:
    """The model itself, its attention replaced in place. Letters in shapes as in `engine`."""
    from transformers.models.blip.modeling_blip import BlipAttention
    from transformers.models.blip.modeling_blip_text import BlipTextSelfAttention

    by_kind: dict[type, Any] = {BlipAttention: of_vision, BlipTextSelfAttention: of_text}
    for module in model.modules():
        if type(module) in by_kind:
            module.forward = partial(by_kind[type(module)], module)
    return model


def of_vision(module: Any, hidden_states: Tensor, **_: Any) -> tuple[Tensor, None]:
    rows, positions, width = hidden_states.shape
    qkv = module.qkv(hidden_states).reshape(rows, positions, 3, module.num_heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4)  # each (B, H, N, D)
    out = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return module.projection(out.reshape(rows, positions, width)), None


def of_text(
    module: Any,
    hidden_states: Tensor,
    attention_mask: Tensor | None = None,
    encoder_hidden_states: Tensor | None = None,
    encoder_attention_mask: Tensor | None = None,
    **_: Any,
) -> tuple[Tensor, None]:
    """Without a cache, which retrieval has none of."""
    of_itself = encoder_hidden_states is None
    source = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    mask = attention_mask if of_itself else encoder_attention_mask
    q, k, v = (
        split(layer, each, module.attention_head_size)
        for layer, each in ((module.query, hidden_states), (module.key, source), (module.value, source))
    )
    mask = None if mask is None else mask.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(2), None


def split(layer: nn.Module, x: Tensor, head: int) -> Tensor:
    return layer(x).unflatten(-1, (-1, head)).transpose(1, 2)  # (B, T, W) -> (B, H, T, D)
