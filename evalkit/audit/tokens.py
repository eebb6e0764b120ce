"""Whether every byte is paid for once: what tokens stand for, on texts that tokenizers get wrong."""

import numpy as np

from evalkit.audit.result import CheckResult, result_of
from evalkit.audit.subject import Subject
from evalkit.audit.texts import nasty_texts, plain_text, sections
from evalkit.errors import LossyTextError
from evalkit.models.protocol import Encoding

_NAME = "every byte is paid for once"
_FAULT = "tokenizer loses bytes"


def check_tokens(subject: Subject) -> CheckResult:
    """Encode nasty texts: tokens tile the bytes, differ where texts do, and mean the same bytes anywhere.

    A text of which a model says itself that it cannot represent it (`LossyTextError`) is no failure: such a
    document is reported and counts nowhere.
    """
    by_ids: dict[tuple[int, ...], str] = {}
    spellings: dict[int, set[bytes]] = {}
    problems: list[str] = []
    num_lossy, texts = 0, [*nasty_texts(), *(section.text for section in sections()), plain_text()]
    for text in texts:
        try:
            encoding = subject.model.encode(text)
        except LossyTextError:
            num_lossy += 1
            continue
        problem = _tiling_problem(encoding, text, subject.model.vocab_size)
        twin = by_ids.setdefault(tuple(np.asarray(encoding.ids).tolist()), text)
        if problem is None and twin != text:
            problem = f"{_shown(text)} and {_shown(twin)} have the same tokens"
        if problem is not None:
            problems.append(problem)
            continue
        _add_spellings(spellings, encoding, text.encode())
    problems += [
        f"token {token} stands for {_shown_bytes(stands_for)}"
        for token, stands_for in spellings.items()
        if len(stands_for) > 1
    ]
    text = f"{len(texts) - num_lossy} texts in tokens that spell them, {num_lossy} refused by the model"
    return result_of(_NAME, len(problems), 0, "; ".join([*problems[:3], text]), _FAULT)


def _tiling_problem(encoding: Encoding, text: str, vocab_size: int) -> str | None:
    ids, ends = np.asarray(encoding.ids), np.asarray(encoding.ends)
    num_bytes = len(text.encode())
    if len(ids) != len(ends):
        return f"{_shown(text)} has {len(ids)} ids and {len(ends)} ends"
    if not len(ids):
        return f"{_shown(text)} has no tokens" if num_bytes else None
    if int(ends[-1]) != num_bytes or ends[0] < 0 or (np.diff(ends) < 0).any():
        return f"the tokens of {_shown(text)} cover {int(ends[-1])} of {num_bytes} bytes"
    if ids.min() < 0 or ids.max() >= vocab_size:
        return f"{_shown(text)} has token {int(ids.max())}, beyond a vocabulary of {vocab_size}"
    return None


def _add_spellings(spellings: dict[int, set[bytes]], encoding: Encoding, data: bytes) -> None:
    """The bytes of each token; a blank more or less at a text's beginning is SentencePiece's."""
    start = 0
    for token, end in zip(encoding.ids.tolist(), encoding.ends.tolist(), strict=True):
        piece = data[start:end]
        if start or not piece:
            spellings.setdefault(token, set()).add(piece)
        start = end


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 24 else text[:24] + "…")


def _shown_bytes(pieces: set[bytes]) -> str:
    return " and ".join(map(repr, sorted(pieces)[:3]))
