"""``lm_eval --model evalkit`` against the harness's own Hugging Face class, on the same tiny models."""

import json
from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from evalkit.errors import ScoringError, UsageError
from evalkit.exports.harness_model import EvalkitLM
from evalkit.files import file_sha256
from evalkit.models.catalog import load_catalog
from evalkit.models.hub import weights_sha256
from tests.support.rwkv7_files import TINY
from tests.support.tiny_models import (
    TEXTS,
    as_fast,
    byte_level_tokenizer,
    random_model,
    save_checkpoint,
    sentencepiece_tokenizer,
)
from tests.support.toys import BigramModel, run_cli

MAX_LENGTH = 64
CHOICE = """
task: local_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {table}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{answers}}}}"
doc_to_target: "{{{{right}}}}"
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
ROLLING = """
task: local_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {table}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{question}}}}"
metric_list: [{{metric: bits_per_byte}}, {{metric: word_perplexity}}]
"""


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    tokenizers = {
        "plain": byte_level_tokenizer(),
        "adding": sentencepiece_tokenizer(space="none", adds_bos=True),
    }
    for name, tokenizer in tokenizers.items():
        fast = as_fast(tokenizer)
        save_checkpoint(folder / name, random_model("llama", len(fast)), fast)
    return {name: folder / name for name in tokenizers}


def harness(folder: Path, **settings: Any) -> Any:
    return HFLM(
        pretrained=str(folder),
        softmax_dtype="float32",
        max_length=MAX_LENGTH,
        batch_size=1,
        dtype="float32",
        device="cpu",
        **settings,
    )


def ours(folder: Path, **settings: Any) -> EvalkitLM:
    return EvalkitLM(f"hf:{folder}", device="cpu", dtype="float32", max_length=MAX_LENGTH, **settings)


def write_tasks(folder: Path) -> TaskManager:
    questions = [
        {"question": text, "answers": [" bits", " of a text", TEXTS[0][:20], "\n"], "right": place % 4}
        for place, text in enumerate([*TEXTS[:4], "".join(TEXTS)])
    ]
    table = folder / "questions.jsonl"
    table.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    for name, text in (("choice", CHOICE), ("rolling", ROLLING)):
        (folder / f"{name}.yaml").write_text(text.format(table=table))
    return TaskManager(include_path=str(folder), include_defaults=False)


@pytest.mark.slow
def test_two_tasks_come_out_as_with_the_hugging_face_class(
    checkpoints: dict[str, Path], tmp_path: Path
) -> None:
    manager = write_tasks(tmp_path)
    results = [
        simple_evaluate(
            model,
            tasks=["local_choice", "local_rolling"],
            task_manager=manager,
            bootstrap_iters=0,
            log_samples=True,
        )
        for model in (ours(checkpoints["plain"]), harness(checkpoints["plain"]))
    ]
    [scores, expected] = [result["results"] for result in results]
    for task, metrics in {
        "local_choice": ("acc", "acc_norm"),
        "local_rolling": ("bits_per_byte", "word_perplexity"),
    }.items():
        for metric in metrics:
            value = scores[task][f"{metric},none"]
            assert value == pytest.approx(expected[task][f"{metric},none"], rel=1e-6), metric
    [answers, expected_answers] = [
        [sample["filtered_resps"] for sample in result["samples"]["local_choice"]] for result in results
    ]
    assert len(answers) == 5
    for row, expected_row in zip(answers, expected_answers, strict=True):
        assert [float(answer[0]) for answer in row] == pytest.approx(
            [float(answer[0]) for answer in expected_row], rel=1e-6
        )


def requests_of(kind: str, arguments: Sequence[tuple[str, ...]]) -> list[Any]:
    return [Instance(kind, {}, of_request, index) for index, of_request in enumerate(arguments)]


def greedy_ids(reference: Any, ids: list[int], num_tokens: int) -> list[int]:
    """What the model would go on with."""
    start = len(ids)
    for _ in range(num_tokens):
        with torch.inference_mode():
            ids = [*ids, int(reference.model(torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[start:]


@pytest.mark.parametrize("name", ["plain", "adding"])
def test_every_likelihood_and_every_greedy_answer_agree(checkpoints: dict[str, Path], name: str) -> None:
    context = "The stake is paid"
    pairs = [
        ("", "The stake"),
        (context, " in bits"),
        (context + " ", "in bits"),
        ("".join(TEXTS), " and more"),  # longer than the context
        *((text, text[:9]) for text in TEXTS),
    ]
    requests = requests_of("loglikelihood", pairs)
    reference, model = harness(checkpoints[name]), ours(checkpoints[name])
    context_ids = reference.tok_encode(context)
    assert model.tok_encode(context) == context_ids
    greedy = greedy_ids(reference, context_ids, 4)
    tokenized = [(None, context_ids, ids) for ids in (greedy[:1], greedy, [*greedy[:3], 9], [9], [7, 8])]
    expected = reference.loglikelihood(requests, disable_tqdm=True)
    expected += reference._loglikelihood_tokens(tokenized, disable_tqdm=True)
    answers = model.loglikelihood(requests, disable_tqdm=True)
    answers += model._loglikelihood_tokens(tokenized, disable_tqdm=True)
    assert [answer[0] for answer in answers] == pytest.approx([answer[0] for answer in expected], rel=1e-6)
    assert [answer[1] for answer in answers] == [answer[1] for answer in expected]
    assert [answer[1] for answer in expected[-5:]] == [True, True, False, False, False]
    texts = [(text,) for text in (*TEXTS, "".join(TEXTS) * 2, "a")]
    requests = requests_of("loglikelihood_rolling", texts)
    reference = harness(checkpoints[name], add_bos_token=False)
    assert model.loglikelihood_rolling(requests, disable_tqdm=True) == pytest.approx(
        reference.loglikelihood_rolling(requests, disable_tqdm=True), rel=1e-6
    )


def test_a_prefix_stands_before_every_text(checkpoints: dict[str, Path]) -> None:
    """The harness's class does so with a token of choice and its tokenizer's BOS put there by hand."""
    requests = requests_of("loglikelihood", [("", "The stake"), ("The stake", " is paid")])
    answers = ours(checkpoints["plain"], prefix="eos").loglikelihood(requests, disable_tqdm=True)
    reference = harness(checkpoints["plain"], prefix_token_id=0)
    continuation = reference.tok_encode(" is paid")
    expected = reference._loglikelihood_tokens(
        [
            (None, [0], reference.tok_encode("The stake")),
            (None, [0, *reference.tok_encode("The stake")], continuation),
        ],
        disable_tqdm=True,
    )
    assert [answer[0] for answer in answers] == pytest.approx([answer[0] for answer in expected], rel=1e-6)
    with pytest.raises(UsageError, match="has no single token to stand before a text; give prefix=bos"):
        ours(checkpoints["plain"], prefix="none").loglikelihood(requests, disable_tqdm=True)


@pytest.mark.parametrize("spec", [f"rwkv7:{TINY}", "llama-nano"])
def test_greedy_answers_are_the_tokens_that_cost_least(spec: str) -> None:
    harness_model = EvalkitLM(spec, device="cpu", dtype="float32")
    model = harness_model.model
    vocabulary = [[token] for token in range(model.vocab_size)]
    for context in ([0], [5, 6, 7]):
        costs = np.concatenate(model.nats(vocabulary, contexts=[context] * len(vocabulary)))
        best, second = np.argsort(costs, kind="stable")[:2].tolist()
        following = model.nats(vocabulary, contexts=[[*context, best]] * len(vocabulary))
        then = int(np.argmin(np.concatenate(following)))
        for continuation, greedy in (([best], True), ([second], False), ([best, then], True)):
            [answer] = harness_model._loglikelihood_tokens([(None, context, continuation)], disable_tqdm=True)
            assert answer[1] == greedy, (context, continuation)


def test_what_it_does_not_do_is_told_in_one_line(
    checkpoints: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ours(checkpoints["plain"])
    request = Instance("generate_until", {}, ("a", {}), 0, metadata=("gsm8k", 0, 1))
    with pytest.raises(UsageError, match="generates none: leave out gsm8k, whose output type is generate"):
        model.generate_until([request])
    with pytest.raises(UsageError, match="applies no chat template"):
        model.apply_chat_template([{"role": "user", "content": "a"}])
    for arguments, message in (
        ({}, "no model is named; --model_args takes spec=NAME"),
        ({"spec": "llama-nano", "pretrained": "gpt2"}, "unknown argument pretrained"),
        ({"spec": "xz"}, "xz is a compressor"),
        ({"spec": "lama-nano"}, "Did you mean llama-nano"),
    ):
        with pytest.raises(UsageError, match=message):
            EvalkitLM.create_from_arg_obj(arguments, {"batch_size": 1, "device": "cuda:0"})
    with pytest.raises(ScoringError, match=r"a continuation has \d+ tokens, the model's context holds 64"):
        model.loglikelihood(requests_of("loglikelihood", [("a", "".join(TEXTS))]), disable_tqdm=True)
    monkeypatch.setattr(model, "model", BigramModel())
    monkeypatch.setattr(model, "start", (256,))
    with pytest.raises(ScoringError, match="its loader gives no distributions"):
        model.loglikelihood(requests_of("loglikelihood", [("", "a")]), disable_tqdm=True)


def test_the_harness_finds_it_by_its_name(tmp_path: Path) -> None:
    [point] = entry_points(group="lm_eval.models", name="evalkit")
    assert point.load() is EvalkitLM
    result = simple_evaluate(
        "evalkit",
        model_args="spec=llama-nano,device=cpu",
        tasks=["local_choice"],
        task_manager=write_tasks(tmp_path),
        device="cuda:0",  # as its command line always says; what --model_args say goes before
        limit=2,
    )
    assert 0 <= result["results"]["local_choice"]["acc,none"] <= 1
    path = load_catalog()["llama-nano"].local_path
    assert path is not None
    weights = path / "model.safetensors"
    assert result["config"]["model_weights_sha256"] == weights_sha256({weights.name: file_sha256(weights)})
    assert "lm-eval" in run_cli("lm-eval", "--help").stdout
