"""Drawn scenes -> the bundled model: `python -m blip_udfs.demo.train --steps 4000 --work /tmp/blip-train`."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from blip_udfs.demo import losses, quality, wordings
from blip_udfs.demo.dataset import Scenes, scenes

IMAGE_SIZE, PATCH_SIZE, WIDTH, VISION_LAYERS, TEXT_LAYERS, HEADS = 192, 16, 160, 6, 3, 5
PROJECTION = 64
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VALIDATION_SEED, VALIDATION_SCENES = 900_001, 600


def vocabulary() -> list[str]:
    """The grammar's words, common words of the road, and pieces that spell any other word."""
    text = json.dumps([getattr(wordings, name) for name in dir(wordings) if name.isupper()])
    words = sorted(set("".join(c if c.isalpha() else " " for c in text.lower()).split()))
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    extra = ["red", "blue", "white", "black", "yellow", "green", "scene", "view", "and", *",.!?'-"]
    endings = ["##s", "##es", "##ing", "##ed", "##er", "##ly", "##y"]
    pieces = [*words, *extra, *letters, *("##" + letter for letter in letters), *endings]
    return [*SPECIAL, *dict.fromkeys(pieces), "[DEC]", "[ENC]"]


def new_model(words: int) -> Any:
    """BLIP with this vocabulary and random weights; transformers' own class, the original's LayerNorm epsilons."""
    from transformers import BlipConfig, BlipForImageTextRetrieval

    sizes = {"hidden_size": WIDTH, "intermediate_size": 4 * WIDTH, "num_attention_heads": HEADS}
    vision = {"num_hidden_layers": VISION_LAYERS, "image_size": IMAGE_SIZE, "patch_size": PATCH_SIZE}
    text = {
        "num_hidden_layers": TEXT_LAYERS,
        "encoder_hidden_size": WIDTH,
        "vocab_size": words,
        "max_position_embeddings": 64,
        "bos_token_id": words - 2,
        "sep_token_id": SPECIAL.index("[SEP]"),
        "eos_token_id": SPECIAL.index("[SEP]"),
        "pad_token_id": 0,
        "layer_norm_eps": 1e-12,
    }
    config = BlipConfig(
        vision_config=sizes | vision | {"layer_norm_eps": 1e-6},
        text_config=sizes | text,
        image_text_hidden_size=PROJECTION,
    )
    return BlipForImageTextRetrieval(config)


def new_tokenizer(folder: Path) -> Any:
    from transformers import BertTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()))
    return BertTokenizerFast(vocab_file=str(folder / "vocab.txt"), do_lower_case=True)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (B, S, S, 3) -> float (B, 3, S, S) as BLIP's processor makes it."""
    scaled = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return scaled.permute(0, 3, 1, 2).contiguous()


