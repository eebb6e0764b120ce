"""Checkpoints of a training run: at which step each was saved, of which run, and in which order.

A step comes from ``trainer_state.json``, where the Trainer of transformers wrote one, else from the name:
``step-1000``, ``checkpoint-500``, ``iter_0001000``, ``ep1-ba5000``, ``rwkv-7.pth``,
``stage1-step1000-tokens4B``, ``model_021400.pt``, ``1000``. Sizes, versions and dates are no steps.
"""

import re
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from evalkit.files import parse_json

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "b": 10**9, "t": 10**12}
_MONTH_AND_DAY = "(?:0[1-9]|1[0-2]){0}(?:0[1-9]|[12][0-9]|3[01])"
_DATE = (
    rf"(?:19|20)\d\d(?:{'|'.join(f'{mark}{_MONTH_AND_DAY.format(mark)}' for mark in ('', '-', '_'))})(?!\d)"
)
_COUNT = r"0*(\d{1,18}(?:\.\d{1,9}(?=[kmbt]))?)"
_NUMBER_OF_STEPS = rf"[-_=]?(?!{_DATE}){_COUNT}([km]?)(?![a-z0-9])"
"""``7b`` is a size."""
_STEP_WORDS = (
    "(?:global[-_]?)?steps?",
    "checkpoint",
    "ckpt",
    "iter(?:ation)?s?",
    "ba(?:tch)?",
    "ep(?:och)?s?",
)
_STEPS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(?<![a-z])checkpoint_\d{1,18}_(\d{1,18})()(?![a-z0-9])",  # fairseq: epoch and update
        *(rf"(?<![a-z]){word}{_NUMBER_OF_STEPS}" for word in _STEP_WORDS),
        # nanochat: in six places; fewer without a zero may be a size, and what is "of" so many a shard
        rf"(?<![a-z])(?:model|weights|params|state)[-_](?!{_DATE})(0\d{{3,17}}|\d{{6,18}})()(?![a-z0-9]|[-_]of)",
        rf"(?<![a-z0-9.])(?!{_DATE}){_COUNT}([km]?)[-_]?(?:steps|iter(?:ation)?s)(?![a-z0-9])",
    )
]
"""The surest first: ``epoch=3-step=1000`` is at step 1000."""
_TOKENS = re.compile(rf"(?<![a-z])tokens?[-_=]?{_COUNT}([kmbt]?)(?![a-z0-9])", re.IGNORECASE)
_BARE = re.compile(rf"(?!{_DATE})\d{{1,18}}")
_RWKV = re.compile(r"rwkv-(\d{1,18}|init|final)", re.IGNORECASE)
"""What the trainer of RWKV-LM calls its checkpoints."""
_BEFORE_TRAINING = {"init", "initial"}
_SUFFIXES = {".pth", ".pt", ".bin", ".safetensors", ".gguf", ".ckpt"}
_GENERIC_FOLDERS = re.compile(
    r"(?:checkpoints?|ckpts?|snapshots?|steps?|epochs?|out(?:puts?)?|results?|artifacts?|models?|weights|saved?"
    r"|runs?|logs|hf|train(?:ing)?)",
    re.IGNORECASE,
)
"""Names of folders that say nothing of the run."""
_GENERIC_REMAINDER = re.compile(
    rf"(?:{_GENERIC_FOLDERS.pattern}|(?:un)?sharded|distcp|ranks?[-_]?\d+|state)", re.IGNORECASE
)
"""What beside a step says nothing of the run either: ``step1000-unsharded`` of any."""
_GENERIC_FILE = re.compile(
    r"(?:(?:pytorch|lit)_)?model|consolidated(?:\.\d+)?|mp_rank_\d+(?:_model_states)?|weights|checkpoint|ckpt|hf",
    re.IGNORECASE,
)
"""What trainers call the file, or the folder, within that of a step."""
_MEASURED = re.compile(
    r"(?:(?:val|valid|validation|train|eval|test|reduced)[-_/]?)*"
    r"(?:loss|ppl|perplexity|acc(?:uracy)?|consumed_samples)=-?\d+(?:\.\d+)?",
    re.IGNORECASE,
)
"""What was measured at a step, as Lightning writes it beside it: other at each, and so no name of the run."""
_SEED = re.compile(r"(?:seed|s)[-_=]?\d+", re.IGNORECASE)
_MOST_STATE_BYTES = 64 << 20
_GREATEST_COUNT = 1e100
"""Beyond it, also when multiplied, lies what no float holds; FLOPs of trainings are some 1e26."""
_TRAINER_STATE = "trainer_state.json"


class CheckpointName(NamedTuple):
    """What the name of a checkpoint says."""

    step: int | None
    num_tokens: int | None
    """Tokens that had been read by then."""
    remainder: str
    """The name without them."""


