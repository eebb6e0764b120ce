"""The training loop: rows, learning rates, that it repeats itself and goes on after a break."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from evalkit.embedded import train as recipe_module
from evalkit.embedded import training
from evalkit.embedded.networks import NETWORKS, build
from evalkit.embedded.train import sweep
from evalkit.embedded.training import Recipe, TokenData, checked_steps, learning_rate_factor, rows, train
from evalkit.embedded.vocabulary import byte_vocabulary, document_ids
from evalkit.errors import ModelError, UsageError
from evalkit.models.catalog import EMBEDDED_MODELS
from evalkit.models.loading import load_model
from evalkit.scoring.documents import score_documents
from tests.support.toys import corpus_of

NAMES = list(EMBEDDED_MODELS)
VOCABULARY = byte_vocabulary()
STREAM = np.concatenate(document_ids(VOCABULARY, ["abcab" * 30, "the cat sat on the mat. " * 20]))
DATA = TokenData(VOCABULARY, STREAM, {"held_out_prose": ["the cat sat."]})


def recipe(name: str) -> Recipe:
    return Recipe(name, 2e-3, 6, 1, 0, 257, "float32", "toy")


@pytest.fixture
def small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 96 tokens: four rows of 24 in the first half, then two of 48."""
    monkeypatch.setattr(training, "TOKENS_PER_STEP", 96)
    monkeypatch.setattr(training, "SHORT_ROW_TOKENS", 24)
    monkeypatch.setattr(training, "ROW_TOKENS", 48)
    monkeypatch.setattr(training, "STEPS_PER_POINT", 2)
    monkeypatch.setattr(recipe_module, "SWEEP_STEPS", 2)


@pytest.mark.usefixtures("small_rows")
def test_every_row_goes_on_where_it_ended() -> None:
    for step, shape in ((0, (4, 25)), (3, (2, 49))):
        first, second = rows(STREAM, step, 6), rows(STREAM, step + 1, 6)
        assert first.shape == second.shape == shape
        assert torch.equal(first[:, -1], second[:, 0])
    assert rows(STREAM, 0, 6)[0].tolist() == STREAM[:25].tolist()


@pytest.mark.usefixtures("small_rows")
def test_every_token_is_a_target_once() -> None:
    positions = np.arange(6 * 96 + 1, dtype=np.int16)
    targets = torch.cat([rows(positions, step, 6)[:, 1:].flatten() for step in range(6)])
    assert sorted(targets.tolist()) == list(range(1, 6 * 96 + 1))


@pytest.mark.usefixtures("small_rows")
def test_no_more_is_read_than_there_is() -> None:
    assert checked_steps(None, STREAM) == (len(STREAM) - 1) // 96 == 6
    assert checked_steps(2, STREAM) == 2
    for num_steps in (0, -1, 7):
        with pytest.raises(UsageError, match=rf"--steps {num_steps}: give 1 to 6"):
            checked_steps(num_steps, STREAM)
    with pytest.raises(UsageError, match="less than one step reads"):
        checked_steps(None, STREAM[:50])


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [learning_rate_factor(step, 1000) for step in range(1001)]
    assert factors[0] == pytest.approx(1 / 50)
    assert max(factors) == factors[49] == pytest.approx(1)
    assert factors[50 + 475] == pytest.approx(0.51)  # half way: the mean of 1 and 0.02
    assert factors[-1] == pytest.approx(0.02)


