"""Writes pages and data: templates with style and scripts inside them, and scripts that hold data."""

import base64
import builtins
import hashlib
import importlib.resources
import itertools
import json
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.analysis.cutoff import MARKS
from evalkit.analysis.estimates import NUM_NEIGHBORS
from evalkit.analysis.results import LeftOut
from evalkit.analysis.site_listing import SITE_LISTING, SiteListing, listing_text
from evalkit.audit.result import ModelAudit
from evalkit.files import naming
from evalkit.report.preview import CARD_FILE, HEIGHT, WIDTH
from evalkit.report.text import number, parameters, visible, web_link

if TYPE_CHECKING:
    import jinja2

_STYLE = "style.css"
LOSSY_MARK = (
    "some documents left out, for the model's tokens do not decode to their bytes or their texts were not at "
    "hand"
)
PROOF_MARK = "documents of it were coded by the model and decoded again to the last bit"
AUDIT_MARK = "the model failed its audit, and was scored all the same"
LITERAL_MARK = (
    "some documents spelled as they stand, for the tokens its tokenizer gives lose something of them"
)


# Three bars of a board, in a colour that is seen on light and dark.
_ICON = "data:image/svg+xml," + urllib.parse.quote(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="#3b8bd6" '
    'd="M1 2h6v3H1zM1 6.5h10v3H1zM1 11h14v3H1z"/></svg>',
    safe=":/='",
)


class Provenance(NamedTuple):
    """What the footer says: no time of building, so that two builds are the same."""

    version: str
    git: object
    """Of the checkout that builds the site."""
    scored_at: Sequence[str]
    """Commits that cells were scored at."""
    num_cells: int
    corpora: Sequence[tuple[str, str]]
    """Label and digest."""
    left_out: Sequence[LeftOut]
    audits: Sequence[ModelAudit] = ()
    """Those that are kept with the cells; they have a page."""


class Writer:
    """Writes pages and data under one folder and remembers what it wrote."""

    def __init__(
        self,
        folder: Path,
        title: str,
        provenance: Provenance,
        *,
        has_plots: bool,
        has_training: bool = False,
        docs_link: str | None = None,
        address: str | None = None,
    ) -> None:
        self.folder = folder
        self.title = title
        self.audits = provenance.audits
        self._digests: dict[str, str] = {}
        self._environment = _templates()
        self._environment.globals |= {
            "site_title": title,
            "site_description": "How many bits models need for each byte of dated text; lower is better.",
            "provenance": provenance,
            "has_plots": has_plots,
            "has_training": has_training,
            "docs_link": docs_link,
            "address": address,
            "card_file": CARD_FILE,
            "card_size": (WIDTH, HEIGHT),
            "num_neighbors": NUM_NEIGHBORS,
            "marks": {"*": LOSSY_MARK, "‡": LITERAL_MARK, "✓": PROOF_MARK, "⚠": AUDIT_MARK, **MARKS},
        }

    def page(self, path: str, template: str, scripts: Sequence[str] = (), **values: object) -> None:
        """Render a template into a page, style and scripts inside it.

        Args:
            path: relative to the site.
            template: a file of `templates`.
            scripts: files of `static`, in this order.
            values: for the template.
        """
        import markupsafe

        style = _static(_STYLE)
        script = "\n".join(_static(name) for name in ["common.js", *scripts])
        policy = (
            "default-src 'none'; img-src 'self' file: data:; base-uri 'none'; form-action 'none'; "
            f"style-src {_hash(style)}; script-src 'self' file: {_hash(script)}"
        )
        text = self._environment.get_template(template).render(
            root="../" * path.count("/"),
            path=path,
            style=markupsafe.Markup(style),
            script=markupsafe.Markup(script),
            content_security_policy=markupsafe.Markup(policy),
            **values,
        )
        self.text(path, text)

    def data(self, path: str, value: object) -> None:
        """A script that hands data to the page that loads it: pages opened as files cannot fetch JSON.

        Args:
            path: relative to the site.
            value: what JSON can hold; of a mapping's values that are iterators one part after the other.
        """
        parts = itertools.chain([f"evalkitData({json.dumps(path)},"], _encoded(value), [");\n"])
        self._write(path, (part.encode("utf-8") for part in parts))

    def text(self, path: str, content: str) -> None:
        """Write a file."""
        self.bytes(path, content.encode("utf-8"))

    def bytes(self, path: str, content: bytes) -> None:
        """Write a file."""
        self._write(path, [content])

    def _write(self, path: str, parts: "Iterable[builtins.bytes]") -> None:
        assert path not in self._digests, path
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        with naming(target), target.open("wb") as file:
            for part in parts:
                file.write(part)
                digest.update(part)
        self._digests[path] = digest.hexdigest()

    def finish(self) -> dict[str, str]:
        """Write the listing; returns the digest of every file."""
        listing = listing_text(SiteListing(self._digests))
        (self.folder / SITE_LISTING).write_text(listing, encoding="utf-8")
        return self._digests


