"""Tokenizers that may take any time and memory, tried and used in a child process with limits of both.

A ``tokenizer.json`` is a program: its regular expressions can take years for a text of forty letters, a wrong
number in it lets the library ask for a terabyte and abort the process, and which text does that shows only
when it comes. Where `evalkit.models.hf.tokenizer_bounds.is_bounded` can say that none of this happens, texts
are encoded here; else in the child, which costs its start and for each text a message there and back.
"""

import array
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, ParamSpec, TypeVar

from tokenizers import Tokenizer

from evalkit.errors import ModelError, first_line
from evalkit.files import file_sha256
from evalkit.isolation import Worker, WorkFailed, WorkLimits
from evalkit.models.hf.tokenizer_state import Part

P = ParamSpec("P")
T = TypeVar("T")

LIMITS = WorkLimits(max_cpu_s=20.0, max_wall_s=600.0, max_memory_bytes=4 << 30)
"""Of a trial, and of a short text."""
_CPU_S_PER_CHARACTER = 2e-5
"""Twenty times what tokenizers take."""
_BYTES_PER_CHARACTER = 512
_TRIAL_TEXTS = (
    "",
    "the text",
    "Two\nlines.",
    "1",
    "Dear reader,\n\tthe price of 2 (two) cafés rose to 3.50 in 1999!",
    "The quick brown fox jumps over the lazy dog, 1234567890 times.",
    f"{'a' * 60} {'ab' * 30}! {' ' * 60}{'1' * 60}\r\n{'-' * 60}\t\0\ufdfa文字 Straße{'́' * 20}🏳️‍🌈",
)
"""What loading encodes, and what is hard for careless rules."""
_MOST_LEARNED = 8


class TokenizerFailed(Exception):  # callers make an error of their own of it, or none
    """What the library said of a text that it could not encode."""


class _Unlearned(Exception):
    """The child is a new one and has no such tokenizer."""


class Encoded(NamedTuple):
    """What the library makes of a text."""

    ids: list[int]
    find_offsets: Callable[[], list[tuple[int, int]]]

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """Start and end of each token, in characters; the text is encoded once more for them."""
        return self.find_offsets()


