"""The tokenizer of a checkpoint's folder, read once for as long as its files are the same.

A run identifies a model, loads it and identifies it again, to see that no file has changed meanwhile, and the
checkpoints of a training have one tokenizer. Reading a ``tokenizer.json`` of 33 MB takes seconds each time,
and hashing it a twentieth of one.
"""

import importlib.util
from collections import OrderedDict
from pathlib import Path
from typing import NamedTuple

import transformers

from evalkit.errors import ModelError, first_line
from evalkit.files import file_sha256, parse_json
from evalkit.models.hf.apart import try_once
from evalkit.models.hf.files import TOKENIZER_FILES
from evalkit.models.hf.quiet import quiet
from evalkit.models.hf.tokenizer_bounds import check_tokenizer
from evalkit.models.model_files import combined_sha256, local_file

_SETTINGS_ONLY = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
_CONVERTED = {"tokenizer.model", "spiece.model", "sentencepiece.bpe.model"}
"""Programs of SentencePiece, of which transformers makes a state of the tokenizers library."""
_MOST_KEPT_BYTES = 64 << 20
"""Size of the files whose tokenizers are kept, all together; the last one is kept whatever its size."""


class _Key(NamedTuple):
    """What a tokenizer is made of."""

    digest: str
    """Of the contents of `TOKENIZER_FILES`."""
    config: str | None
    """Of ``config.json``, which says what class transformers would take; None: there is none."""


class _Kept(NamedTuple):
    tokenizer: "transformers.PreTrainedTokenizerBase"
    num_bytes: int


_KEPT: "OrderedDict[_Key, _Kept]" = OrderedDict()
"""The last one used at the end."""


def read_tokenizer(
    folder: Path, name: str, trust_remote_code: bool
) -> "transformers.PreTrainedTokenizerBase":
    """The tokenizer of a folder, as its files say it; to be left as it is, for others get the same.

    Raises:
        ModelError: there are no tokenizer files, or they cannot be read.
    """
    if trust_remote_code:  # what code reads beside them is unknown
        return _read(folder, name, trust_remote_code)
    config = folder / "config.json"
    key = _Key(_digest(folder), file_sha256(config) if config.is_file() else None)
    if key in _KEPT:
        _KEPT.move_to_end(key)
        return _KEPT[key].tokenizer
    tokenizer = _read(folder, name, trust_remote_code)
    if _digest(folder) == key.digest:  # else a file was changed while it was read
        _keep(key, _Kept(tokenizer, sum(path.stat().st_size for path in _files(folder))))
    return tokenizer


def _keep(key: _Key, entry: _Kept) -> None:
    _KEPT[key] = entry
    while len(_KEPT) > 1 and sum(each.num_bytes for each in _KEPT.values()) > _MOST_KEPT_BYTES:
        _KEPT.popitem(last=False)


def _files(folder: Path) -> list[Path]:
    """Those of `TOKENIZER_FILES` that are there."""
    return [path for name in TOKENIZER_FILES if (path := folder / name).is_file()]


def _digest(folder: Path) -> str:
    return combined_sha256(local_file(path) for path in _files(folder))


def _read(folder: Path, name: str, trust_remote_code: bool) -> "transformers.PreTrainedTokenizerBase":
    present = [file for file in TOKENIZER_FILES if (folder / file).is_file()]
    if not set(present).difference(_SETTINGS_ONLY) and not trust_remote_code:
        raise ModelError(
            f"{name}: {folder} has no tokenizer files; put tokenizer.json beside config.json, "
            "or name another tokenizer in the catalog"
        )
    if "tokenizer.json" in present:
        check_tokenizer(folder / "tokenizer.json", name)
    elif not trust_remote_code and importlib.util.find_spec("sentencepiece") is not None:
        for file in sorted(_CONVERTED.intersection(present)):
            try_once(folder / file, name, _tokenizer_of_files, folder, name, present, trust_remote_code)
    return _tokenizer_of_files(folder, name, present, trust_remote_code)


def _tokenizer_of_files(
    folder: Path, name: str, present: list[str], trust_remote_code: bool
) -> "transformers.PreTrainedTokenizerBase":
    settings = {"trust_remote_code": trust_remote_code, "local_files_only": True}
    try:
        with quiet():
            if "tokenizer.json" not in present or (trust_remote_code and _has_own_tokenizer(folder)):
                return transformers.AutoTokenizer.from_pretrained(folder, **settings)
            # Not AutoTokenizer: for many model types it puts its own normaliser and pre-tokenizer in place
            # of those that the checkpoint was made with.
            tokenizer = transformers.PreTrainedTokenizerFast.from_pretrained(folder, **settings)
            if tokenizer.bos_token is None and tokenizer.eos_token is None:  # GPT-2: only its class knows
                named = transformers.AutoTokenizer.from_pretrained(folder, **settings)
                special = set(named.all_special_tokens).intersection(named.get_vocab())
                names = named.special_tokens_map.items()
                tokenizer.add_special_tokens({role: token for role, token in names if str(token) in special})
            return tokenizer
    except Exception as error:  # the library's parser raises nothing more specific
        pieces = [file for file in present if file.endswith(".model")]
        if pieces and "tokenizer.json" not in present and importlib.util.find_spec("sentencepiece") is None:
            raise ModelError(
                f"{name}: {folder} has {pieces[0]} and no tokenizer.json, and sentencepiece, which reads it, "
                "is not installed; pip install sentencepiece, or convert it to a tokenizer.json"
            ) from error
        raise ModelError(f"{name}: the tokenizer in {folder} cannot be read: {first_line(error)}") from error


def _has_own_tokenizer(folder: Path) -> bool:
    path = folder / "tokenizer_config.json"
    return path.is_file() and "auto_map" in parse_json(path.read_text(encoding="utf-8"))