class CheckpointFacts(NamedTuple):
    """What is known of a checkpoint of a training run."""

    run: str
    """The run's name: results show it, and all its checkpoints share it."""
    step: int
    num_tokens: int | None
    """Tokens that had been read by then; None: not known."""
    flops: float | None
    """Floating-point operations that the training had taken by then, as the trainer counts them."""

    def details(self) -> dict[str, str | int | float]:
        """The same as the details of a model's identity, which its cells show."""
        details: dict[str, str | int | float] = {"run": self.run, "step": self.step}
        if self.num_tokens is not None:
            details["tokens_seen"] = self.num_tokens
        if self.flops is not None:
            details["training_flops"] = self.flops
        return details


def read_name(name: str) -> CheckpointName:
    """What a checkpoint's name says, without its ending.

    >>> read_name("stage1-step1000-tokens4B")
    CheckpointName(step=1000, num_tokens=4000000000, remainder='stage1')
    """
    tokens = _TOKENS.search(name)
    num_tokens = _number(tokens) if tokens else None
    bare = _TOKENS.sub("", name)
    if rwkv := _RWKV.fullmatch(bare):
        step = int(rwkv[1]) if rwkv[1].isdecimal() else (0 if rwkv[1].lower() == "init" else None)
        return CheckpointName(step, num_tokens, "")
    if _BARE.fullmatch(bare):
        return CheckpointName(int(bare), num_tokens, "")
    if bare.lower() in _BEFORE_TRAINING:
        return CheckpointName(0, num_tokens, "")
    matches = [match for pattern in _STEPS if (match := pattern.search(bare))]
    step = _number(matches[0]) if matches else None
    for pattern in _STEPS:
        bare = pattern.sub("", bare)
    remainder = re.sub(r"[-_.=]{2,}", "-", _MEASURED.sub("", bare)).strip("-_.= ")
    return CheckpointName(step, num_tokens, "" if _GENERIC_REMAINDER.fullmatch(remainder) else remainder)


def _number(match: re.Match[str]) -> int:
    return round(Decimal(match[1]) * _UNITS[match[2].lower()])  # 2.5T to the last token


def checkpoint_facts(path: Path | None, target: str, revision: str | None) -> CheckpointFacts | None:
    """What is known of a checkpoint as one of a run; None where nothing says that it is one.

    Args:
        path: its file or folder on this machine; None: it is on the hub.
        target: ``owner/name`` on the hub.
        revision: branch or tag there.
    """
    if path is None:
        name = read_name(revision or "")
        run = f"{target}@{name.remainder}" if name.remainder else target
        return None if name.step is None else CheckpointFacts(run, name.step, name.num_tokens, None)
    stem = path.name.removesuffix(path.suffix) if path.suffix in _SUFFIXES else path.name
    if _GENERIC_FILE.fullmatch(stem) and not _BARE.fullmatch(path.parent.name):
        return checkpoint_facts(path.parent, target, revision)
    name, parents = read_name(stem), path.parents
    state = _trainer_state(path)
    step = count_of(state.get("global_step"))
    step = name.step if step is None else step
    if step is None:
        return None
    num_tokens = count_of(state.get("num_input_tokens_seen")) or name.num_tokens
    flops = count_of(state.get("total_flos"))
    run = name.remainder if name.step is not None else ""
    # ``out/step-5`` and ``run-a/out/step-5``: the last folder whose name is not every run's.
    names = [] if run else [parent.name for parent in parents if parent.name]
    while not run and names:
        folder = names.pop(0)
        run = "" if names and _GENERIC_FOLDERS.fullmatch(folder) else folder
        if names and _SEED.fullmatch(folder):  # ``mix-a/seed0/step-5``
            run = f"{names[0]}/{folder}"
    return CheckpointFacts(run or stem, step, num_tokens, float(flops) if flops else None)


def count_of(value: object) -> int | None:
    """A number of steps, tokens or FLOPs that somebody else wrote; None for what is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value <= _GREATEST_COUNT else None


def _trainer_state(path: Path) -> dict[str, object]:
    """What the Trainer of transformers wrote beside a checkpoint; empty where there is nothing to read."""
    file = path / _TRAINER_STATE
    try:
        if not file.is_file() or file.stat().st_size > _MOST_STATE_BYTES:
            return {}
        state = parse_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # the trainer may be writing it; the name says the step as well
        return {}
    return state if isinstance(state, dict) else {}


def natural_order(name: str) -> list[tuple[int, str]]:
    """A key by which ``step-900`` comes before ``step-1000``."""
    parts = re.findall(r"\d+|\D+", name)
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]


def training_order(path: str) -> tuple[list[tuple[int, str]], bool, int, list[tuple[int, str]]]:
    """A key by which the checkpoints of a folder come in the order of training, folder after folder.

    Those whose step is not known (``final``, ``latest``) come last.
    """
    place = Path(path)
    facts = checkpoint_facts(place, "", None)
    step = facts.step if facts else 0
    return natural_order(str(place.parent)), facts is None, step, natural_order(place.name)


def revision_order(revision: str) -> tuple[list[tuple[int, str]], bool, int, list[tuple[int, str]]]:
    """The same for branches and tags of a repository."""
    name = read_name(revision)
    return natural_order(name.remainder), name.step is None, name.step or 0, natural_order(revision)
