"""Drawn scenes -> the bundled model: `python -m blip_udfs.demo.train --work /tmp/blip-train`."""

from __future__ import annotations

import json
import math
import os
import random
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch

from blip_udfs.demo import losses
from blip_udfs.demo.dataset import MOVED, Scenes, scenes
from blip_udfs.draw import wordings

IMAGE_SIZE, PATCH_SIZE, WIDTH, VISION_LAYERS, TEXT_LAYERS, HEADS = 192, 16, 160, 6, 3, 5
PROJECTION = 64
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VALIDATION_SEED, VALIDATION_SCENES = 900_001, 1000


@dataclass(frozen=True)
class Stage:
    """Some steps with one learning rate at its peak and the weights of the losses that count in them; `binding` is
    the share of sentences that tell which thing is where, on top of those that do so by chance."""

    name: str
    steps: int
    learning_rate: float
    weights: dict[str, float]
    binding: float = 0.0

    @property
    def trains_vision(self) -> bool:
        return "patches" in self.weights

    @property
    def trains_text(self) -> bool:
        return "itm" in self.weights

    def rate(self, step: int) -> float:
        """Of this stage's step: a short rise, then half a cosine."""
        rise = min(1.0, (step + 1) / max(1, min(200, self.steps // 10)))
        return self.learning_rate * rise * (0.03 + 0.97 * 0.5 * (1 + math.cos(math.pi * step / self.steps)))


PICTURES, TEXTS = {"patches": 0.5, "image": 0.3}, {"itc": 0.3, "itm": 1.0}
TOGETHER = {"patches": 0.25, "image": 0.15, "columns": 0.2, "itc": 0.3, "itm": 1.0}
# Texts are learned sooner when what the patches mean stands still, and cheaply: each picture is encoded once.
STAGES = (
    Stage("pictures", 2000, 1e-3, PICTURES),
    Stage("texts", 4000, 1e-3, TEXTS),
    Stage("together", 500, 6e-4, TOGETHER),
    Stage("texts again", 900, 6e-4, TEXTS),
    Stage("bindings", 2500, 8e-4, TEXTS, binding=0.6),
    Stage("together again", 350, 4e-4, TOGETHER, binding=0.6),
    Stage("bindings again", 3000, 7e-4, TEXTS, binding=0.6),
)
# From weights that know the world by one camera: what others see of it, then what is said of that.
FURTHER = (
    Stage("together", 1500, 5e-4, TOGETHER, binding=0.4),
    Stage("bindings", 2600, 6e-4, TEXTS, binding=0.6),
)


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
    from transformers import BertTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(vocabulary()))
    return BertTokenizer(vocab=str(folder / "vocab.txt"), do_lower_case=True)


def normalised(pixels: np.ndarray) -> torch.Tensor:
    """uint8 (B, S, S, 3) -> float (B, 3, S, S) as BLIP's processor makes it."""
    scaled = (torch.from_numpy(pixels).float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    return scaled.permute(0, 3, 1, 2).contiguous()


class Trainer:
    """One training run: model, training-only heads, optimizer, the step that it has come to."""

    def __init__(self, work: Path, stages: tuple[Stage, ...] = STAGES, batch: int = 64, seed: int = 0) -> None:
        torch.manual_seed(seed)
        self.work, self.stages, self.batch, self.seed = work, stages, batch, seed
        self.steps = sum(stage.steps for stage in stages)
        self.tokenizer = new_tokenizer(work / "tokenizer")
        words = len(vocabulary())
        self.model, self.heads = new_model(words), losses.Heads(WIDTH, IMAGE_SIZE // PATCH_SIZE)
        self.texts = losses.Texts(self.tokenizer, enc=words - 1)
        self.parameters = [*self.model.parameters(), *self.heads.parameters()]
        self.optimizer = torch.optim.AdamW(self.parameters, betas=(0.9, 0.98), weight_decay=0.05)
        self.features: torch.Tensor | None = None  # of all scenes, while the vision encoder stands still
        self.step, self.seconds = 0, 0.0
        self.before: dict[str, Any] | None = None  # the record of the run whose weights this one began with

    def stage(self) -> tuple[Stage, int]:
        """The stage of the next step, and the step's number in it."""
        step = self.step
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError(f"step {self.step} of {self.steps}")

    def encoded(self, pixels: np.ndarray) -> torch.Tensor:
        """Patch features (B, 1 + P*P, W), without gradients."""
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            chunks = [pixels[start : start + 128] for start in range(0, len(pixels), 128)]
            return torch.cat([self.model.vision_model(normalised(c)).last_hidden_state.bfloat16() for c in chunks])

    def features_of(self, data: Scenes, index: list[int], stage: Stage) -> torch.Tensor:
        if stage.trains_vision:
            return self.model.vision_model(normalised(data.pixels[index])).last_hidden_state
        if self.features is None:
            self.features = self.encoded(data.pixels)
        return self.features[index].float()

    def losses(self, data: Scenes, stage: Stage, rng: random.Random) -> dict[str, Any]:
        """The stage's losses on a batch; which scenes and sentences follows from `rng`."""
        index = rng.sample(range(len(data)), self.batch)
        facts = [data.facts[i] for i in index]
        features = self.features_of(data, index, stage)  # (B, 1 + P*P, W)
        out: dict[str, Any] = {}
        if stage.trains_vision:
            out["patches"] = losses.patch_loss(self.heads, features, torch.from_numpy(data.labels[index]))
            out["image"] = losses.image_loss(self.heads, features, facts)
            out["columns"] = losses.column_loss(self.heads, features)
        if stage.trains_text:
            sentences = losses.sample_sentences(facts, rng, stage.binding)
            cls = features[:, 0]
            out["itc"], similarity, true = losses.itc_loss(self.model, self.heads, self.texts, cls, sentences, facts)
            torch.manual_seed(rng.randrange(2**31))  # the draw of hard sentences repeats too
            pairs = losses.itm_pairs(sentences, facts, similarity, true, rng)
            out["itm"], out["itm_right"] = losses.itm_loss(self.model, self.texts, features, pairs)
        return out

    def advance(self, data: Scenes) -> dict[str, float]:
        """One step; its losses."""
        started = time.perf_counter()
        stage, number = self.stage()
        if stage.trains_vision:
            self.features = None  # they would be out of date
        self.model.train()
        with torch.autocast("cpu", torch.bfloat16):
            parts = self.losses(data, stage, random.Random(f"{self.seed}/{self.step}"))
            total = sum(weight * parts[name] for name, weight in stage.weights.items())
        self.optimizer.param_groups[0]["lr"] = stage.rate(number)
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.step += 1
        self.seconds += time.perf_counter() - started
        return {name: float(torch.as_tensor(value).detach()) for name, value in (parts | {"total": total}).items()}

    def estimated_seconds(self, data: Scenes, steps: int = 15) -> float:
        """Of all stages, from so many steps of each; the first of a stage, which may encode every picture, once."""
        total, begin = 0.0, 0
        for stage in self.stages:
            self.step, taken = begin, []
            for _ in range(min(steps, stage.steps)):
                before = self.seconds
                self.advance(data)
                taken.append(self.seconds - before)
            total += taken[0] + statistics.median(taken) * (stage.steps - 1)
            begin += stage.steps
        return total

    @torch.no_grad()
    def validate(self, held: Scenes, batches: int = 6) -> dict[str, float]:
        """Means of all losses, and of ITM's accuracy, on scenes that are not trained on."""
        self.model.eval()
        everything = Stage("validation", 1, 0.0, TOGETHER)
        with torch.autocast("cpu", torch.bfloat16):
            rows = [self.losses(held, everything, random.Random(f"validation/{batch}")) for batch in range(batches)]
        return {name: round(float(np.mean([float(row[name]) for row in rows])), 4) for name in rows[0]}

    def checkpoint(self) -> None:
        names = ("model", "heads", "optimizer")
        state = {name: getattr(self, name).state_dict() for name in names} | {
            "step": self.step,
            "seconds": self.seconds,
            "before": self.before,
        }
        torch.save(state, self.work / "checkpoint.tmp")
        (self.work / "checkpoint.tmp").replace(self.work / "checkpoint.pt")  # a kill leaves the last whole one

    def begin_with(self, folder: Path) -> None:
        """The weights of a model folder of this size, in the place of random ones; the heads stay random."""
        from safetensors.torch import load_file

        weights = load_file(folder / "model.safetensors")
        self.model.load_state_dict({name: values.float() for name, values in weights.items()})
        self.before = json.loads((folder / "training.json").read_text())

    def resume(self) -> None:
        path = self.work / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True)
            for name in ("model", "heads", "optimizer"):
                getattr(self, name).load_state_dict(state[name])
            self.step, self.seconds, self.before = state["step"], state["seconds"], state["before"]

    def export(self, folder: Path) -> None:
        """The Hugging Face folder: configuration, half-precision safetensors, tokenizer, image processor."""
        from transformers import BlipImageProcessor

        half = new_model(len(vocabulary()))
        half.load_state_dict(self.model.state_dict())
        half.half().save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        BlipImageProcessor(size={"height": IMAGE_SIZE, "width": IMAGE_SIZE}).save_pretrained(folder)

    def record(self, data: Scenes) -> dict[str, Any]:
        """What the model's card tells of this run."""
        import transformers

        return {
            "scenes": len(data),
            "seed": self.seed,
            "batch": self.batch,
            "stages": [asdict(stage) for stage in self.stages],
            "seconds": round(self.seconds),
            "machine": f"{os.cpu_count()} cores",
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "parameters": sum(each.numel() for each in self.model.parameters()),
            "image_size": IMAGE_SIZE,
            "patch_size": PATCH_SIZE,
            "width": WIDTH,
            "vision_layers": VISION_LAYERS,
            "text_layers": TEXT_LAYERS,
            "embedding": PROJECTION,
            "moved": MOVED,
        } | ({"before": self.before} if self.before else {})


@click.command()
@click.option("--work", type=click.Path(path_type=Path), required=True, help="Drawn scenes and checkpoint.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(__file__).parent / "model", help="Model folder.")
@click.option("--begin", type=click.Path(exists=True, path_type=Path), help="Model folder to go on from; else random.")
@click.option("--count", default=26_000, help="Scenes to train on.")
@click.option("--seed", default=0)
@click.option("--every", default=250, help="Steps between checkpoints with validation.")
@click.option("--estimate", is_flag=True, help="Time a few steps of each stage, say what all would take, and stop.")
def main(work: Path, out: Path, begin: Path | None, count: int, seed: int, every: int, estimate: bool) -> None:
    """Trains, or goes on from the last checkpoint in --work, and writes the model folder."""
    work.mkdir(parents=True, exist_ok=True)
    data = scenes(count, seed, IMAGE_SIZE, PATCH_SIZE, work)
    stages = FURTHER if begin else STAGES
    if estimate:
        minutes = Trainer(work, stages, seed=seed).estimated_seconds(data) / 60
        click.echo(f"{minutes:.0f} minutes for all steps on {os.cpu_count()} cores")
        return
    held = scenes(VALIDATION_SCENES, VALIDATION_SEED, IMAGE_SIZE, PATCH_SIZE, work)
    trainer = Trainer(work, stages, seed=seed)
    if begin:
        trainer.begin_with(begin)
    trainer.resume()
    while trainer.step < trainer.steps:
        stage, _ = trainer.stage()
        parts = trainer.advance(data)
        if trainer.step % 25 == 0:
            shown = "  ".join(f"{name} {value:.3f}" for name, value in parts.items())
            click.echo(f"{trainer.step}/{trainer.steps} {stage.name}  {trainer.seconds:.0f} s  {shown}")
        if trainer.step % every == 0 or trainer.step == trainer.steps:
            trainer.checkpoint()
            click.echo(f"validation {json.dumps(trainer.validate(held))}")
    trainer.export(out)
    (out / "training.json").write_text(json.dumps(trainer.record(data), indent=1))
    click.echo(f"{out}: {trainer.steps} steps, {trainer.seconds / 60:.0f} minutes")


if __name__ == "__main__":
    main()
