"""The benchmarks measure what they say, and the table that one of them writes is one to choose by."""

import json
import subprocess
import sys
from typing import Any

import pytest
import torch

from evalkit.bench.choices import NUM_TOKENS, choices_path, measure_choices
from evalkit.bench.kernels import SHAPES, Shapes, inputs_like_rwkv7
from evalkit.models.rwkv7.network import LayerShape, NetworkShape
from evalkit_kernels import native_calls
from evalkit_kernels.wkv7 import BACKENDS, choose_backend
from tests.support.toys import run_cli


def bench(*arguments: str) -> Any:
    command = [sys.executable, "-W", "error", "-m", "evalkit", "bench", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_network_of_real_size_costs_what_the_rwkv_package_says() -> None:
    result = bench("--tokens", "100", "--rounds", "1", "--threads", "1")
    assert result["max_nats_difference"] < 1e-4
    assert result["environment"]["device"] == "cpu"
    [ratio] = result["ratios"]
    assert ratio == pytest.approx(result["evalkit_tokens_per_s"] / result["rwkv_tokens_per_s"])


def test_operators_beside_their_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    network = NetworkShape(64, 128, 64, (LayerShape(8, 8, 8, 8, 256),) * 2)
    monkeypatch.setitem(SHAPES, "cpu", Shapes((1, 64, 2, 64), (32, 64, 1024), network, (1, 64)))
    outcome = run_cli("bench", "kernels", "--rounds", "1", "--device", "cpu", "--json")
    assert outcome.exit_code == 0, outcome.stderr
    rows = {row["operator"]: row for row in json.loads(outcome.stdout)["rows"]}
    assert rows["linear_nll"]["shape"] == "T=32 C=64 V=1024"
    assert rows["RWKV-7 layers"]["shape"] == "L=2 C=128 B=1 T=64"
    assert set(rows) == {"wkv7 forward", "wkv7 forward + backward", "linear_nll", "RWKV-7 layers"}
    for row in rows.values():
        assert row["ours_s"] > 0
        assert row["floor_s"] > 0
        for peer in row["peers"].values():
            assert peer["ratio"] == pytest.approx(peer["seconds"] / row["ours_s"])
    assert set(rows["wkv7 forward"]["peers"]) == {
        "torch chunks",
        "token loop (reference)",
        "fla naive chunks",
    }
    assert "GEMM alone" in rows["linear_nll"]["peers"]


def test_the_table_is_followed() -> None:
    table = json.loads(choices_path().read_text(encoding="utf-8"))
    assert table["measured"]["cpu"]["cpu"]
    for row in table["rows"]:
        assert row["from_tokens"] in NUM_TOKENS
        assert set(row["order"]) <= set(BACKENDS)
    for gradient in (False, True):
        rows = [row for row in table["rows"] if row["device"] == "cpu" and row["gradient"] == gradient]
        starts = [row["from_tokens"] for row in rows]
        assert starts == sorted(set(starts))
        assert starts[0] == 1
        for row in rows:
            inputs = inputs_like_rwkv7((1, row["from_tokens"], 2, 64), torch.device("cpu"), torch.float32)
            inputs = [x.requires_grad_(gradient) for x in inputs]
            able = [name for name in row["order"] if name != "cpu" or native_calls.available()]
            assert choose_backend(*inputs) == able[0]


def test_measuring_gives_rows_for_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.bench.choices.NUM_TOKENS", (1, 64))
    choices = measure_choices(device="cpu", num_rounds=1)
    assert {choice.gradient for choice in choices} == {False, True}
    assert all(choice.from_tokens in (1, 64) for choice in choices)
    for choice in choices:
        expected = {"reference", "torch"} | ({"cpu"} if native_calls.available() else set())
        assert set(choice.order) == expected