class Trainer:
    """One training run: model, training-only heads, optimizer, the step that it has come to."""

    def __init__(self, work: Path, steps: int, batch: int, seed: int, learning_rate: float) -> None:
        torch.manual_seed(seed)
        self.work, self.steps, self.batch, self.seed = work, steps, batch, seed
        self.tokenizer = new_tokenizer(work / "tokenizer")
        words = len(vocabulary())
        self.model, self.heads = new_model(words), losses.Heads(WIDTH)
        self.texts = losses.Texts(self.tokenizer, enc=words - 1)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=0.05)
        warm, heads_only = max(1, steps // 25), steps // 8
        self.heads_only = heads_only  # first the pictures alone are learned: objects are found sooner
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer,
            lambda step: (
                min(1.0, (step + 1) / warm) * (0.02 + 0.98 * 0.5 * (1 + np.cos(np.pi * min(1.0, step / steps))))
            ),
        )
        self.step, self.seconds = 0, 0.0

    def losses(self, data: Scenes) -> dict[str, Any]:
        """The losses of this step's batch; which scenes and sentences follows from seed and step."""
        rng = random.Random(f"{self.seed}/{self.step}")
        index = rng.sample(range(len(data)), self.batch)
        facts = [data.facts[i] for i in index]
        features = self.model.vision_model(normalised(data.pixels[index])).last_hidden_state  # (B, 1 + P*P, W)
        kinds, colors = torch.from_numpy(data.kinds[index]), torch.from_numpy(data.colors[index])
        out: dict[str, Any] = {
            "patches": losses.patch_loss(self.heads, features, kinds, colors),
            "image": losses.image_loss(self.heads, features, facts),
        }
        if self.step >= self.heads_only:
            sentences = losses.sample_sentences(facts, rng)
            itc, similarity, true = losses.itc_loss(
                self.model, self.heads, self.texts, features[:, 0], sentences, facts
            )
            torch.manual_seed(self.seed + self.step)  # the draw of hard images repeats too
            pairs = losses.itm_pairs(sentences, facts, similarity, true, rng)
            itm, right = losses.itm_loss(self.model, self.texts, features, pairs)
            out |= {"itc": itc, "itm": itm, "itm_right": right}
        return out

    def advance(self, data: Scenes) -> dict[str, float]:
        """One step."""
        started = time.perf_counter()
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            parts = self.losses(data)
            weights = {"patches": 0.5, "image": 0.2, "itc": 0.5, "itm": 2.0}
            total = sum(weight * parts[name] for name, weight in weights.items() if name in parts)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        self.seconds += time.perf_counter() - started
        return {name: float(value) for name, value in (parts | {"total": total}).items()}

    def state(self) -> dict[str, Any]:
        names = ("model", "heads", "optimizer", "schedule")
        return {name: getattr(self, name).state_dict() for name in names} | {"step": self.step, "seconds": self.seconds}

    def checkpoint(self) -> None:
        torch.save(self.state(), self.work / "checkpoint.tmp")
        (self.work / "checkpoint.tmp").replace(self.work / "checkpoint.pt")  # a kill leaves the last whole one

    def resume(self) -> None:
        path = self.work / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            for name in ("model", "heads", "optimizer", "schedule"):
                getattr(self, name).load_state_dict(state[name])
            self.step, self.seconds = state["step"], state["seconds"]

    def evaluate(self, held: Scenes, per_group: int = 12) -> dict[str, dict]:
        """Precision@10 on unseen scenes, and the same in wordings that training never used."""
        self.model.eval()
        with torch.inference_mode():
            chunks = [held.pixels[i : i + 100] for i in range(0, len(held), 100)]
            features = torch.cat([self.model.vision_model(normalised(c)).last_hidden_state for c in chunks])
        out = {}
        for held_out in (False, True):
            groups = quality.sentences_with_answers(held.facts, per_group, seed=1, held_out=held_out)
            for name, sentences in groups.items():
                found = quality.precision(self.model, self.texts, features, held.facts, sentences)
                out[name + (", held-out wording" if held_out else "")] = found | {"sentences": len(sentences)}
        return out

    def export(self, folder: Path) -> None:
        """The Hugging Face folder: configuration, half-precision safetensors, tokenizer, image processor."""
        from transformers import BlipImageProcessor

        half = new_model(len(vocabulary()))
        half.load_state_dict(self.model.state_dict())
        half.half().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        BlipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(folder)


@click.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Drawn scenes, checkpoint and log.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "model", help="Model folder.")
@click.option("--steps", default=6000)
@click.option("--batch", default=64)
@click.option("--count", default=24_000, help="Scenes to train on.")
@click.option("--seed", default=0)
@click.option("--learning-rate", default=1e-3)
@click.option("--every", default=500, help="Steps between checkpoints with validation.")
def main(
    work: Path, out: Path, steps: int, batch: int, count: int, seed: int, learning_rate: float, every: int
) -> None:
    """Trains, or goes on from the last checkpoint in --work, and writes the model folder."""
    work.mkdir(parents=True, exist_ok=True)
    data = scenes(count, seed, IMAGE_SIZE, PATCH_SIZE, work)
    held = scenes(VALIDATION_SCENES, VALIDATION_SEED, IMAGE_SIZE, PATCH_SIZE, work)
    trainer = Trainer(work, steps, batch, seed, learning_rate)
    trainer.resume()
    while trainer.step < steps:
        parts = trainer.advance(data)
        if trainer.step % 20 == 0:
            shown = "  ".join(f"{name} {value:.3f}" for name, value in parts.items())
            click.echo(f"step {trainer.step}/{steps}  {trainer.seconds / trainer.step:.2f} s/step  {shown}")
        if trainer.step % every == 0 or trainer.step == steps:
            trainer.checkpoint()
            trainer.export(out)
            click.echo(json.dumps(trainer.evaluate(held)))


if __name__ == "__main__":
    main()