@pytest.mark.usefixtures("small_rows")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop_after", [2, 4])
def test_an_interrupted_training_ends_as_an_uninterrupted_one(
    name: str, stop_after: int, tmp_path: Path
) -> None:
    whole, progress = train(recipe(name), DATA, quiet=True)
    path = tmp_path / "checkpoint.pt"
    train(recipe(name), DATA, checkpoint=path, quiet=True, stop_after=stop_after)
    resumed, resumed_progress = train(
        recipe(name), DATA, checkpoint=path, snapshots=tmp_path, steps_per_snapshot=5, quiet=True
    )
    for uninterrupted, resumed_parameter in zip(
        whole.network.parameters(), resumed.network.parameters(), strict=True
    ):
        assert torch.equal(uninterrupted, resumed_parameter)
    assert [{**point, "seconds": 0} for point in progress.points] == [
        {**point, "seconds": 0} for point in resumed_progress.points
    ]
    assert progress.num_bytes == resumed_progress.num_bytes == 6 * 96 - 1  # all but the second start
    assert progress.points[-1]["train"] < progress.points[0]["train"] < 8.2
    assert {folder.name for folder in tmp_path.glob("step-*")} == {"step-5", "step-6"}
    with pytest.raises(UsageError, match="is of another recipe or other data"):
        train(dataclasses.replace(recipe(name), seed=1), DATA, checkpoint=path, quiet=True)


@pytest.mark.usefixtures("small_rows")
def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(
        ModelError, match=r"the loss is (nan|inf) at step \d; give a lower --learning-rate than 1e\+30"
    ):
        train(dataclasses.replace(recipe("llama-nano"), learning_rate=1e30), DATA, quiet=True)


@pytest.mark.usefixtures("small_rows")
def test_a_sweep_goes_on_after_the_rates_that_are_done(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text("learning_rate,held_out\n0.004,7.5\n0.008,7.25\n", encoding="utf-8")
    results = sweep(recipe("rwkv7-nano"), DATA, path)
    assert [row["learning_rate"] for row in results] == [4e-3, 8e-3, 1.6e-2]
    assert [row["held_out"] for row in results[:2]] == [7.5, 7.25]
    assert 3 < results[2]["held_out"] < 9


def test_the_state_carried_is_the_state_of_the_whole() -> None:
    """Two rows one after the other cost what one row of both costs, where nothing starts afresh."""
    ids = torch.randint(0, 256, (2, 65))
    going_on = torch.zeros(2, dtype=torch.bool)
    trained = build("rwkv7-nano", 0)
    with torch.no_grad():
        for parameter in trained.network.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))  # the first layers pass nothing on at first
        whole = trained.losses(ids, None)
        parts = torch.cat((trained.losses(ids[:, :33], going_on), trained.losses(ids[:, 32:], going_on)), 1)
        torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)
        fresh = trained.losses(ids[:, 32:], ~going_on)
        alone = trained.losses(ids[:, 32:], None)
        torch.testing.assert_close(fresh, alone, rtol=1e-5, atol=1e-5)
        assert not torch.allclose(alone, whole[:, 32:], atol=1e-3)


def test_an_ablation_is_scored_with_its_own_eigenvalues(tmp_path: Path) -> None:
    """c = 2 is kept with the weights: the loader's bits are the training's, and not those of c = 1."""
    text = "In the beginning the Universe was created. " * 4
    [ids] = document_ids(VOCABULARY, [text])
    row = torch.from_numpy(ids.astype(np.int64))[None]
    generator = torch.Generator().manual_seed(0)
    ablation, plain = build("rwkv7-nano-c2", 0, 257), build("rwkv7-nano", 0, 257)
    with torch.no_grad():
        for parameter in ablation.network.parameters():
            parameter.copy_((parameter + 0.1 * torch.randn(parameter.shape, generator=generator)).half())
        plain.network.load_state_dict(ablation.network.state_dict())
        nats, nats_of_plain = (float(x.losses(row, None).double().sum()) for x in (ablation, plain))
    assert abs(nats / nats_of_plain - 1) > 1e-4  # ten times what is granted below
    for trained, expected in ((ablation, nats), (plain, nats_of_plain)):
        trained.save(tmp_path, VOCABULARY)
        model = load_model(f"rwkv7:{tmp_path / 'model.safetensors'}", device="cpu", dtype="float32")
        [score] = score_documents(model, corpus_of([text]).documents, "document")
        assert score.total_bits == pytest.approx(expected / math.log(2), rel=1e-5)


def test_what_is_trained_is_what_is_shipped_and_one_ablation() -> None:
    assert list(NETWORKS) == [*EMBEDDED_MODELS, "rwkv7-nano-c2"]