class ApartTokenizer:
    """A tokenizer that encodes and decodes in the child, with the members of `tokenizers.Tokenizer`."""

    def __init__(self, state: Part, name: str) -> None:
        """Read a tokenizer, in the child first.

        Args:
            state: as ``tokenizer.json`` has it.
            name: what messages call the model.

        Raises:
            ModelError: reading it takes too much time or memory, or the library cannot.
        """
        self._name = name
        self._state = json.dumps(state)
        self._digest = hashlib.sha256(self._state.encode()).hexdigest()
        try:
            self._call(0, _encode, self._digest, "")
        except TokenizerFailed as failure:
            raise ModelError(f"{name}: its tokenizer cannot be read: {failure}") from None
        self._tokenizer = Tokenizer.from_str(self._state)

    def encode(self, text: str, *, add_special_tokens: bool) -> Encoded:
        """Tokens of a text.

        Raises:
            ModelError: it takes too much time or memory.
            TokenizerFailed: the library refuses or fails.
        """
        assert not add_special_tokens
        ids = self._call(len(text), _encode, self._digest, text)
        return Encoded(ids.tolist(), lambda: self._call(len(text), _offsets, self._digest, text))

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool) -> str:
        """The text of tokens; errors as of `encode`."""
        assert not skip_special_tokens
        return self._call(len(ids), _decode, self._digest, list(ids))

    def to_str(self) -> str:
        """The state."""
        return self._state

    def get_vocab(self, *, with_added_tokens: bool = True) -> dict[str, int]:
        """Ids by token."""
        vocabulary: dict[str, int] = self._tokenizer.get_vocab(with_added_tokens=with_added_tokens)
        return vocabulary

    def id_to_token(self, token_id: int) -> str | None:
        """The token of an id; None where there is none."""
        token: str | None = self._tokenizer.id_to_token(token_id)
        return token

    def token_to_id(self, token: str) -> int | None:
        """The id of a token; None where there is none."""
        token_id: int | None = self._tokenizer.token_to_id(token)
        return token_id

    def _call(self, num_characters: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        limits = LIMITS._replace(
            max_cpu_s=LIMITS.max_cpu_s + _CPU_S_PER_CHARACTER * num_characters,
            max_memory_bytes=LIMITS.max_memory_bytes + _BYTES_PER_CHARACTER * num_characters,
        )
        expected = (TokenizerFailed, _Unlearned)
        try:
            try:
                return _WORKER.call(limits, expected, function, *args, **kwargs)
            except _Unlearned:
                _WORKER.call(LIMITS, expected, _learn, self._digest, self._state)
                return _WORKER.call(limits, expected, function, *args, **kwargs)
        except WorkFailed as failure:
            raise ModelError(
                f"the tokenizer of {self._name} {failure.reason} for a text of {num_characters:,} "
                "characters; leave that text out, or name another tokenizer in the catalog"
            ) from None


def check_apart(path: Path, name: str) -> None:
    """Refuse a ``tokenizer.json`` that takes too much time or memory, or the process with it.

    Raises:
        ModelError: it does, or the library cannot read it.
    """
    try:
        try_once(path, name, _try_file, path)
    except TokenizerFailed as failure:
        raise ModelError(f"{name}: the tokenizer in {path} cannot be read: {failure}") from None


def try_once(path: Path, name: str, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call a function in the child, if a file with the same content has not been read there before.

    Args:
        path: of the file that it reads.
        name: what messages call the model.
        function: raises `ModelError` or `TokenizerFailed` if it cannot.
        args: its arguments.
        kwargs: its arguments by keyword.

    Raises:
        ModelError: it takes too much time or memory, or it raises that.
        TokenizerFailed: it raises that.
    """
    sha256 = file_sha256(path)
    if sha256 in _TRIED:
        return
    try:
        _WORKER.call(LIMITS, (TokenizerFailed, ModelError), function, *args, **kwargs)
    except WorkFailed as failure:
        raise ModelError(
            f"{name}: the tokenizer in {path} {failure.reason} for a line of text; fetch it again, or name "
            "another tokenizer in the catalog"
        ) from None
    _TRIED.add(sha256)


_TRIED: set[str] = set()
"""Digests of files that took little."""
_WORKER = Worker()

# --- in the child ----------------------------------------------------------------------------------------

_LEARNED: dict[str, Tokenizer] = {}
"""By digest, the last ones used at the end."""


def _failures_named(function: Callable[P, T]) -> Callable[P, T]:
    """Let whatever the library raises be a `TokenizerFailed`: also panics, which are no Exception."""

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except (MemoryError, _Unlearned):
            raise
        except BaseException as error:
            raise TokenizerFailed(first_line(error)) from None

    return call


@_failures_named
def _try_file(path: Path) -> None:
    tokenizer = Tokenizer.from_str(path.read_text(encoding="utf-8"))
    for text in _TRIAL_TEXTS:
        for adds_special_tokens in (False, True):
            try:
                ids = tokenizer.encode(text, add_special_tokens=adds_special_tokens).ids
            except Exception as error:  # a vocabulary without an unknown token cannot spell every text
                if "unk" not in str(error).lower():
                    raise
                continue
            tokenizer.decode(ids, skip_special_tokens=False)


@_failures_named
def _learn(digest: str, state: str) -> None:
    while len(_LEARNED) >= _MOST_LEARNED:
        _LEARNED.pop(next(iter(_LEARNED)))
    _LEARNED[digest] = tokenizer = Tokenizer.from_str(state)
    tokenizer.encode_special_tokens = True  # special tokens in the text are text; not part of the state


@_failures_named
def _encode(digest: str, text: str) -> "array.array[int]":
    return array.array("q", _learned(digest).encode(text, add_special_tokens=False).ids)


@_failures_named
def _offsets(digest: str, text: str) -> list[tuple[int, int]]:
    offsets: list[tuple[int, int]] = _learned(digest).encode(text, add_special_tokens=False).offsets
    return offsets


@_failures_named
def _decode(digest: str, ids: list[int]) -> str:
    text: str = _learned(digest).decode(ids, skip_special_tokens=False)
    return text


def _learned(digest: str) -> Tokenizer:
    if digest not in _LEARNED:
        raise _Unlearned
    _LEARNED[digest] = tokenizer = _LEARNED.pop(digest)
    return tokenizer
