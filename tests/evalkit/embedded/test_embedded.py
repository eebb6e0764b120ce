"""The embedded models: what they are trained on, that the recipe repeats itself, and what is shipped."""

import dataclasses
import importlib.resources
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.embedded import train as recipe_module
from evalkit.embedded.card import card_lines, read_card
from evalkit.embedded.data import START_ID, DataSet, byte_ids, code, prose, token_stream
from evalkit.embedded.networks import NETWORKS, build
from evalkit.embedded.train import Recipe, checked_steps, learning_rate_factor, rows, sweep, train
from evalkit.errors import CorpusError, ModelError, UsageError
from evalkit.fields import to_json
from evalkit.models.loading import load_model
from evalkit.models.rwkv7.init import initialise, parameter_groups
from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit.scoring.documents import score_documents
from tests.support.rwkv7_files import save_official
from tests.support.toys import corpus_of

NAMES = list(NETWORKS)
FOLDER = Path(str(importlib.resources.files("evalkit.embedded")))
WIKIPEDIA = "wikipedia_english_20240601to20240615.json"


def data_set(documents: list[str]) -> DataSet:
    return DataSet("toy", tuple(documents), "CC0-1.0", "2024-06-15", {})


# --- data


def test_the_last_twentieth_of_each_set_is_never_read() -> None:
    sets = [data_set([f"<{index}>" for index in range(40)]), data_set([f"[{index}]" for index in range(15)])]
    assert [len(data.held_out) for data in sets] == [2, 1]
    stream = bytes(x for x in token_stream(sets, seed=3).tolist() if x != START_ID).decode()
    assert all(text in stream for data in sets for text in data.trained)
    assert not any(text in stream for data in sets for text in data.held_out)
    assert len(stream) == sum(len(text) for data in sets for text in data.trained)


def test_ids_are_the_start_and_the_bytes() -> None:
    assert byte_ids("é\0").tolist() == [256, 0xC3, 0xA9, 0]


def test_prose_is_dated_by_its_file_name(tmp_path: Path) -> None:
    path = tmp_path / WIKIPEDIA
    path.write_text(json.dumps(["one", "two"]), encoding="utf-8")
    data = prose(path, "CC-BY-SA-4.0")
    assert (data.date, data.documents) == ("2024-06-15", ("one", "two"))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(CorpusError, match="must be a JSON list of texts"):
        prose(path, "CC-BY-SA-4.0")
    with pytest.raises(UsageError, match="there is no such file"):
        prose(tmp_path / "missing.json", "CC-BY-SA-4.0")
    undated = tmp_path / "undated.json"
    undated.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="its name must end in its dates"):
        prose(undated, "CC-BY-SA-4.0")


def test_code_is_that_of_the_packages_without_copies(tmp_path: Path) -> None:
    import typer

    packages = {"typer": {"version": typer.__version__, "license": "MIT"}}
    data = code(packages)
    assert len(set(data.documents)) == len(data.documents) > 5
    sources = {path.read_text(encoding="utf-8") for path in Path(typer.__file__).parent.rglob("*.py")}
    assert set(data.documents) <= sources
    assert data.facts["packages"]["typer"]["num_bytes"] == sum(len(x.encode()) for x in data.documents)
    assert code(packages).describe() == data.describe()
    with pytest.raises(CorpusError, match=r"typer is .*, packages.toml wants 0.0.1"):
        code({"typer": {"version": "0.0.1", "license": "MIT"}})


# --- initialisation


def test_rwkv7_starts_as_its_authors_start_it() -> None:
    """Values computed by hand from the formulas of RWKV-v7/train_temp, for C = 4, N = 2, layer 1 of 2."""
    layer = LayerShape(decay_rank=2, gate_rank=2, value_rank=2, learning_rate_rank=2, ffn_width=8)
    network = RWKV7(NetworkShape(3, 4, 2, (layer, layer)))
    initialise(network, 0)
    values = {name: value.detach().flatten() for name, value in network.named_parameters()}
    expected = {
        # 1 - (n/4) ** (0.2 * 0.5)
        "blocks.1.att.x_r": [1.0, 0.1294495, 0.0669670, 0.0283579],
        # -6 + 6 (n/3) ** (1 + 1 ** 0.3) + 0.5 + 2.5 zigzag, zigzag = -1, 1, -1, 1
        "blocks.1.att.w0": [-8.0, -2.3333333, -5.3333333, 3.0],
        # -0.19 + 0.3 zigzag + 0.4 (n/3 - 0.5)
        "blocks.1.att.a0": [-0.69, 0.0433333, -0.4233333, 0.31],
        "blocks.1.att.v0": [0.93, 0.7966667, 0.6633333, 0.53],
        "blocks.1.att.k_k": [0.76, 0.7266667, 0.6933333, 0.66],
        # 1 - (n/4) ** (0.5 ** 4)
        "blocks.1.ffn.x_k": [1.0, 0.0829960, 0.0423968, 0.0178202],
        "blocks.0.att.ln_x.weight": [0.5**0.7] * 4,
    }
    for name, values_expected in expected.items():
        torch.testing.assert_close(values[name], torch.tensor(values_expected), rtol=0, atol=2e-6, msg=name)
    receptance = network.blocks[0].att.receptance.weight  # type: ignore[union-attr]
    torch.testing.assert_close(receptance @ receptance.T, torch.eye(4))
    assert not values["blocks.0.att.output.weight"].any()
    assert not values["blocks.1.ffn.value.weight"].any()
    assert values["emb.weight"].abs().max() <= 1e-4


