"""Sentences -> token ids, cut and padded as BLIP does."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
from tokenizers import Tokenizer

from blip_udfs.checkpoint import Checkpoint, ModelError, read_json

MAX_TOKENS = 35  # BLIP's retrieval code: tokenizer(caption, truncation=True, max_length=35)


def read_tokenizer(files: Checkpoint) -> Tokenizer:
    first, *others = files.tokenizer
    try:
        if first.suffix == ".json":
            tokenizer = Tokenizer.from_file(str(first))
        else:
            from tokenizers.implementations import BertWordPieceTokenizer

            lowercase = read_json(others[0]).get("do_lower_case", True) if others else True
            tokenizer = BertWordPieceTokenizer(str(first), lowercase=lowercase)._tokenizer
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(f"{first}: not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def token_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Ids int64 (B, T), padded to the longest of the batch, at most 35; mask bool (B, T), true for tokens."""
    encoded = [tokenizer.encode(text) for text in texts]
    if any(each.overflowing for each in encoded):
        say_cut()
    ids = [each.ids for each in encoded]
    length = max(map(len, ids))
    padded = np.array([row + [0] * (length - len(row)) for row in ids], np.int64)
    return padded, np.arange(length) < np.array([len(row) for row in ids])[:, None]


@cache
def say_cut() -> None:
    """Once per process."""
    print(f"blip_udfs: a text of more than {MAX_TOKENS} tokens is cut to them, as BLIP does", file=sys.stderr)