def standalone_page(template: str, scripts: Sequence[str] = (), **values: object) -> str:
    """A page that belongs to no site, its style and scripts inside it.

    Args:
        template: a file of `templates`.
        scripts: files of `static`, in this order; they may ask the server that the page came from.
        values: for the template.
    """
    import markupsafe

    style = _static(_STYLE)
    policy = f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src {_hash(style)}"
    script = "\n".join(map(_static, scripts))
    if scripts:
        policy += f"; script-src {_hash(script)}; connect-src 'self'; img-src data:"
    return (
        _templates()
        .get_template(template)
        .render(
            style=markupsafe.Markup(style),
            script=markupsafe.Markup(script),
            content_security_policy=markupsafe.Markup(policy),
            **values,
        )
    )


def _templates() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("evalkit.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"web_link": web_link, "icon": _ICON}
    environment.filters |= {
        "number": number,
        "parameters": parameters,
        "commas": lambda count: f"{count:,}",
        "percent": lambda share: f"{share:.2%}",
    }
    return environment


def _encoded(value: object) -> Iterator[str]:
    """JSON for a script, in parts."""
    if isinstance(value, Iterator):
        yield "["
        for number, part in enumerate(value):
            yield ("," if number else "") + _json(part)
        yield "]"
    elif isinstance(value, Mapping) and any(isinstance(part, Iterator) for part in value.values()):
        for number, name in enumerate(sorted(value)):
            yield f"{',' if number else '{'}{_json(name)}:"
            yield from _encoded(value[name])
        yield "}"
    else:
        yield _json(value)


def _json(value: object) -> str:
    encoded = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), sort_keys=True)
    # Line ends to JavaScript before 2019, and what would matter if somebody inlined the file.
    for character in "\u2028\u2029<":
        encoded = encoded.replace(character, f"\\u{ord(character):04x}")
    return encoded


def shown_deep(value: object) -> object:
    """The value with `visible` applied to every text in it, keys aside."""
    if isinstance(value, str):
        return visible(value)
    if isinstance(value, Mapping):
        return shown_fields(value)
    if isinstance(value, list | tuple):
        return [shown_deep(part) for part in value]
    return value


def shown_fields(fields: Mapping[str, object]) -> dict[str, object]:
    """`shown_deep` of each of the fields."""
    return {name: shown_deep(value) for name, value in fields.items()}


def _shown(value: object) -> object:
    """What a template puts in place of a value: jinja2 calls it for every expression."""
    import markupsafe

    if value is None:
        return "–"
    return visible(value) if isinstance(value, str) and not isinstance(value, markupsafe.Markup) else value


def _static(name: str) -> str:
    text = importlib.resources.files("evalkit.report").joinpath("static", name).read_text(encoding="utf-8")
    assert "</" not in text, f"{name} would end the element that it is put into"
    return text


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode()
    return f"'sha256-{digest}'"