def test_only_w0_is_fast_and_only_matrices_decay() -> None:
    network: Any = build("rwkv7-nano", 0).network
    fast, decayed, plain = parameter_groups(network, 1e-3, 0.1)
    names = {id(value): name for name, value in network.named_parameters()}
    assert {names[id(x)].rsplit(".", 1)[1] for x in fast["params"]} == {"w0"}
    assert all(names[id(x)].endswith(".weight") and x.dim() == 2 for x in decayed["params"])
    assert (fast["lr"], decayed["lr"], plain["lr"]) == (2e-3, 1e-3, 1e-3)
    assert (fast["weight_decay"], decayed["weight_decay"], plain["weight_decay"]) == (0, 0.1, 0)
    assert sum(len(group["params"]) for group in (fast, decayed, plain)) == len(names)


# --- the recipe


@pytest.fixture
def small_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "ROW_TOKENS", 48)
    monkeypatch.setattr(recipe_module, "ROWS_PER_STEP", 2)
    monkeypatch.setattr(recipe_module, "STEPS_PER_POINT", 2)
    monkeypatch.setattr(recipe_module, "SWEEP_STEPS", 2)


STREAM = np.concatenate([byte_ids("abcab" * 30), byte_ids("the cat sat on the mat. " * 20)])


@pytest.mark.usefixtures("small_rows")
def test_every_row_goes_on_where_it_ended() -> None:
    first, second = rows(STREAM, 0), rows(STREAM, 1)
    assert first.shape == (2, 49)
    assert torch.equal(first[:, -1], second[:, 0])
    assert first[0].tolist() == STREAM[:49].tolist()


@pytest.mark.usefixtures("small_rows")
def test_the_data_are_read_at_most_once() -> None:
    assert checked_steps(None, STREAM) == (len(STREAM) - 1) // 2 // 48 == 6
    assert rows(STREAM, 5).shape == (2, 49)
    assert checked_steps(2, STREAM) == 2
    for num_steps in (0, -1, 7):
        with pytest.raises(UsageError, match=rf"--steps {num_steps}: give 1 to 6"):
            checked_steps(num_steps, STREAM)
    with pytest.raises(UsageError, match="less than one step reads"):
        checked_steps(None, STREAM[:50])


def test_the_learning_rate_rises_and_falls() -> None:
    factors = [learning_rate_factor(step, 1000) for step in range(1000)]
    assert factors[0] == pytest.approx(1 / 50)
    assert max(factors) == factors[49] == pytest.approx(1)
    assert factors[50 + 475] == pytest.approx(0.525, abs=1e-3)  # half way: the mean of 1 and 0.05
    assert factors[-1] == pytest.approx(0.05, abs=1e-4)


@pytest.mark.usefixtures("small_rows")
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_training_ends_as_an_uninterrupted_one(name: str, tmp_path: Path) -> None:
    recipe = Recipe(name, 2e-3, 6, 0, "toy")
    held_out = {"held_out_prose": ["the cat sat."]}
    whole, progress = train(recipe, STREAM, held_out, quiet=True)
    path = tmp_path / "checkpoint.pt"
    train(recipe, STREAM, held_out, checkpoint=path, quiet=True, stop_after=4)
    resumed, resumed_progress = train(recipe, STREAM, held_out, checkpoint=path, quiet=True)
    for uninterrupted, resumed_parameter in zip(
        whole.network.parameters(), resumed.network.parameters(), strict=True
    ):
        assert torch.equal(uninterrupted, resumed_parameter)
    unlike = {"seconds"}
    for one_point, other_point in zip(progress.points, resumed_progress.points, strict=True):
        assert {k: v for k, v in one_point.items() if k not in unlike} == {
            k: v for k, v in other_point.items() if k not in unlike
        }
    assert progress.points[-1]["train"] < progress.points[0]["train"] < 8.2
    with pytest.raises(UsageError, match="is of another recipe or other data"):
        train(dataclasses.replace(recipe, seed=1), STREAM, held_out, checkpoint=path, quiet=True)


