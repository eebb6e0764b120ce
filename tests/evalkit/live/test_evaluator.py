"""`evalkit.Evaluator`: the numbers of the file path, and a model that is left as it was."""

import contextlib
import csv
import importlib
import itertools
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import nn

import evalkit
from evalkit.errors import ModelError, UsageError
from evalkit.live.evaluation import Evaluation
from evalkit.live.logs import CSV_COLUMNS, WandbLog
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import TEXTS, corpus_of


@pytest.fixture(scope="module")
def corpus() -> Any:
    return corpus_of([*TEXTS, "a " * 400, "one more, of which there are enough", "2 3 5 7 11 13"])


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return as_fast(byte_level_tokenizer(), eos_token="<|endoftext|>")


def bits(evaluation: Evaluation) -> list[float | None]:
    return [document.total_bits for document in evaluation.scores[0].documents]


@pytest.mark.parametrize("architecture", ["llama", "mamba"])
def test_live_numbers_are_those_of_the_file(
    architecture: str, corpus: Any, tokenizer: Any, tmp_path: Path
) -> None:
    model = random_model(architecture, len(tokenizer)).train()
    folder = save_checkpoint(tmp_path / "step-7", model, tokenizer)
    result = run([f"hf:{folder}"], [corpus], options=RunOptions(output=tmp_path / "runs"))
    evaluator = evalkit.Evaluator([corpus], output=tmp_path / "live", run="run-a")
    evaluation = evaluator.score(model, tokenizer, step=7)
    [cell] = result.cells
    assert bits(evaluation) == [row.total_bits for row in cell.rows()]  # to the last digit
    assert evaluation.bits_per_byte == cell.bits_per_byte
    assert evaluation.scores[0].interval == cell.metrics.interval
    written = evaluation.scores[0].cell
    assert written is not None and written.totals == cell.totals
    assert written.policy.prefix_ids == cell.policy.prefix_ids
    assert (written.model.name, written.model.details["step"]) == ("live:run-a/step-7", 7)


def test_a_model_in_training_is_left_as_it_was(corpus: Any, tokenizer: Any) -> None:
    """With dropout, a frozen part in evaluation mode, gradients, and accelerate's autocast around it."""
    model = random_model("llama", len(tokenizer)).train()
    model.config.attention_dropout = 0.1
    model.model.layers[0].eval()
    ids = torch.arange(12)[None] % len(tokenizer)
    model(input_ids=ids, labels=ids).loss.backward()

    def rounded(*_args: Any, **_settings: Any) -> None:
        raise AssertionError("computed with what accelerate wraps around the model")

    model._original_forward, model.forward = model.forward, rounded
    attributes = [dict(vars(module)) for module in model.modules()]
    buffers = [list(module._buffers.values()) for module in model.modules()]
    gradients = [parameter.grad.clone() for parameter in model.parameters()]
    config = model.config.to_dict()
    attention = model.config._attn_implementation
    state = torch.get_rng_state()
    evaluation = evalkit.Evaluator(corpus, limit=3).score(model, tokenizer)
    assert evaluation.bits_per_byte > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert (model.config.to_dict(), model.config._attn_implementation) == (config, attention)
    for module, before, tensors in zip(model.modules(), attributes, buffers, strict=True):
        assert vars(module).keys() == before.keys()
        assert all(vars(module)[name] is value for name, value in before.items())
        assert [id(tensor) for tensor in module._buffers.values()] == list(map(id, tensors))
    assert all(map(torch.equal, (p.grad for p in model.parameters()), gradients))
    model.forward = model._original_forward
    model(input_ids=ids, labels=ids).loss.backward()  # and the training goes on


