"""Networks of users: what is taken, and what is refused in a line before anything is trained."""

import dataclasses
import sys
from pathlib import Path

import pytest

from evalkit.errors import UsageError
from evalkit_tasks.training.runner import train
from evalkit_tasks.training.spec import TrainSpec, check_spec
from evalkit_tasks.training.training import run_spec

SPEC = TrainSpec(
    "parity",
    "",
    train_length=8,
    num_steps=4,
    batch_size=4,
    num_items=8,
    width=16,
    test_multiples=(1, 2),
    num_layers=2,
)
CODE = """
import torch
from torch import nn

class Convolution(nn.Module):
    def __init__(self, vocab_size, num_labels, num_layers, width):
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(nn.Conv1d(width, width, 3) for _ in range(num_layers))
        self.head = nn.Linear(width, num_labels)
        self.padding = (2, 0)

    def forward(self, ids):
        x = self.embedding(ids)
        for layer in self.layers:
            x = x + torch.relu(layer(nn.functional.pad(x.mT, self.padding)).mT)
        return self.head(x)

class LooksAhead(Convolution):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.padding = (1, 1)

class StartsAtZero(LooksAhead):
    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        nn.init.zeros_(self.head.weight)

class LooksAheadOfLongStrings(Convolution):
    def forward(self, ids):
        self.padding = (2, 0) if ids.shape[1] < 9 else (0, 2)
        return super().forward(ids)

class Short(Convolution):
    def forward(self, ids):
        return super().forward(ids) + 0 * torch.zeros(10)[torch.arange(ids.shape[1])][:, None]

class Whole(Convolution):
    def forward(self, ids):
        return super().forward(ids).round().long()

class Untied(Convolution):
    def forward(self, ids):
        return super().forward(ids).detach()

class Leaving(Convolution):
    def __init__(self, *arguments, **options):
        raise SystemExit

class Shapeless(Convolution):
    def forward(self, ids):
        return super().forward(ids)[:, -1]

class Infinite(Convolution):
    def forward(self, ids):
        return super().forward(ids) / 0

class Failing(Convolution):
    def forward(self, ids):
        raise RuntimeError("no such thing\\nand more")

class Fixed(nn.Module):
    def __init__(self, vocab_size, num_labels, num_layers, width):
        super().__init__()

class Needy(nn.Module):
    def __init__(self):
        super().__init__()

def function():
    pass
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "convolutions_of_mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "convolutions_of_mine"
    sys.modules.pop("convolutions_of_mine", None)


def test_a_network_of_ones_own_is_trained_and_its_code_is_in_the_key(module):
    spec = dataclasses.replace(SPEC, model=f"{module}:Convolution")
    check_spec(spec)
    result = run_spec(spec)
    assert result.num_parameters == 4 * 16 + 2 * (3 * 16 * 16 + 16) + 2 * 16 + 2
    assert result.history == run_spec(spec).history != run_spec(dataclasses.replace(spec, seed=1)).history
    before = spec.key()
    with open(f"{module}.py", "a") as file:  # noqa: PTH123
        file.write("# another")
    assert spec.key() != before


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("LooksAhead", "what it says of a token depends on later ones; it must be causal"),
        ("StartsAtZero", "what it says of a token depends on later ones; it must be causal"),
        ("LooksAheadOfLongStrings", "what it says of a token depends on later ones; it must be causal"),
        ("Short", "tokens of shape [2, 18] make it fail: IndexError: index 10 is out of bounds"),
        ("Whole", "its logits are torch.int64, not floating-point numbers"),
        ("Untied", "its logits have no gradient"),
        ("Leaving", "Leaving(4, 2, num_layers=2, width=16) fails: SystemExit"),
        ("Shapeless", r"of tokens [2, 5] it makes (2, 2), not [2, 5, 2]"),
        ("Infinite", "its logits are not finite before any training"),
        ("Failing", "tokens of shape [2, 5] make it fail: RuntimeError: no such thing"),
        ("Fixed", "has no parameter to train"),
        ("Needy", "Needy(4, 2, num_layers=2, width=16) fails: TypeError"),
        ("function", "has no torch.nn.Module named 'function'"),
        ("Missing", "has no torch.nn.Module named 'Missing'"),
    ],
)
def test_what_does_not_keep_the_contract_is_refused_in_a_line(module, name, says):
    with pytest.raises(UsageError) as caught:
        check_spec(dataclasses.replace(SPEC, model=f"{module}:{name}"))
    assert says in str(caught.value) and f"--model {module}:{name}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_module_that_leaves_when_it_is_imported_does_not_end_the_program(module):
    Path("leaving.py").write_text("raise SystemExit(0)")
    with pytest.raises(UsageError, match="leaving cannot be imported: SystemExit: 0"):
        check_spec(dataclasses.replace(SPEC, model="leaving:Net"))


def test_a_network_that_fails_in_training_costs_its_cell_and_a_line(module, tmp_path):
    Path(f"{module}.py").write_text(
        f"{CODE}\nclass Tiring(Convolution):\n    def forward(self, ids):\n"
        "        return super().forward(ids) if not self.training else {}['rest']\n"
    )
    spec = dataclasses.replace(SPEC, model=f"{module}:Tiring", min_train_length=8)
    cells, [failure] = train([spec], tmp_path, num_jobs=1, tell=lambda line: None)
    assert not cells and failure.spec == spec
    assert failure.reason.endswith("tokens of shape [4, 9] make it fail: KeyError: 'rest'")


def test_a_module_that_is_not_there_is_told_by_name():
    with pytest.raises(UsageError, match="no_such_module cannot be imported: ModuleNotFoundError"):
        check_spec(dataclasses.replace(SPEC, model="no_such_module:Net"))