@pytest.mark.usefixtures("small_rows")
def test_a_sweep_goes_on_after_the_rates_that_are_done(tmp_path: Path) -> None:
    path = tmp_path / "sweep.csv"
    path.write_text("learning_rate,held_out\n0.001,7.5\n0.002,7.25\n", encoding="utf-8")
    results = sweep(Recipe("rwkv7-nano", 0.0, 6, 0, "toy"), STREAM, {"held_out_prose": ["the cat"]}, path)
    assert [row["learning_rate"] for row in results] == [1e-3, 2e-3, 4e-3]
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


# --- what is shipped


def test_the_two_are_of_one_size() -> None:
    counts = [sum(x.numel() for x in build(name, 0).network.parameters()) for name in NAMES]
    assert max(counts) / min(counts) <= 1.03
    sizes = [sum(path.stat().st_size for path in (FOLDER / name).iterdir()) for name in NAMES]
    assert max(sizes) <= 6_000_000
    assert sum(sizes) <= 24_000_000


@pytest.mark.parametrize("name", NAMES)
def test_the_card_is_of_these_weights_and_tells_it_all(name: str) -> None:
    import hashlib

    card = read_card(FOLDER / name)
    assert card is not None
    weights = (FOLDER / name / "model.safetensors").read_bytes()
    assert card.weights_sha256 == hashlib.sha256(weights).hexdigest()
    assert card.knowledge_cutoff == max(data.date for data in card.training.data)
    text = "\n".join(card_lines(card))
    for data in card.training.data:
        assert data.sha256[:16] in text
        assert data.license in text
    assert card.training.command in text
    for score in card.scores:
        is_prose = score.corpus.startswith("held-out-wikipedia")
        for codec in ("xz", "zstd", "ppmd"):
            beside = score.beside[codec]
            if is_prose or (name == "rwkv7-nano" and score.corpus.startswith("held-out")):
                assert beside.difference_high < 0, (score.corpus, codec)
                assert beside.num_better >= 0.9 * score.num_documents
    assert to_json(card) == json.loads((FOLDER / name / "card.json").read_text())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda text: text[:-9], "is no model card: "),
        (lambda text: text.replace('"num_threads": 1', '"num_threads": "one"'), "training.num_threads"),
        (lambda text: text.replace('"license"', '"licence"', 1), "licen"),
        (lambda text: "[]", "is no model card: "),
        (lambda text: "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_card_is_refused_by_the_files_name(tmp_path: Path, change: Any, says: str) -> None:
    path = tmp_path / "card.json"
    path.write_text(change((FOLDER / "rwkv7-nano" / "card.json").read_text()))
    with pytest.raises(ModelError) as caught:
        read_card(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(path)) and says in message and "\n" not in message


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_model_scores_as_its_network(name: str) -> None:
    """Through the ordinary adapter and straight through the network of the recipe."""
    text = "In the beginning the Universe was created. — « Voilà », sagte er.\n" * 3
    [document_score] = score_documents(
        load_model(name, device="cpu", dtype="float32"), corpus_of([text]).documents, "document"
    )
    trained = build(name, 0)
    from safetensors.torch import load_file

    weights = load_file(FOLDER / name / "model.safetensors")
    trained.network.load_state_dict({key: value.float() for key, value in weights.items()})
    trained.network.eval()
    with torch.no_grad():
        nats = trained.losses(torch.from_numpy(byte_ids(text).astype(np.int64))[None], None)
    assert document_score.total_bits == pytest.approx(float(nats.double().sum()) / math.log(2), rel=1e-5)


MEMORY = """
import resource, sys
from evalkit.models.loading import load_model
from evalkit.scoring.documents import score_documents
from evalkit.corpora.document import make_document
model = load_model("rwkv7:" + sys.argv[1], device="cpu", dtype="float32")
text = "All that is gold does not glitter, not all those who wander are lost. 0123456789\\n" * 12346
peaks = []
for num_bytes in (10_000, 1_000_000):
    document = make_document(text[:num_bytes], source="test")
    [score] = score_documents(model, [document], "document")
    assert score.num_tokens == num_bytes
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
print(*peaks)
"""


@pytest.mark.slow
def test_a_megabyte_takes_the_memory_of_ten_kilobytes(tmp_path: Path) -> None:
    """Of a network with the embedded ones' vocabulary and one small layer: all logits would be a gigabyte."""
    save_official(tmp_path / "small.pth", vocab_size=257, num_channels=64, num_layers=1, head_size=32)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "small.pth")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    short, long = map(int, done.stdout.split())
    assert long - short <= 64 * 2**20
