"""The ``codec`` loader: classical compressors, the baselines that no leak can help.

Each document is compressed alone, at the strongest setting, and the code is as long as it must be for
the document to be decoded by someone who knows the codec: container magic, checksums and stored lengths
are left out, as they are for language models.
"""

import hashlib
import importlib.metadata
import json

from evalkit.errors import ModelError
from evalkit.models.catalog import CatalogEntry
from evalkit.models.codecs import CODECS
from evalkit.models.protocol import LoadOptions, ModelIdentity


class ClassicalCodec:
    """A compressor as `evalkit.models.protocol.Codec`."""

    def __init__(self, name: str, identity: ModelIdentity) -> None:
        """Take a compressor by its name, one of `evalkit.models.codecs.CODECS`."""
        self.identity = identity
        self._compressor = CODECS[name]

    def encode(self, data: bytes) -> bytes:
        """The code of a document, from which `decode` makes it again."""
        return self._compressor.encode(data)

    def decode(self, code: bytes, num_bytes: int) -> bytes:
        """The document of ``num_bytes`` bytes that a code stands for."""
        return self._compressor.decode(code, num_bytes)

    def code_length_bytes(self, data: bytes) -> int:
        """Length of the document's code, without what the codec's file format adds."""
        return len(self.encode(data))


def identify(entry: CatalogEntry, _: LoadOptions) -> ModelIdentity:
    """The codec's name, settings and library version.

    Raises:
        ModelError: no such codec.
    """
    if entry.target not in CODECS:
        raise ModelError(f"{entry.name}: no codec {entry.target!r}; there are {', '.join(CODECS)}")
    compressor = CODECS[entry.target]
    version = "" if compressor.package == "python" else importlib.metadata.version(compressor.package)
    described = json.dumps([entry.target, compressor.settings, compressor.package, version])
    return ModelIdentity(
        name=entry.name,
        loader="codec",
        revision=None,
        weights_sha256=hashlib.sha256(described.encode()).hexdigest(),
        tokenizer_sha256="none",
        prefix="none",
        dtype="none",
        context_limit=None,
        details={"settings": compressor.settings, "library": f"{compressor.package} {version}".strip()},
    )


def load(entry: CatalogEntry, options: LoadOptions) -> ClassicalCodec:
    """The codec that an entry's target names, ready to compress.

    Raises:
        ModelError: no such codec.
    """
    return ClassicalCodec(entry.target, identify(entry, options))
