"""The embedded models: how RWKV-7 starts, how the optimisers are set, and what is shipped."""

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
from tokenizers import Tokenizer

from evalkit.embedded.card import card_lines, read_card
from evalkit.embedded.networks import build
from evalkit.embedded.vocabulary import VOCAB_SIZE, document_ids
from evalkit.errors import ModelError
from evalkit.fields import to_json
from evalkit.models.catalog import EMBEDDED_MODELS
from evalkit.models.codecs import CODECS
from evalkit.models.loading import load_model
from evalkit.models.rwkv7.init import initialise, parameter_groups
from evalkit.models.rwkv7.network import RWKV7, LayerShape, NetworkShape
from evalkit.scoring.documents import score_documents
from tests.support.rwkv7_files import save_official
from tests.support.toys import corpus_of

NAMES = list(EMBEDDED_MODELS)
FOLDER = Path(str(importlib.resources.files("evalkit.embedded")))


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


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_has_one_optimiser(name: str) -> None:
    trained = build(name, 0)
    muon, adam = trained.optimisers(1e-3)
    matrices, others = (
        [x for group in optimiser.param_groups for x in group["params"]] for optimiser in (muon, adam)
    )
    assert all(min(matrix.shape) >= 192 for matrix in matrices)
    assert {x.shape[0] for x in others if x.dim() == 2} >= {VOCAB_SIZE}
    taken = [id(x) for x in (*matrices, *others)]
    assert sorted(taken) == sorted(id(x) for x in trained.network.parameters())
    assert len(matrices) == {"rwkv7-nano": 5 * 6, "hybrid-nano": 4 * 6 + 7, "llama-nano": 5 * 7}[name]


# --- what is shipped


def test_all_are_of_one_size() -> None:
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
    assert card.num_repeated.keys() == {score.corpus for score in card.scores} - {"python-stdlib"}
    for score in card.scores:
        for codec in CODECS:
            beside = score.beside[codec]
            if score.corpus.startswith("held-out"):
                assert beside.difference_high is not None and beside.difference_high < 0, (
                    score.corpus,
                    codec,
                )
                assert beside.num_better >= 0.9 * score.num_documents
            elif name == "rwkv7-nano":
                assert beside.difference < 0, codec
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
    vocabulary = Tokenizer.from_file(str(FOLDER / name / "tokenizer.json"))
    [ids] = document_ids(vocabulary, [text])
    with torch.no_grad():
        nats = trained.losses(torch.from_numpy(ids.astype(np.int64))[None], None)
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
    """Of a network that reads bytes and has one small layer: all logits would be a gigabyte."""
    save_official(tmp_path / "small.pth", vocab_size=257, num_channels=64, num_layers=1, head_size=32)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "small.pth")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    short, long = map(int, done.stdout.split())
    assert long - short <= 64 * 2**20