class Bigram(nn.Module):
    """Logits that depend on one id alone, or on those that come."""

    def __init__(self, *, looks_ahead: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(256, 256)
        self._looks_ahead = looks_ahead

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        seen = torch.cat((ids[:, 1:], ids[:, :1]), 1) if self._looks_ahead else ids
        logits: torch.Tensor = self.table(seen)
        return logits


def test_a_plain_module_whose_ids_are_bytes(corpus: Any) -> None:
    module = Bigram()
    evaluation = evalkit.Evaluator([corpus], max_context=64).score(module)
    costs = -module.table.weight.detach().double().log_softmax(-1) / math.log(2)
    for document, total_bits in zip(corpus.documents, bits(evaluation), strict=True):
        data = list(document.data)
        expected = 8.0 + sum(costs[a, b].item() for a, b in itertools.pairwise(data))
        assert total_bits == pytest.approx(expected, rel=1e-5)
    assert module.training
    with pytest.raises(ModelError, match="lets tokens see later ones"):
        evalkit.Evaluator([corpus]).score(Bigram(looks_ahead=True))
    with pytest.raises(ModelError, match=r"Identity gives \(1, 16\) for ids of \(1, 16\)"):
        evalkit.Evaluator([corpus]).score(nn.Identity())
    with pytest.raises(UsageError, match="str is no tokenizer"):
        evalkit.Evaluator([corpus]).score(module, "gpt2")


def test_the_run_of_a_training_that_begins_later_is_logged_to(
    corpus: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a package of that name, as Weights & Biases is not installed."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UsageError, match="wandb is not installed"):
        evalkit.Evaluator([corpus], logs=["wandb"])  # the folder of its logs is no package
    (tmp_path / "wandb" / "__init__.py").write_text(
        "class Run:\n"
        "    def __init__(self): self.logged = []\n"
        "    def define_metric(self, name, step_metric=None): pass\n"
        "    def log(self, data): self.logged.append(data)\n"
        "run = None\n"
    )
    importlib.invalidate_caches()
    evaluator = evalkit.Evaluator([corpus], logs=["wandb"])
    wandb = importlib.import_module("wandb")
    del sys.modules["wandb"]
    monkeypatch.setitem(sys.modules, "wandb", wandb)  # so that it is gone afterwards
    run = wandb.Run()
    monkeypatch.setattr(wandb, "run", run)
    evaluation = evaluator.score(Bigram())
    assert run.logged == [{f"bits_per_byte/{corpus.name}": evaluation.bits_per_byte}]


class WithState(Bigram):
    """As layers of some libraries are, which keep more than tensors with their weights."""

    def get_extra_state(self) -> dict[str, str]:
        return {"recipe": "fp8"}


def test_a_module_whose_state_is_more_than_tensors(corpus: Any, tmp_path: Path) -> None:
    evaluator = evalkit.Evaluator([corpus], limit=2, output=tmp_path)
    cells = [evaluator.score(module, step=1).scores[0].cell for module in (Bigram(), WithState())]
    assert len({cell.model.weights_sha256 for cell in cells if cell is not None}) == 1


def test_changes_are_paired_and_logged(
    corpus: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept: list[object] = []

    class Kept:
        def define_metric(self, name: str, step_metric: str | None = None) -> None:
            kept.append((name, step_metric))

        def log(self, data: dict[str, float]) -> None:
            kept.append(data)

    logs = ["stdout", str(tmp_path / "scores.csv"), f"tensorboard:{tmp_path / 'board'}", WandbLog(Kept())]
    evaluator = evalkit.Evaluator([corpus], run="=run", logs=logs)
    module = Bigram()
    first = evaluator.score(module, step=1)
    with torch.no_grad():
        module.table.weight.mul_(0.99)  # nearer to a uniform distribution, which costs less than a random one
    second = evaluator.score(module, step=2)
    assert first.scores[0].change is None
    change = second.scores[0].change
    assert change is not None and change.low is not None and change.high is not None
    assert change.value == pytest.approx(second.bits_per_byte - first.bits_per_byte)
    assert change.high < 0 and change.half_width is not None
    interval = second.scores[0].interval
    assert interval is not None and change.half_width < interval.half_width
    assert (
        f"({change.value:+.4f} ± {change.half_width:.4f} since the last, paired)" in capsys.readouterr().out
    )
    with (tmp_path / "scores.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2"] and tuple(rows[0]) == CSV_COLUMNS
    assert rows[0]["run"] == "'=run"  # no formula
    assert float(rows[1]["bits_per_byte"]) == second.bits_per_byte
    assert float(rows[1]["change_high"]) == pytest.approx(change.high)
    name = f"bits_per_byte/{corpus.name}"
    assert kept == [
        ("bits_per_byte/*", "training_step"),
        {name: first.bits_per_byte, "training_step": 1},
        {name: second.bits_per_byte, "training_step": 2},
    ]
    [events] = (tmp_path / "board").iterdir()
    assert events.read_bytes().count(name.encode()) == 2
    assert first[corpus.name] is first.scores[0]
    with pytest.raises(UsageError, match="unknown corpus 'nwes'"):
        first["nwes"]
    with pytest.raises(UsageError, match=f"several corpora are called {corpus.name}"):
        evalkit.Evaluator([corpus, corpus_of(TEXTS)])
    (tmp_path / "other.csv").write_text("a,b\n")
    (tmp_path / "file").touch()
    (tmp_path / "latin.csv").write_bytes(b"run,\xe9\n")
    for log, message in (
        (str(tmp_path / "other.csv"), "is no file of evaluations"),
        (str(tmp_path / "latin.csv"), "is no file of evaluations: it is no CSV in UTF-8"),
        (f"tensorboard:{tmp_path / 'file'}", "cannot write to .*file: File exists"),
        ("stdot", "unknown log 'stdot'"),
        ("wandb", "wandb is not installed"),
    ):
        with pytest.raises(UsageError, match=message):
            evalkit.Evaluator([corpus], logs=[log])


def test_what_is_no_training_is_refused_in_a_line() -> None:
    class Fixed(nn.Module):
        """Logits of every id, and of no other."""

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*ids.shape, 100)

    with pytest.raises(UsageError, match=r"^int is no corpus; give a name"):
        evalkit.Evaluator([5])  # type: ignore[list-item]
    evaluator = evalkit.Evaluator([corpus_of(TEXTS)])
    for model in (None, "rwkv7-nano"):
        with pytest.raises(UsageError, match="is no torch module"):
            evaluator.score(model)  # type: ignore[arg-type]
    for step in (-1, "5", float("nan")):
        with pytest.raises(UsageError, match=r"^step .* is no whole number from 0 on"):
            evaluator.score(Fixed(), step=step)  # type: ignore[arg-type]
    with pytest.raises(
        ModelError, match=r"Fixed has logits for 100 ids, and the tokenizer gives 1[0-9][0-9];"
    ):
        evaluator.score(Fixed(), step=torch.tensor(5))  # type: ignore[arg-type]


def test_a_trainer_scores_as_it_trains(corpus: Any, tokenizer: Any, tmp_path: Path) -> None:
    model = random_model("llama", len(tokenizer))
    rows = [{"input_ids": list(range(n, n + 8)), "labels": list(range(n, n + 8))} for n in range(8)]
    callback = evalkit.Evaluator([corpus], limit=4).callback(every_steps=2)
    arguments = transformers.TrainingArguments(
        str(tmp_path),
        max_steps=3,
        per_device_train_batch_size=2,
        report_to=[],
        use_cpu=True,
        save_strategy="no",
    )
    trainer = transformers.Trainer(
        model,
        arguments,
        transformers.default_data_collator,
        train_dataset=rows,
        processing_class=tokenizer,
        callbacks=[callback],
    )
    trainer.train()
    assert [evaluation.step for evaluation in callback.evaluations] == [2, 3]
    assert callback.evaluations[0].bits_per_byte != callback.evaluations[1].bits_per_byte
    again = evalkit.Evaluator([corpus], limit=4).score(model, tokenizer)
    assert again.bits_per_byte == callback.evaluations[1].bits_per_byte
    name = f"bits_per_byte/{corpus.name}"
    logged = [entry["step"] for entry in trainer.state.log_history if name in entry]
    assert logged == [2, 3]


def test_a_model_that_breaks_in_the_middle_of_a_training_does_not_end_it() -> None:
    model = nn.Embedding(257, 257)
    callback = evalkit.Evaluator([corpus_of(TEXTS[:2])]).callback(every_steps=1)
    state = transformers.TrainerState(global_step=1)
    with torch.no_grad():
        broken, whole = torch.full((257, 257), math.nan), model.weight.clone()
        model.weight.copy_(broken)
        with pytest.raises(ModelError, match="its logits are not finite"):  # it was never right
            callback.on_step_end(None, state, None, model=model)
        for step, weight in enumerate((whole, broken, whole), 1):
            state.global_step = step
            model.weight.copy_(weight)
            expected = pytest.warns(UserWarning, match="step 2 is not scored.*its logits are not finite")
            with expected if weight is broken else contextlib.nullcontext():
                callback.on_step_end(None, state, None, model=model)
    assert [evaluation.step for evaluation in callback.evaluations] == [1, 3]
