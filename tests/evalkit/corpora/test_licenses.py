"""Licenses: names and addresses as SPDX expressions, and the one rule for what may be republished."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.corpora.document import make_corpus, make_document
from evalkit.corpora.licenses import (
    ARXIV_LICENSE,
    PUBLIC_DOMAIN,
    TERMS,
    Terms,
    may_republish,
    normalise,
    terms,
)
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.published import read_dataset
from evalkit.report.explorer_data import document_data, label_of


@pytest.mark.parametrize(
    ("written", "spdx", "allowed"),
    [
        # As OAI-PMH's arXiv format, feeds, MediaWiki's rightsinfo and pages write them.
        ("http://creativecommons.org/licenses/by/4.0/", "CC-BY-4.0", True),
        ("https://creativecommons.org/licenses/by-sa/4.0/deed.fr", "CC-BY-SA-4.0", True),
        ("//creativecommons.org/licenses/by/2.5/", "CC-BY-2.5", True),
        ("https://www.creativecommons.org/licenses/by/3.0/us/", "CC-BY-3.0-US", True),
        ("https://creativecommons.org/licenses/by/3.0/es/deed.es", "CC-BY-3.0", True),
        ("http://creativecommons.org/licenses/by-nc-sa/4.0/", "CC-BY-NC-SA-4.0", False),
        ("http://creativecommons.org/licenses/by-nc-nd/4.0/", "CC-BY-NC-ND-4.0", False),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0", True),
        ("https://creativecommons.org/publicdomain/mark/1.0/", "CC-PDM-1.0", True),
        ("http://creativecommons.org/licenses/publicdomain/", "CC-PDDC", True),
        ("http://arxiv.org/licenses/nonexclusive-distrib/1.0/", ARXIV_LICENSE, False),
        ("https://spdx.org/licenses/CC-BY-SA-4.0.html", "CC-BY-SA-4.0", True),
        ("https://spdx.org/licenses/MIT", "MIT", True),
        ("https://opensource.org/licenses/BSD-3-Clause", "BSD-3-Clause", True),
        ("https://opensource.org/license/mit", "MIT", True),
        ("http://www.apache.org/licenses/LICENSE-2.0.txt", "Apache-2.0", True),
        ("Creative Commons Attribution-Share Alike 4.0", "CC-BY-SA-4.0", True),
        ("Creative Commons Attribution-ShareAlike 4.0 International License", "CC-BY-SA-4.0", True),
        ("CC BY-SA 4.0", "CC-BY-SA-4.0", True),
        ("cc-by-nc-4.0", "CC-BY-NC-4.0", False),
        ("CC_BY 2.5", "CC-BY-2.5", True),
        ("CC-BY-3.0-ES", "CC-BY-3.0", True),  # SPDX lists no Spanish one
        ("cc-by-sa-3.0-de", "CC-BY-SA-3.0-DE", True),
        ("Public domain", PUBLIC_DOMAIN, True),
        ("licenseref-public-domain", PUBLIC_DOMAIN, True),
        ("CC0", "CC0-1.0", True),
        ("CC BY", None, False),  # which version?
        ("CC-BY-ND-4.0", "CC-BY-ND-4.0", False),
        ("CC-BY-NC-SA-3.0-DE", "CC-BY-NC-SA-3.0-DE", False),
        # Licenses of programs.
        ("MIT", "MIT", True),
        ("mit", "MIT", True),
        ("MIT License", "MIT", True),
        ("Apache 2.0", "Apache-2.0", True),
        ("Apache License, Version 2.0", "Apache-2.0", True),
        ("PSF-2.0", "PSF-2.0", True),
        ("GPL-3.0-only", "GPL-3.0-only", False),
        # Deprecated identifiers are the ones that took their place.
        ("GPL-2.0+", "GPL-2.0-or-later", False),
        ("BSD-2-Clause-FreeBSD", "BSD-2-Clause-Views", True),
        ("BSD-2-Clause-NetBSD", "BSD-2-Clause", True),
        # Expressions.
        ("(MIT OR proprietary)", None, True),
        ("mit or gpl-2.0", "MIT OR GPL-2.0-only", True),
        ("MIT AND Apache-2.0", "MIT AND Apache-2.0", True),
        ("MIT AND proprietary", None, False),
        ("MIT AND (GPL-2.0-only OR CC-BY-4.0)", "MIT AND (GPL-2.0-only OR CC-BY-4.0)", True),
        ("MIT AND GPL-2.0-only OR CC-BY-NC-4.0", "(MIT AND GPL-2.0-only) OR CC-BY-NC-4.0", False),
        ("CC BY-SA 3.0 OR GFDL", None, True),
        ("Apache-2.0+", None, True),
        ("apache-2.0 with llvm-exception", "Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0 OR MIT", None, True),
        ("MIT WITH Commons-Clause", None, False),  # not an exception: it takes the right to sell away
        ("MIT WITH MIT", None, False),
        ("LLVM-exception", "LLVM-exception", False),
        ("LicenseRef-mine", None, False),
        ("DocumentRef-spdx:LicenseRef-public-domain", None, False),
        # What is no license.
        ("permissive, by package", None, False),
        ("submitted under MIT-like terms", None, False),
        ("All rights reserved or MIT", None, False),
        ("\u00a9 2026 The Harbour Times", None, False),
        ("https://news.example/terms", None, False),
        ("https://evil.example/?creativecommons.org/licenses/by/4.0/", None, False),
        ("https://creativecommons.org.evil.example/licenses/by/4.0/", None, False),
        ("https://spdx.org/licenses/nothing", None, False),
        ("http://[", None, False),
        ("unknown", None, False),
        ("NOASSERTION", None, False),
        ("M\u0406T", None, False),  # a Ukrainian I
        ("MIT\x00", None, False),
        ("MIT MIT", None, False),
        ("MIT OR", None, False),
        ("OR", None, False),
        ("((MIT)", None, False),
        ("()", None, False),
        ("\ud800 OR", None, False),
        ("(" * 400 + "MIT" + ")" * 400, "MIT", True),
        ("(" * 100_000 + "MIT" + ")" * 100_000, None, False),
        ("MIT OR " * 100_000 + "MIT", None, False),
    ],
    ids=lambda value: str(value)[:40].encode("ascii", "backslashreplace").decode() or "empty",
)
def test_licenses(written: str, spdx: str | None, allowed: bool) -> None:
    normal = normalise(written)
    if spdx is not None:
        assert normal == spdx
    assert normalise(normal) == normal
    assert may_republish(written) is allowed
    assert may_republish(normal) is allowed
    assert bool(terms(written)) is allowed


@pytest.mark.parametrize("license", [None, "", " ", "\t\n"])
def test_no_license_is_none(license: str | None) -> None:
    assert normalise(license) is None
    assert not may_republish(license)
    assert terms(license) == frozenset()


def test_what_the_parts_of_an_expression_ask_for() -> None:
    assert terms("MIT AND CC-BY-SA-3.0-DE") == {Terms.NOTICE, Terms.SHARE_ALIKE}
    assert terms("CC0-1.0 OR GPL-3.0-only") == {Terms.NOTHING}
    assert terms("MIT AND GPL-3.0-only") == frozenset()


def test_every_listed_identifier_is_one_of_spdx_or_a_reference() -> None:
    from license_expression import get_spdx_licensing

    symbols = get_spdx_licensing().known_symbols
    unlisted = {identifier for identifier in TERMS if identifier not in symbols}
    # The versions of CC BY and CC BY-SA are taken together; 2.1 was Japan's alone.
    assert unlisted == {PUBLIC_DOMAIN, "CC-BY-2.1", "CC-BY-SA-2.1"}
    assert not any(symbols[identifier].is_exception for identifier in set(TERMS) - unlisted)


OPERANDS = {
    "MIT": True,
    "CC-BY-SA-4.0": True,
    "LicenseRef-public-domain": True,
    "Apache-2.0 WITH LLVM-exception": True,
    "GPL-3.0-only": False,
    "CC-BY-NC-4.0": False,
    "LicenseRef-mine": False,
    "GPL-2.0-only WITH Classpath-exception-2.0": False,
}
Tree = str | tuple[str, list["Tree"]]
TREES: st.SearchStrategy[Tree] = st.recursive(
    st.sampled_from(sorted(OPERANDS)),
    lambda trees: st.tuples(st.sampled_from(["OR", "AND"]), st.lists(trees, min_size=2, max_size=3)),
    max_leaves=12,
)


def written(tree: Tree) -> str:
    if isinstance(tree, str):
        return tree
    operator, parts = tree
    return "(" + f" {operator} ".join(map(written, parts)) + ")"


def allowed_by(tree: Tree) -> bool:
    if isinstance(tree, str):
        return OPERANDS[tree]
    operator, parts = tree
    return (any if operator == "OR" else all)([allowed_by(part) for part in parts])


@settings(deadline=None)
@given(TREES)
def test_expressions_mean_what_their_operators_say(tree: Tree) -> None:
    assert may_republish(written(tree)) is allowed_by(tree)
    assert may_republish(written(tree).lower()) is allowed_by(tree)


@settings(max_examples=500, deadline=None)
@given(st.text() | st.text(alphabet="MIT ORANDWITH()+-.:/\n", max_size=60))
def test_any_text_is_answered(text: str) -> None:
    normal = normalise(text)
    assert normalise(normal) == normal
    assert may_republish(text) is may_republish(normal)


@pytest.mark.parametrize(
    "license", ["MIT", "Apache-2.0", "CC-BY-4.0", "CC-BY-NC-4.0", "MIT AND CC-BY-NC-4.0"]
)
def test_datasets_and_the_explorer_agree(license: str, tmp_path: Path) -> None:
    """What a dataset publishes is what the explorer shows."""
    document = make_document(
        "A text.",
        source="code",
        url="https://code.example/1",
        title="A title",
        published_at="2026-11-01",
        license=license,
    )
    prepared = prepare_dataset(make_corpus("code", [document]), "me/code", tmp_path / "dataset")
    published = read_dataset(prepared.folder).documents
    shown = document_data(document)
    assert [published_document.text for published_document in published.values()] == (
        [shown["text"]] if shown["text"] else []
    )
    assert bool(published) is may_republish(license)
    assert label_of(document) == ("A title" if published else document.id)


def test_a_dataset_of_programs_says_where_the_notices_are(tmp_path: Path) -> None:
    documents = [
        make_document(f"text {license}", source="code", published_at="2026-11-01", license=license)
        for license in ("MIT", "CC-BY-4.0", "PDDL-1.0")
    ]
    cards = [
        (
            prepare_dataset(make_corpus("code", part), "me/code", tmp_path / str(len(part))).folder
            / "README.md"
        )
        for part in (documents, documents[1:])
    ]
    pages = [card.read_text(encoding="utf-8") for card in cards]
    assert ["https://spdx.org/licenses/ID.html" in page for page in pages] == [True, False]
    assert ["- mit\n" in page for page in pages] == [True, False]
    assert all("- pddl\n" in page for page in pages)
