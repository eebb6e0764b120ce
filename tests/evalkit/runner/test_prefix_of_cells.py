"""What a cell says was read before a document is what the model was given, under every policy."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import evalkit
from evalkit.cells.corpus_cell import CellSpec
from evalkit.errors import ModelError, UsageError
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions, TokenModel
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from evalkit.scoring.policy import POLICIES
from tests.support.rwkv7_files import TINY, save_official
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import TEXTS, BigramModel, corpus_of

CORPUS = corpus_of(TEXTS)
RULES = (None, "none", "bos", "eos", "token:7", "token:7,8,9")
SPECIAL = {"eos": 0, "bos": 1}  # of `byte_level_tokenizer`


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, str]:
    folder = tmp_path_factory.mktemp("models")
    for name, adds_bos in (("plain", False), ("adding", True)):
        fast = as_fast(byte_level_tokenizer(adds_bos=adds_bos))
        save_checkpoint(folder / name, random_model("llama", len(fast)), fast)
    save_official(folder / "world.pth", vocab_size=65536, num_channels=64)
    return {
        "plain": f"hf:{folder / 'plain'}",
        "adding": f"hf:{folder / 'adding'}",
        "world": f"rwkv7:{folder / 'world.pth'}",
        "bytes": f"rwkv7:{TINY}",
    }


class Recorder:
    """A model, and the contexts that it was given; a policy's first of a document begins with the prefix."""

    def __init__(self, model: TokenModel) -> None:
        self.model = model
        self.identity = model.identity
        self.contexts: list[tuple[int, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def nats(self, sequences: Any, *, contexts: Any = None) -> Any:
        self.contexts += map(tuple, contexts)
        return self.model.nats(sequences, contexts=contexts)


def ids_of(rule: str) -> tuple[int, ...]:
    """Written down again: what a cell's rule stands for."""
    if rule in SPECIAL:
        return (SPECIAL[rule],)
    return tuple(json.loads(f"[{rule.removeprefix('token:')}]")) if rule != "none" else ()


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", ["plain", "adding", "world", "bytes"])
def test_rule_and_ids_of_a_cell_are_what_was_read(
    specs: Mapping[str, str], name: str, rule: str | None, tmp_path: Path
) -> None:
    if name in ("world", "bytes") and rule in SPECIAL:
        with pytest.raises(ModelError, match="the tokenizer defines no such token; use token:ID"):
            load_model(specs[name], device="cpu", dtype="float32", prefix=rule)
        return
    model = load_model(specs[name], device="cpu", dtype="float32", prefix=rule)
    assert isinstance(model, TokenModel)
    for policy in POLICIES:
        recorder = Recorder(model)
        result = run([recorder], [CORPUS], policy=policy, options=RunOptions(output=tmp_path))
        if policy == "lm-eval" and (rule in ("none", "token:7,8,9") or (name == "bytes" and rule is None)):
            assert [failure.reason for failure in result.failures] and not result.cells
            continue
        if policy == "uncheatable-2025-12" and (rule == "none" or (name == "bytes" and rule is None)):
            assert "reads a token before every chunk" in result.failures[0].reason and not result.cells
            continue
        [cell] = result.cells
        said = cell.policy
        assert said.prefix_ids is not None
        assert ids_of(said.prefix_rule) == said.prefix_ids, policy
        contexts = recorder.contexts[-len(CORPUS.documents) :]  # each fits into one window
        assert contexts == recorder.contexts or said.tried_prefixes
        for context in contexts:
            assert context[: len(said.prefix_ids)] == said.prefix_ids, policy
            assert policy == "uncheatable" or context == said.prefix_ids
        if rule is not None and policy != "uncheatable":
            assert said.prefix_rule == rule
        chunks = said.chunk_prefix_ids or ()
        assert said.prefix_ids[: len(chunks)] == chunks
        assert bool(chunks) == (policy == "uncheatable" and rule not in (None, "none"))
        is_hf = name in ("plain", "adding")
        assert (said.prefix_text is not None) == (is_hf and bool(said.prefix_ids)), policy


def test_a_key_is_of_what_is_read(specs: Mapping[str, str]) -> None:
    keys = {}
    for rule in (None, "bos", "eos", "token:1"):
        [located] = locate_models([specs["plain"]], LoadOptions("cpu", "float32", prefix=rule))
        for policy in POLICIES:
            keys[policy, rule] = CellSpec(located.identity, CORPUS, policy, None).key()
    # By default: EOS under `document`, nothing under `uncheatable`, BOS under `lm-eval`.
    assert keys["document", None] == keys["document", "eos"]
    assert keys["lm-eval", None] == keys["lm-eval", "bos"] == keys["lm-eval", "token:1"]
    assert keys["uncheatable", "bos"] == keys["uncheatable", "token:1"]
    # All others differ; under policies that read the model's prefix, also what is the same in other words.
    assert len(set(keys.values())) == len(keys) - 1 - 2 - 1


def test_text_and_ids_stand_in_the_cell(specs: Mapping[str, str], tmp_path: Path) -> None:
    options = RunOptions(output=tmp_path, device="cpu", dtype="float32")
    [cell] = run([specs["plain"]], [CORPUS], options=options).cells
    content = json.loads(cell.path.read_text())["policy"]
    assert (content["prefix_rule"], content["prefix_ids"]) == ("eos", [0])
    assert content["prefix_text"] == "<|endoftext|>"
    assert "chunk_prefix_ids" not in content and "planned_rule" not in content
    assert cell.policy.prefix == "<|endoftext|> (eos, token:0)"
    options = dataclasses.replace(options, prefix="bos")
    [chunked] = run([specs["plain"]], [CORPUS], policy="uncheatable", options=options).cells
    assert chunked.policy.chunk_prefix_ids == (1,)
    assert chunked.policy.prefix == "<|startoftext|> (bos, token:1) before every chunk"


@pytest.mark.parametrize(
    ("name", "rule"), [("bytes", None), ("bytes", "token:3"), ("adding", None), ("adding", "bos")]
)
@pytest.mark.parametrize("policy", ["document", "uncheatable"])
def test_versions_are_accepted_whatever_is_read(
    specs: Mapping[str, str], name: str, rule: str | None, policy: str, tmp_path: Path
) -> None:
    """A cell tells what its key was made of, also where the plan knew no more than ``default``."""
    model = load_model(specs[name], device="cpu", dtype="float32", prefix=rule)
    options = RunOptions(output=tmp_path, accept_versions=True)
    [cell] = run([model], [CORPUS], policy=policy, options=options).cells
    later = Recorder(model)
    later.identity = dataclasses.replace(model.identity, numerics="a later one")
    result = run([later], [CORPUS], policy=policy, options=options)
    assert (result.num_scored, result.cells[0].path) == (0, cell.path)
    # With another prefix there is nothing to accept.
    another = load_model(specs[name], device="cpu", dtype="float32", prefix="token:9")
    assert run([another], [CORPUS], policy=policy, options=options).num_scored == 1


def test_a_planned_rule_is_told_where_it_is_not_the_ids_s(tmp_path: Path) -> None:
    model = BigramModel(prefix="default")
    [cell] = run([model], [CORPUS], options=RunOptions(output=tmp_path)).cells
    assert (cell.policy.prefix_rule, cell.policy.planned_rule) == ("token:256", "default")
    [usual] = run([BigramModel("usual")], [CORPUS], options=RunOptions(output=tmp_path)).cells
    assert (usual.policy.prefix_rule, usual.policy.planned_rule) == ("token:256", None)


@pytest.mark.parametrize(
    ("settings", "policy", "message"),
    [
        (
            {"prefix": "bos,eos"},
            "document",
            "--prefix must be bos, eos, none or token:ID,ID,…, not 'bos,eos'",
        ),
        ({"prefix": "none"}, "lm-eval", "policy lm-eval reads one token before a document, not none"),
        (
            {"prefix": "token:1,2"},
            "lm-eval",
            "policy lm-eval reads one token before a document, not token:1,2",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_before_anything_is_done(
    settings: dict[str, Any], policy: str, message: str, tmp_path: Path
) -> None:
    options = RunOptions(output=tmp_path / "runs", **settings)
    with pytest.raises(UsageError, match=message):
        run(["llama-nano"], [CORPUS], policy=policy, options=options)
    assert not (tmp_path / "runs").exists()


def test_a_model_that_is_an_object_reads_its_own(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match="bigram is loaded already and reads its own prefix; leave prefix bos out"
    ):
        run([BigramModel()], [CORPUS], options=RunOptions(output=tmp_path, prefix="bos"))


def test_a_model_without_the_token_fails_alone(specs: Mapping[str, str], tmp_path: Path) -> None:
    options = RunOptions(output=tmp_path, device="cpu", dtype="float32", prefix="bos")
    result = run([specs["bytes"], specs["plain"], "xz"], [CORPUS], options=options)
    assert [cell.model.name for cell in result.cells] == ["hf:plain", "xz"]
    [failure] = result.failures
    assert "the prefix is to be bos, but the tokenizer defines no such token" in failure.reason


def test_the_public_function_takes_a_prefix(specs: Mapping[str, str]) -> None:
    model = evalkit.load_model(specs["plain"], device="cpu", dtype="float32", prefix="token:5,6")
    assert isinstance(model, TokenModel)
    assert (model.prefix, model.identity.prefix) == ((5, 6), "token:5,6")
    with pytest.raises(UsageError, match="prefix must be bos"):
        evalkit.load_model(specs["plain"], prefix="start")
