"""Sentences -> token ids, cut and padded as BLIP does."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from blip_udfs.blip.checkpoint import Checkpoint, ModelError

MAX_TOKENS = 35  # BLIP's retrieval code: tokenizer(caption, truncation=True, max_length=35)
ENC = "[ENC]"  # the first token of a text that looks at an image; the original code adds it to the tokenizer
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a worker for each core is parallel enough


def read_tokenizer(files: Checkpoint, rows: int) -> Tokenizer:
    """As transformers reads it, from tokenizer.json or vocab.txt with the settings beside them.

    Raises ModelError when it is no tokenizer, or not one for a table of `rows` words.
    """
    from transformers import AutoTokenizer

    words = files.tokenizer[0]
    try:
        stored = AutoTokenizer.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
        tokenizer: Tokenizer = stored.backend_tokenizer
        tokenizer.encode_special_tokens = stored.split_special_tokens
        tokenizer.enable_truncation(MAX_TOKENS, direction=stored.truncation_side)
        # on the right, whatever its padding_side: [CLS] or [ENC], which is read, stays first
        tokenizer.enable_padding(pad_id=stored.pad_token_id or 0, pad_token=stored.pad_token or "[PAD]")
    except Exception as error:  # transformers and tokenizers raise nearly anything, plain Exception too
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ModelError(f"{words}: not a tokenizer with its settings: {reason:.300}") from error
    check_words(tokenizer, stored, words, rows)
    return tokenizer


def check_words(tokenizer: Tokenizer, stored: Any, file: Any, rows: int) -> None:
    word, last = max(tokenizer.get_vocab().items(), key=lambda pair: pair[1])
    if last >= rows:
        raise ModelError(
            f"{file}: expected words for the model's table of {rows} rows, got '{word}' as number {last}; is it the "
            "tokenizer of another model?"
        )
    if tokenizer.encode("").ids[:1] != [stored.cls_token_id]:
        raise ModelError(
            f"{file}: expected a tokenizer that begins each text with [CLS], got {tokenizer.encode('').tokens}"
        )


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids int64 (B, T), padded to the longest of the batch, at most 35; mask bool (B, T), true for tokens."""
    encoded = tokenizer.encode_batch(list(texts))
    if any(each.overflowing for each in encoded):
        say_cut()
    ids = np.array([each.ids for each in encoded], np.int64)
    return ids, np.array([each.attention_mask for each in encoded], bool)


@cache
def say_cut() -> None:
    """Once per process."""
    print(f"blip_udfs: a text of more than {MAX_TOKENS} tokens is cut to them, as BLIP does", file=sys.stderr)
