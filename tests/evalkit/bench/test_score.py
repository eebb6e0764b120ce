"""`evalkit bench score`: what it counts, and that the programs beside ours compute the same numbers."""

import json
from pathlib import Path

import gguf
import pytest
import torch
import torch.nn.functional as F

from evalkit.bench.gguf_float32 import write_float32
from evalkit.bench.peers import Contest, _plain_loop
from evalkit.bench.products import ProductRecorder, Replay, num_positions
from evalkit.bench.score import PeerRow, bench_documents
from evalkit.corpora.store import load_corpus
from evalkit.errors import UsageError
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.scoring.documents import BITS_PER_NAT, score_documents
from evalkit_kernels import linear
from tests.support import gguf_files
from tests.support.commands import run_cli

TEXT = "def one():\n    return 1\n\n\n" * 20


def test_products_are_counted_whichever_way_they_are_computed() -> None:
    weight, bias, x = torch.randn(6, 4), torch.randn(6), torch.randn(2, 5, 4)
    with torch.inference_mode(), ProductRecorder() as recorder:
        F.linear(x, weight)
        F.linear(x, weight, bias)
        linear(x[0, :3], weight)
        torch.bmm(x, x.transpose(1, 2))  # of attention's kind: no matrix of the model's
    shapes = [(product.num_rows, tuple(product.weight.shape)) for product in recorder.products]
    # `linear` may fill up its rows to sixteen.
    assert shapes[:2] == [(10, (6, 4))] * 2
    assert len(shapes) == 3 and shapes[2] in ((3, (6, 4)), (16, (6, 4)))
    assert num_positions(recorder.products) == 20 + shapes[2][0]
    assert recorder.products[0].num_flops == 2 * 10 * 6 * 4
    Replay(recorder.products).run()


def test_documents_are_taken_as_far_as_they_fit() -> None:
    corpus = load_corpus("python-stdlib")
    chosen = bench_documents(corpus, 20_000)
    assert sum(document.num_bytes for document in chosen) <= 20_000
    assert chosen == sorted(chosen, key=lambda document: document.sha256)
    left = [document for document in corpus.documents if document not in chosen]
    assert min(document.num_bytes for document in left) + sum(x.num_bytes for x in chosen) > 20_000
    with pytest.raises(UsageError, match="raise --kilobytes"):
        bench_documents(corpus, 10)


def test_the_plain_loop_costs_what_the_policy_says(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT * 3)  # three chunks of the model's 512
    documents = load_corpus(path).documents
    [located] = locate_models(["llama-nano"], LoadOptions(device="cpu", dtype="float32"))
    model = located.load()
    assert isinstance(model, TokenModel) and located.entry is not None
    peer = _plain_loop(Contest(model, located.entry, documents, tmp_path))
    [score] = score_documents(model, documents, peer.policy)
    assert score.total_bits is not None
    assert peer.score() == [pytest.approx(score.total_bits / BITS_PER_NAT, rel=peer.tolerance)]


def test_a_model_beside_the_package_rwkv(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    words = ["--models", "rwkv7-nano", "--corpora", str(path), "--rounds", "1", "--threads", "1", "--json"]
    outcome = run_cli("bench", "score", *words)
    assert outcome.exit_code == 0, outcome.stderr
    report = json.loads(outcome.stdout)
    assert set(report["gemm_gflops"]) == {"float32", "bfloat16"}
    [row] = report["rows"]
    model = load_model("rwkv7-nano", device="cpu")
    assert isinstance(model, TokenModel)
    num_tokens = len(model.encode(TEXT).ids)
    assert (row["num_documents"], row["num_bytes"], row["num_tokens"]) == (1, len(TEXT), num_tokens)
    assert row["num_positions"] == num_tokens  # the prefix predicts the first, and nothing is left to predict
    assert 0 <= row["padding_waste"] < 0.1
    [peer] = row["peers"]
    assert peer["name"].startswith("rwkv ") and len(peer["ratios"]) == 1
    assert peer["nats_difference"] < peer["tolerance"] == 1e-4
    assert row["missing"]["fla"] == "needs a GPU" or torch.cuda.is_available()


def test_a_float32_copy_of_a_gguf_file_is_the_same_model(tmp_path: Path) -> None:
    quantisation = gguf.GGMLQuantizationType.Q8_0
    source = gguf_files.random_model(tmp_path / "q8.gguf", "llama", quantisation=quantisation)
    copy = tmp_path / "float32.gguf"
    write_float32(source, copy)
    assert {tensor.tensor_type.name for tensor in gguf.GGUFReader(copy).tensors} == {"F32"}
    first, second = (load_model(f"gguf:{path}", device="cpu", dtype="float32") for path in (source, copy))
    assert isinstance(first, TokenModel) and isinstance(second, TokenModel)
    ids = first.encode(TEXT[:40]).ids.tolist()
    assert second.encode(TEXT[:40]).ids.tolist() == ids
    assert second.nats([ids])[0].tolist() == first.nats([ids])[0].tolist()


def test_a_peer_that_differs_is_no_peer() -> None:
    row = PeerRow("p", "document", 1.0, (1.0,), 1.0, 1.0, 2e-5, 0.0, 1e-5)
    assert not row.agrees
