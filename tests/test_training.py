"""The bundled model's training: its losses fall, a stopped run goes on, packing changes nothing."""

import pytest
import torch
from torch.nn import functional as F

from blip_udfs.demo import losses
from blip_udfs.demo.dataset import scenes
from blip_udfs.demo.train import FURTHER, IMAGE_SIZE, PATCH_SIZE, PICTURES, TOGETHER, WIDTH, Stage, Trainer

STAGES = (Stage("pictures", 6, 1e-3, PICTURES), Stage("together", 10, 1e-3, TOGETHER))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return scenes(48, 3, IMAGE_SIZE, PATCH_SIZE, tmp_path_factory.mktemp("scenes"))


def test_losses_fall_and_a_stopped_run_goes_on(data, tmp_path):
    whole = Trainer(tmp_path / "whole", STAGES, batch=8, seed=1)
    before = whole.validate(data, batches=1)
    steps = [whole.advance(data) for _ in range(10)]
    whole.checkpoint()
    steps += [whole.advance(data) for _ in range(6)]
    after = whole.validate(data, batches=1)
    for name, share in (("patches", 0.9), ("image", 0.9), ("itm", 1.0)):
        assert after[name] < before[name] * share, name
    assert total(after) < 0.95 * total(before)
    again = Trainer(tmp_path / "whole", STAGES, batch=8, seed=2)
    again.seed = 1
    again.resume()
    assert again.step == 10
    for expected in steps[10:]:
        assert again.advance(data) == pytest.approx(expected, rel=1e-3)


def test_training_goes_on_from_a_models_weights(data, tmp_path):
    from safetensors.torch import load_file

    from blip_udfs.blip.checkpoint import DEMO

    trainer = Trainer(tmp_path, FURTHER, batch=8)
    trainer.begin_with(DEMO)
    before = trainer.validate(data, batches=2)
    assert before["itm_right"] > 0.8  # it is no random one
    trainer.export(tmp_path / "model")
    first, second = (load_file(folder / "model.safetensors") for folder in (DEMO, tmp_path / "model"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert trainer.record(data)["before"]["scenes"] == 26_000
    trainer.checkpoint()
    again = Trainer(tmp_path, FURTHER, batch=8)
    again.resume()
    assert again.before == trainer.before


def test_an_estimate_counts_every_step_of_every_stage(data, tmp_path, monkeypatch):
    trainer = Trainer(tmp_path, STAGES, batch=8)

    def advance(_):
        trainer.seconds += {0: 5.0, 6: 7.0}.get(trainer.step, 1.0 if trainer.step < 6 else 2.0)
        trainer.step += 1

    monkeypatch.setattr(trainer, "advance", advance)
    assert trainer.estimated_seconds(data, steps=4) == 5 + 5 * 1 + 7 + 9 * 2


def total(parts: dict[str, float]) -> float:
    return sum(weight * parts[name] for name, weight in TOGETHER.items())


def test_packed_texts_give_the_loss_of_padded_ones(tmp_path):
    trainer = Trainer(tmp_path, STAGES)
    model, texts = trainer.model.eval(), trainer.texts
    features = torch.randn(2, 145, WIDTH)
    pairs = [
        [("a red car on the left", 1), ("a bus", 0), ("two trucks at night", losses.IGNORED)],
        [("a street", 0), ("three cyclists in the rain on a wet road", 1), ("a car", 0)],
    ]
    with torch.no_grad():
        packed, _ = losses.itm_loss(model, texts, features, pairs)
        ids, mask = texts.padded([text for row in pairs for text, _ in row])
        ids[:, 0] = texts.enc
        images = features.repeat_interleave(3, 0)
        hidden = model.text_encoder(input_ids=ids, attention_mask=mask, encoder_hidden_states=images)
        logits = model.itm_head(hidden.last_hidden_state[:, 0])
        labels = torch.tensor([label for row in pairs for _, label in row])
    padded = F.cross_entropy(logits, labels, ignore_index=losses.IGNORED)
    assert packed.item() == pytest.approx(padded.item(), abs=1e-5)


def test_patch_labels_say_what_is_there(data):
    for labels, facts in zip(data.labels, data.facts, strict=True):
        shown = {losses.KINDS[index - 1] for index in labels[0].ravel() if index}
        assert shown <= {thing.kind for thing in facts.things}
        assert ((labels[0] == 0) == (labels[1] == 0)).all()
