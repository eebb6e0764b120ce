"""The card (README.md) of a published corpus: metadata that the Hub reads, and a page for people."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from evalkit.corpora.document import UNKNOWN, Corpus, Manifest
from evalkit.corpora.licenses import Terms, may_republish, normalise, terms

if TYPE_CHECKING:
    import jinja2

# What a dataset card may say (the Hub's documentation, "Licenses"); everything else is "other".
_HUB_LICENSES = {
    **{"CC0-1.0": "cc0-1.0", "PDDL-1.0": "pddl", "Unlicense": "unlicense"},
    **{f"CC-BY-{version}": f"cc-by-{version}" for version in ("2.0", "2.5", "3.0", "4.0")},
    **{f"CC-BY-SA-{version}": f"cc-by-sa-{version}" for version in ("3.0", "4.0")},
    **{f"CC-BY-NC-{kind}4.0": f"cc-by-nc-{kind.lower()}4.0" for kind in ("", "SA-", "ND-")},
    **{"MIT": "mit", "Apache-2.0": "apache-2.0", "ISC": "isc", "Zlib": "zlib", "BSL-1.0": "bsl-1.0"},
    **{"BSD-2-Clause": "bsd-2-clause", "BSD-3-Clause": "bsd-3-clause", "PostgreSQL": "postgresql"},
}
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))
_MAX_CELL = 200

_TEMPLATE = """\
# {{ manifest.name }}

{{ manifest.description | cell or "Dated documents for measuring language models in bits per byte." }}

| | |
|---|---|
| documents | {{ "{:,}".format(manifest.num_documents) }} |
| bytes of text (UTF-8) | {{ "{:,}".format(manifest.num_bytes) }} |
| published | {{ dates }} |
{% for name, count in manifest.sources | dictsort -%}
| from {{ name | cell }} | {{ "{:,}".format(count) }} |
{% endfor -%}
| SHA-256 | `{{ manifest.sha256 }}` |

## Use

COMMIT stands for the commit of this repository, 40 hex digits. A published corpus does not change.
{% if num_published %}
The texts of {{ "{:,}".format(num_published) }} documents, whose licenses let anybody publish them:

```python
datasets.load_dataset("{{ repo }}", split="test", revision=COMMIT)
```
{% endif %}
{%- if num_withheld %}
{{ "{:,}".format(num_withheld) }} documents may not be published here. The config `manifest` has their URL, \
date, license, length and the SHA-256 of their text.
{% endif %}
The whole corpus, stored for `evalkit run`; {{ "what is not here is fetched from where it was published, and \
every" if num_withheld else "every" }} text is checked:

```
evalkit corpora rebuild hub:{{ repo }}@COMMIT
```

## Licenses

Every document has its own, in the column `license`; attribution is by `url`, `title` and `license`.
{%- if has_notices %}
A license of programs asks that its notice goes with every copy: the words of license ID stand at \
`https://spdx.org/licenses/ID.html`, who holds the copyright at the document's `url`.
{%- endif %}

| license | documents | with text |
|---|---:|---:|
{% for name, count in total | dictsort -%}
| {{ name | cell }} | {{ "{:,}".format(count) }} | {{ "{:,}".format(with_text[name]) }} |
{% endfor %}
If you hold the rights to a document and want it to be taken out, open a discussion in this repository.

## How it was made

| | |
|---|---|
{% for key, value in manifest.provenance | dictsort -%}
| {{ key | cell }} | {{ value | cell }} |
{% endfor %}
{%- if manifest.num_dropped %}
Left out, and why:

| reason | documents |
|---|---:|
{% for reason, count in manifest.num_dropped | dictsort -%}
| {{ reason | cell }} | {{ "{:,}".format(count) }} |
{% endfor %}
{%- endif %}
`sha256` and `num_bytes` are those of the text in UTF-8, `position` is the document's place in the corpus, \
dates are UTC, `extractor` is what made the text out of the page. `corpus.json` has all of this for programs.
"""

_COLLECTION_TEMPLATE = """\
# {{ repo }}

Corpora of a leaderboard in bits per byte: dated documents, of one source and one window each.

COMMIT stands for the commit of this repository, 40 hex digits. A published corpus does not change; more \
come with time.

All texts of one kind that may be published, and what stands for those that may not (URL, date, license, \
length and SHA-256):

```python
datasets.load_dataset("{{ repo }}", "{{ config }}", split="test", revision=COMMIT)
```

One corpus, stored for `evalkit run`; what is not here is fetched from where it was published, and every \
text is checked:

```
evalkit corpora rebuild hub:{{ repo }}/{{ manifests[0].name | cell }}@COMMIT
```

Every document has its own license, in the column `license`; attribution is by `url`, `title` and `license`. \
A license of programs asks that its notice goes with every copy: the words of license ID stand at \
`https://spdx.org/licenses/ID.html`, who holds the copyright at the document's `url`. If you hold the rights \
to a document and want it to be taken out, open a discussion in this repository.

