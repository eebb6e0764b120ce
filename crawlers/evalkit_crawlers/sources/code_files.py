"""Which files of a repository are somebody's own writing in a language, and which came from elsewhere.

The names and marks are those of GitHub's linguist, whose lists decide what GitHub's statistics leave out,
cut down to seven languages and to what repositories really hold:

    suffixes     https://github.com/github-linguist/linguist/blob/main/lib/linguist/languages.yml
    vendored     https://github.com/github-linguist/linguist/blob/main/lib/linguist/vendor.yml
    generated    https://github.com/github-linguist/linguist/blob/main/lib/linguist/generated.rb

Linguist itself is Ruby; its port to Python (enry) has had no release for the Pythons that we run on.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from evalkit.corpora import licenses
from evalkit.corpora.licenses import Terms

PERMISSIVE = frozenset({Terms.NOTHING, Terms.ATTRIBUTION, Terms.NOTICE})
"""What a permissive license may ask for: not the same license again."""

VENDORED = "vendored file"
GENERATED = "generated file"
MINIFIED = "minified file"

MAX_MEAN_LINE_CHARACTERS = 110
"""Linguist's limit for scripts: whoever writes for people breaks lines."""


class CodeLanguage(NamedTuple):
    """A language, as a repository shows it."""

    qualifier: str | None
    """Its name in GitHub's search; None where files of any repository are taken."""
    suffixes: tuple[str, ...]
    """Of file names, in lower case."""


LANGUAGES: Mapping[str, CodeLanguage] = {
    "python": CodeLanguage("python", (".py",)),
    "cpp": CodeLanguage("c++", (".cpp", ".cc", ".cxx", ".c++", ".hpp", ".hh", ".hxx", ".h++", ".h", ".ipp")),
    "javascript": CodeLanguage("javascript", (".js", ".mjs", ".cjs", ".jsx")),
    "typescript": CodeLanguage("typescript", (".ts", ".mts", ".cts", ".tsx")),
    "rust": CodeLanguage("rust", (".rs",)),
    "go": CodeLanguage("go", (".go",)),
    # Hardly any repository's main language: prose stands beside code.
    "markdown": CodeLanguage(None, (".md", ".markdown")),
}
"""By the name that a corpus has of it."""

_VENDORED_FOLDERS = re.compile(
    r"(^|/)(vendors?|third[-_]?party|3rd[-_]?party|extern(al)?|node_modules|bower_components|godeps|"
    r"site-packages|dist|cache|\.?venv|virtualenv|pods|carthage|(tests?|specs?)/fixtures|testdata|"
    r"docs?/_?(build|themes?|static)|\.[^/]+)/"
    r"|^(deps|dependencies|build|out|target|env)/",
    re.IGNORECASE,
)
_VENDORED_NAMES = re.compile(
    r"(^|/)((angular|backbone|bootstrap|ckeditor|codemirror|d3|html5shiv|jquery|lodash|mathjax|modernizr|"
    r"mootools|prototype|react|require|tiny_mce|underscore|vue)([-.]v?\d[^/]*)?\.js|jquery\.[^/]+\.js|"
    r"cpplint\.py|versioneer\.py|ez_setup\.py|catch(_amalgamated)?\.hpp|doctest\.h|stb_[^/]*\.h)$",
    re.IGNORECASE,
)
_STANDARD_NAMES = re.compile(r"(^|/)(licen[cs]e|copying|code[-_]of[-_]conduct)[^/]*$", re.IGNORECASE)
_MINIFIED_NAMES = re.compile(r"[-.](min|bundle|prod)\.[cm]?js$", re.IGNORECASE)
_GENERATED_NAMES = re.compile(
    r"(\.d\.[cm]?ts|_pb2(_grpc)?\.py|\.pb(\.gw)?\.go|_grpc\.pb\.go|\.pb\.(cc|h)|_generated\.\w+|"
    r"\.generated\.\w+|\.g\.\w+|/zz_generated[^/]*|bindata\.go|/moc_[^/]*\.cpp|/ui_[^/]*\.h|"
    r"/qrc_[^/]*\.cpp|_version\.py)$",
    re.IGNORECASE,
)
_GENERATED_MARKS = re.compile(
    r"@generated\b|\bdo not (edit|modify)\b|"
    r"^[ \t]*(//+|#+|\*+|/\*+|--+|;+|\"\"\")[ \t!]*(this (file|code|module) (is|was|has been) )?"
    r"(code |(auto(matically)?|machine)[- ]?)?generated\b",
    re.IGNORECASE | re.MULTILINE,
)
_MARK_LINES = 20
_SPDX_TAG = re.compile(r"SPDX-License-Identifier:\s*([^\n*<]+)")
_COPYLEFT = re.compile(
    r"\bGNU (Lesser |Library |Affero )?General\s+Public\s+License\b|\bMozilla\s+Public\s+License\b|"
    r"\ball rights reserved\b[^\n]*\bproprietary\b|\bconfidential and proprietary\b",
    re.IGNORECASE,
)
_COMMENT_MARKS = re.compile(r"(?m)^[ \t]*(//+|#+|\*+|/\*+|;+)[ \t]*")


def is_permissive(license: str | None) -> bool:
    """Whether texts under a license may be republished without taking the license over."""
    terms = licenses.terms(license)
    return bool(terms) and terms <= PERMISSIVE


def reason_of_path(path: str) -> str | None:
    """Why a file is nobody's writing by its name alone; None if nothing speaks against it.

    Args:
        path: inside of the repository, with slashes.
    """
    if _VENDORED_FOLDERS.search(path) or _VENDORED_NAMES.search(path):
        return VENDORED
    if _STANDARD_NAMES.search(path):
        return "license or code of conduct"
    if _MINIFIED_NAMES.search(path):
        return MINIFIED
    return GENERATED if _GENERATED_NAMES.search(f"/{path}") else None


def reason_of_text(text: str, *, is_prose: bool) -> str | None:
    """Why a file is nobody's writing, or not under its repository's license, by what it says.

    Args:
        text: of the file.
        is_prose: lines are paragraphs, which may be long, and may tell of what is generated.
    """
    head = "\n".join(text.split("\n", _MARK_LINES)[:_MARK_LINES])
    tag = _SPDX_TAG.search(head)
    if tag and not is_permissive(tag[1].strip().removesuffix("-->").strip()):
        return "the file states another license"
    if is_prose:
        return None
    if _COPYLEFT.search(" ".join(_COMMENT_MARKS.sub("", head).split())):
        return "the file states another license"
    if _GENERATED_MARKS.search(head):
        return GENERATED
    lines = text.splitlines()
    if sum(map(len, lines)) > MAX_MEAN_LINE_CHARACTERS * len(lines):
        return MINIFIED
    return None
