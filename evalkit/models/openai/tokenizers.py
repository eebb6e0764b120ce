"""The tokenizer of a served model: its files, or a server that says which bytes each token stands for."""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

from evalkit.errors import ModelError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.document_start import SEPARATORS, TokenizerStart
from evalkit.models.llamacpp.pieces import encode_pieces
from evalkit.models.model_files import ModelFile
from evalkit.models.openai.answers import mapping, sequence
from evalkit.models.openai.client import Client
from evalkit.models.openai.preflight import NATURAL_TEXT, UNLIKELY_TEXT
from evalkit.models.protocol import Encoding
from evalkit.models.targets import is_repository


class ServedTokenizer(NamedTuple):
    """How a served model cuts texts."""

    encode: Callable[[str], Encoding]
    start: TokenizerStart
    """What it says of the tokens before a document."""
    sha256: str
    """Digest of its files, or of what it makes of a few texts."""
    vocab_size: int
    files: tuple[ModelFile, ...] = ()
    revision: str | None = None
    """Commit of the repository of the files."""
    texts: Callable[[], Mapping[int, str]] = dict
    """Of the tokens that stand for whole characters, where the files say it."""


def tokenizer_of_files(place: str, name: str) -> ServedTokenizer:
    """The tokenizer of a folder or a repository.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    from evalkit.models.hf.files import CheckpointFolder, small_files
    from evalkit.models.hf.prefixes import tokenizer_start
    from evalkit.models.hf.token_bytes import TokenBytes
    from evalkit.models.hf.tokenizer_files import read_tokenizer

    folder, snapshot = small_files(place, "main", name)
    checkpoint = CheckpointFolder(folder, snapshot)
    sha256, files = checkpoint.tokenizer_sha256(), tuple(checkpoint.tokenizer_files())
    tokenizer = read_tokenizer(folder, name, trust_remote_code=False)
    token_bytes = TokenBytes(tokenizer, name)
    vocab_size = max(token_bytes.num_ids, len(tokenizer))
    return ServedTokenizer(
        token_bytes.encode,
        tokenizer_start(tokenizer, folder),
        sha256,
        vocab_size,
        files,
        None if snapshot is None else snapshot.commit,
        token_bytes.texts,
    )


def tokenizer_place(entry: CatalogEntry, served: Mapping[str, object]) -> str:
    """Where a served model's tokenizer is: as the user says, else the repository that the server names.

    Raises:
        ModelError: nobody says it.
    """
    if entry.tokenizer:
        return entry.tokenizer
    for stated in (served.get("root"), served.get("id")):
        # A folder of the server's own may be something else on this machine.
        if isinstance(stated, str) and is_repository(stated):
            return stated
    raise ModelError(
        f"{entry.name}: nothing says which tokenizer the served model has; give its folder or repository: "
        "openai:http://HOST:PORT/v1?tokenizer=PLACE#MODEL"
    )


class LlamaCppTokenizer:
    """The tokenizer of llama.cpp's server, asked for each text: it says the bytes of every token."""

    def __init__(self, client: Client) -> None:
        """Ask nothing yet.

        Args:
            client: of the server.
        """
        self._client, self._name = client, client.name

    def encode(self, text: str) -> Encoding:
        """Tokens of a text, without special tokens.

        Raises:
            LossyTextError: they do not decode to the text's bytes.
            ModelError: the server does not say them.
        """
        return encode_pieces(text, self._tokenize, self._name)

    def served(self, properties: Mapping[str, object], vocab_size: int) -> ServedTokenizer:
        """The tokenizer with what the server says of it.

        Args:
            properties: what the server has under ``/props``.
            vocab_size: number of its tokens.

        Raises:
            ModelError: the server does not say what it does with a text.
        """
        template, _ = self._tokenize("", adds_special=True)
        special_ids = {
            rule: self._special_id(str(properties.get(f"{rule}_token") or "")) for rule in ("bos", "eos")
        }
        names = {
            token: text
            for text in [*SEPARATORS, *(str(properties.get(f"{rule}_token") or "") for rule in special_ids)]
            if (token := self._special_id(text)) is not None
        }
        seen = [self._tokenize(text) for text in (NATURAL_TEXT, UNLIKELY_TEXT, "naïve 漢字 🙂\r\n")]
        digest = hashlib.sha256(json.dumps([ids for ids, _ in seen]).encode()).hexdigest()
        chat_template = json.dumps(str(properties.get("chat_template") or ""), ensure_ascii=False)
        return ServedTokenizer(
            self.encode,
            TokenizerStart(tuple(template), special_ids, names, chat_template),
            f"llama.cpp's, of {vocab_size} tokens, {digest[:16]}",
            vocab_size,
        )

    def _special_id(self, text: str) -> int | None:
        """The id of a special token by its name; None where the vocabulary has none of the name."""
        if not text:
            return None
        ids, _ = self._tokenize(text, parses_special=True)
        is_special = len(ids) == 1 and ids != self._tokenize(text)[0]
        return ids[0] if is_special else None

    def _tokenize(
        self, text: str, *, adds_special: bool = False, parses_special: bool = False
    ) -> tuple[list[int], list[bytes]]:
        body = {
            "content": text,
            "add_special": adds_special,
            "parse_special": parses_special,
            "with_pieces": True,
        }
        answer = self._client.post(f"{self._client.address.root_url}/tokenize", body)
        ids, pieces = [], []
        for entry in sequence(mapping(answer).get("tokens")):
            token, piece = mapping(entry).get("id"), mapping(entry).get("piece")
            if not isinstance(token, int):
                raise ModelError(f"{self._name}: the server does not say the bytes of its tokens (/tokenize)")
            ids.append(token)
            pieces.append(_bytes_of(piece))
        return ids, pieces


def _bytes_of(piece: object) -> bytes:
    """A token's bytes: a text, or a list of numbers where they are no text."""
    if isinstance(piece, str):
        return piece.encode()
    return bytes(value for value in sequence(piece) if isinstance(value, int) and 0 <= value < 256)