| corpus | published | documents | with text | bytes of text | SHA-256 |
|---|---|---:|---:|---:|---|
{% for manifest in manifests -%}
| {{ manifest.name | cell }} | {{ manifest.date_from or "" }} to {{ manifest.date_to or "" }} \
| {{ "{:,}".format(manifest.num_documents) }} | {{ "{:,}".format(num_published(manifest)) }} \
| {{ "{:,}".format(manifest.num_bytes) }} | `{{ manifest.sha256[:16] }}` |
{% endfor %}
"""
_DAY = re.compile(r"-\d{4}-\d\d-\d\d")


def dataset_card(corpus: Corpus, repo: str, published: Sequence[bool], file_name: str) -> str:
    """The content of README.md: YAML metadata and Markdown.

    Args:
        corpus: what is published.
        repo: ``OWNER/NAME`` on the Hub.
        published: for every document whether its text is.
        file_name: of the Parquet files in the folders ``data`` and ``manifest``.
    """
    configs: list[dict[str, object]] = [
        {"config_name": name, "data_files": [{"split": "test", "path": f"{folder}/{file_name}"}]}
        for name, folder, has_text in (("default", "data", True), ("manifest", "manifest", False))
        if has_text in published
    ]
    configs[0]["default"] = True
    licenses = {normalise(document.license) or UNKNOWN for document in corpus.documents}
    primary = {re.split("[-_]", document.language or "")[0].lower() for document in corpus.documents}
    languages = sorted(tag for tag in primary if re.fullmatch("[a-z]{2,3}", tag))  # not "simple"
    front = _metadata(corpus.name, licenses, languages, len(corpus.documents), configs)
    return f"---\n{front}\n---\n\n{_page(corpus, repo, published)}"


def collection_card(manifests: Sequence[Manifest], repo: str, file_name: str) -> str:
    """The content of README.md of a repository of several corpora.

    Corpora that are called alike but for their day are one config, which new ones join by their names.

    Args:
        manifests: of all corpora, at least one.
        repo: ``OWNER/NAME`` on the Hub.
        file_name: of the Parquet files in a corpus's folders ``data`` and ``manifest``.
    """
    manifests = sorted(manifests, key=lambda manifest: manifest.name)
    patterns: dict[str, str] = {}
    for manifest in manifests:
        for folder, has_text in (("data", True), ("manifest", False)):
            if has_text in map(may_republish, manifest.licenses):
                kind = _DAY.sub("", manifest.name) + ("" if has_text else "-manifest")
                any_day = _DAY.sub("-????-??-??", manifest.name)
                patterns[kind] = f"{any_day}/{folder}/{file_name}"
    configs: list[dict[str, object]] = [
        {"config_name": kind, "data_files": [{"split": "test", "path": pattern}]}
        for kind, pattern in sorted(patterns.items())
    ]
    licenses = {normalise(name) or UNKNOWN for manifest in manifests for name in manifest.licenses}
    num_documents = sum(manifest.num_documents for manifest in manifests)
    front = _metadata(repo, licenses, None, num_documents, configs)
    page = _environment().from_string(_COLLECTION_TEMPLATE)
    content = page.render(manifests=manifests, repo=repo, config=min(patterns), num_published=_num_published)
    return f"---\n{front}\n---\n\n{content}"


def _num_published(manifest: Manifest) -> int:
    """How many of a corpus's documents anybody may publish."""
    return sum(count for license, count in manifest.licenses.items() if may_republish(license))


def _metadata(
    title: str,
    licenses: Collection[str],
    languages: list[str] | None,
    num_documents: int,
    configs: list[dict[str, object]],
) -> str:
    from huggingface_hub import DatasetCardData

    data = DatasetCardData(
        pretty_name=title,
        license=sorted({_HUB_LICENSES.get(name, "other") for name in licenses}),
        language=languages or None,
        size_categories=[next((name for limit, name in _SIZES if num_documents < limit), "10M<n<100M")],
        task_categories=["text-generation"],
        task_ids=["language-modeling"],
        tags=["evalkit", "evaluation", "bits-per-byte"],
        configs=configs,
    )
    return str(data.to_yaml())


def _page(corpus: Corpus, repo: str, published: Sequence[bool]) -> str:
    total: Counter[str] = Counter()
    with_text: Counter[str] = Counter()
    for document, has_text in zip(corpus.documents, published, strict=True):
        total[document.license or UNKNOWN] += 1
        with_text[document.license or UNKNOWN] += has_text
    manifest = corpus.manifest
    return (
        _environment()
        .from_string(_TEMPLATE)
        .render(
            manifest=manifest,
            repo=repo,
            dates=f"{manifest.date_from} to {manifest.date_to}" if manifest.date_from else "not known",
            num_published=sum(published),
            num_withheld=len(published) - sum(published),
            has_notices=any(Terms.NOTICE in terms(name) for name in with_text if with_text[name]),
            total=total,
            with_text=with_text,
        )
    )


def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, keep_trailing_newline=True)
    environment.filters["cell"] = _cell
    return environment


def _cell(text: str) -> str:
    """A text on one line, without what Markdown tables or HTML would take for theirs."""
    text = " ".join(text.split())
    if len(text) > _MAX_CELL:
        text = f"{text[:_MAX_CELL]}…"
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
