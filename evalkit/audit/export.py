"""A fingerprint for ports in any language: the texts, the token ids and the costs that they should have."""

import json
from pathlib import Path

from evalkit.audit.fingerprint import Fingerprint
from evalkit.audit.texts import sections
from evalkit.errors import UsageError
from evalkit.files import atomic_write
from evalkit.models.protocol import TokenModel

_README = """\
# What {name} should cost

Written by evalkit {version} from {loader} weights with SHA-256 {weights}, computed in {dtype}.

1. Encode `texts/SECTION.txt` (UTF-8, to the byte, no special tokens): the ids have to be `ids` of
   `expected/SECTION.json`.
2. Read the prefix {prefix} and then the ids. The cost of each id is -ln of the probability that the model
   gives it after all before it; the prefix is not paid for. It has to be `nats`, within a mean difference of
   {tolerance} nats a token in float32 and {coarse} in bfloat16.
3. `expected/faults.json` has what the first {num_probe} ids of `latin` cost with the mistakes that ports
   make: the costs that yours come closest to name yours.

The texts are the Universal Declaration of Human Rights in ten scripts, which is in the public domain, and
code of evalkit (Apache-2.0).
"""


def check_export_folder(folder: Path) -> None:
    """Refuse a folder that an export would mix with something.

    Raises:
        UsageError: there is something in it, or it is none.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--export {folder} exists and is no empty folder; give another")


def export_fingerprint(model: TokenModel, fingerprint: Fingerprint, folder: Path) -> None:
    """Write the files of a fingerprint.

    Args:
        model: of which it is; its tokenizer gives the ids.
        fingerprint: from `evalkit.audit.fingerprint.fingerprint_of`.
        folder: new or empty.

    Raises:
        UsageError: there is something in the folder, or it is none.
        OSError: it cannot be written.
    """
    check_export_folder(folder)
    texts = {section.name: section.text for section in sections()}
    files: dict[str, str] = {}
    for section in fingerprint.sections:
        ids = model.encode(texts[section.name]).ids.tolist()
        nats = [round(float(cost), 4) for cost in section.costs()]
        files[f"texts/{section.name}.txt"] = texts[section.name]
        files[f"expected/{section.name}.json"] = _json(
            {"ids": ids, "nats": nats, "total_nats": section.total_nats}
        )
    files["expected/faults.json"] = _json(
        {
            "ids": fingerprint.probe.ids,
            "nats": fingerprint.probe.nats,
            "faults": [{"fault": fault.fault, "nats": fault.nats} for fault in fingerprint.faults],
        }
    )
    files["README.md"] = _README.format(
        name=fingerprint.model.name,
        version=fingerprint.evalkit,
        loader=fingerprint.model.loader,
        weights=fingerprint.model.weights_sha256,
        dtype=fingerprint.model.dtype,
        prefix=list(fingerprint.model.prefix_ids),
        tolerance=fingerprint.tolerances["float32"],
        coarse=fingerprint.tolerances["bfloat16"],
        num_probe=len(fingerprint.probe.ids),
    )
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _json(value: object) -> str:
    return json.dumps(value, allow_nan=False) + "\n"
