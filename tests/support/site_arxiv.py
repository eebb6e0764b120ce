"""arXiv as far as a crawler sees it: its OAI-PMH server, and papers as LaTeXML writes them.

The OAI-PMH answers have the form of arXiv's server (github.com/arXiv/oaipmh: templates, limits, the sorting
by day and id, tokens that are a query and name the last day). The pages have the markup of arxiv.org/html
(LaTeXML 0.8.8), and every one comes with the words its author wrote, so that a reader can be measured.
"""

import dataclasses
import datetime as dt
from collections.abc import Callable, Sequence
from html import escape
from urllib.parse import parse_qs, quote, unquote, urlencode

from tests.support.replay import Reply, Request, Site

ARXIV_HOSTS = ("oaipmh.arxiv.org", "arxiv.org")
CC_BY = "http://creativecommons.org/licenses/by/4.0/"
CC_BY_NC_ND = "http://creativecommons.org/licenses/by-nc-nd/4.0/"
ARXIV_ONLY = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"
LABELS = {
    None: "No License",
    CC_BY: "License: CC BY 4.0",
    CC_BY_NC_ND: "License: CC BY-NC-ND 4.0",
    ARXIV_ONLY: "License: arXiv.org perpetual non-exclusive license",
}
GROUPS = {"cs": "cs", "math": "math", "stat": "stat", "eess": "eess", "q-bio": "q-bio", "econ": "econ"}


@dataclasses.dataclass(frozen=True)
class Part:
    """A piece of a page: its markup, and the words in it that a reader of the paper reads."""

    html: str
    text: str


def words(text: str) -> Part:
    return Part(escape(text, quote=False), text)


def math(tex: str, *, display: str = "inline", annotated: bool = True) -> Part:
    symbols = "".join(f"<mi>{escape(letter)}</mi>" for letter in tex if letter.isalpha())
    presentation = f"<mrow><mo>⁢</mo>{symbols}<mspace width='0.2em'></mspace></mrow>"
    source = escape(tex)
    inside = (
        f'<semantics>{presentation}<annotation encoding="application/x-tex">{source}</annotation>'
        f'<annotation encoding="application/x-llamapun">{symbols}</annotation></semantics>'
        if annotated
        else presentation
    )
    return Part(f'<math alttext="{source}" class="ltx_Math" display="{display}">{inside}</math>', tex)


def emph(text: str) -> Part:
    return Part(f'<em class="ltx_emph ltx_font_italic">{escape(text)}</em>', text)


def cite(text: str, number: int = 1) -> Part:
    link = f'<a class="ltx_ref" href="#bib.bib{number}" title="">{escape(text)}</a>'
    return Part(f'<cite class="ltx_cite ltx_citemacro_citep">({link})</cite>', f"({text})")


def footnote(content: Part, number: int = 1) -> Part:
    mark = f'<sup class="ltx_note_mark">{number}</sup>'
    return Part(
        f'<span class="ltx_note ltx_role_footnote" id="footnote{number}">{mark}<span class="ltx_note_outer">'
        f'<span class="ltx_note_content">{mark}<span class="ltx_tag ltx_tag_note">{number}</span>'
        f"{content.html}</span></span></span>",
        f" {content.text} ",
    )


def unknown_macro(name: str) -> Part:
    return Part(f'<span class="ltx_ERROR undefined">\\{name}</span>', "")


def line(*inlines: Part | str) -> Part:
    parts = [words(inline) if isinstance(inline, str) else inline for inline in inlines]
    return Part("".join(part.html for part in parts), "".join(part.text for part in parts))


def blocks(*parts: Part) -> Part:
    return Part("\n".join(part.html for part in parts), "\n".join(part.text for part in parts))


def paragraph(*inlines: Part | str) -> Part:
    inner = line(*inlines)
    return Part(
        f'<div class="ltx_para">\n<p class="ltx_p">{inner.html}</p>'
        f'<button class="sr-only button" style="display: none;">Report issue for preceding element</button>\n'
        "</div>",
        inner.text,
    )


def section(number: str, title: str, *parts: Part, kind: str = "section") -> Part:
    level = {"section": 2, "subsection": 3, "appendix": 2}[kind]
    heading = Part(
        f'<h{level} class="ltx_title ltx_title_{kind}">\n<span class="ltx_tag ltx_tag_{kind}">'
        f"{number} </span>{escape(title)}</h{level}>",
        f"{number} {title}",
    )
    inner = blocks(heading, *parts)
    return Part(f'<section class="ltx_{kind}" id="S{number}">\n{inner.html}\n</section>', inner.text)


def equation(tex: str, number: int | None = None) -> Part:
    return _equations(f'class="ltx_equation ltx_eqn_table" id="S0.E{number}"', [[(tex, "block")]], number)


def align(rows: Sequence[Sequence[str]], number: int) -> Part:
    cells = [[(rf"\displaystyle {tex}", "inline") for tex in row] for row in rows]
    return _equations('class="ltx_equationgroup ltx_eqn_align ltx_eqn_table"', cells, number)


def _equations(attributes: str, rows: list[list[tuple[str, str]]], number: int | None) -> Part:
    html, text = "", []
    for index, row in enumerate(rows):
        cells = "".join(
            f'<td class="ltx_td ltx_eqn_cell">{math(tex, display=display).html}</td>' for tex, display in row
        )
        tag = f"({number + index})" if number is not None else ""
        eqno = (
            '<td class="ltx_eqn_cell ltx_eqn_eqno ltx_align_middle ltx_align_right" rowspan="1">'
            f'<span class="ltx_tag ltx_tag_equation ltx_align_right">{tag}</span></td>'
            if tag
            else ""
        )
        html += (
            '<tr class="ltx_equation ltx_eqn_row ltx_align_baseline">\n'
            f'<td class="ltx_eqn_cell ltx_eqn_center_padleft"></td>\n{cells}\n'
            f'<td class="ltx_eqn_cell ltx_eqn_center_padright"></td>\n{eqno}</tr>\n'
        )
        text.append(" ".join(tex.removeprefix(r"\displaystyle ") for tex, _ in row) + f" {tag}")
    return Part(f"<table {attributes}>\n<tbody>{html}</tbody>\n</table>", "\n".join(text))


def itemize(*items: Part, tags: Sequence[str] | None = None) -> Part:
    html, text = "", []
    for tag, item in zip(tags or ["•"] * len(items), items, strict=True):
        html += (
            '<li class="ltx_item" style="list-style-type:none;">\n'
            f'<span class="ltx_tag ltx_tag_item">{tag}</span>\n{item.html}\n</li>\n'
        )
        text.append(f"{tag} {item.text}")
    return Part(f'<div class="ltx_para">\n<ul class="ltx_itemize">\n{html}</ul>\n</div>', "\n".join(text))


def theorem(label: str, statement: Part) -> Part:
    return Part(
        '<div class="ltx_theorem ltx_theorem_theorem">\n<h6 class="ltx_title ltx_runin ltx_title_theorem">\n'
        f'<span class="ltx_tag ltx_tag_theorem"><span class="ltx_text ltx_font_bold">{label}</span></span>'
        f'<span class="ltx_text ltx_font_bold">.</span>\n</h6>\n{statement.html}\n</div>',
        f"{label}. {statement.text}",
    )


def figure(number: int, caption: str) -> Part:
    return Part(
        f'<figure class="ltx_figure" id="S1.F{number}"><img alt="Refer to caption" class="ltx_graphics '
        f'ltx_centering" height="102" id="S1.F{number}.g1" src="x{number}.png" width="299"/>\n'
        f'<svg class="ltx_picture" height="9"><g><foreignObject>tikz</foreignObject></g></svg>\n'
        f'<figcaption class="ltx_caption ltx_centering"><span class="ltx_tag ltx_tag_figure">Figure '
        f"{number}: </span>{escape(caption)}</figcaption>\n</figure>",
        f"Figure {number}: {caption}",
    )


def table(number: int, caption: str, rows: Sequence[Sequence[Part | str]]) -> Part:
    lines = [[line(cell) for cell in row] for row in rows]
    head, *body = [
        "".join(
            f'<{tag} class="ltx_td ltx_align_center"><span class="ltx_text">{cell.html}</span></{tag}>'
            for cell in row
        )
        for tag, row in zip(["th"] + ["td"] * len(lines), lines, strict=False)
    ]
    html = (
        f'<table class="ltx_tabular ltx_centering ltx_guessed_headers ltx_align_middle">\n'
        f'<thead class="ltx_thead"><tr class="ltx_tr">{head}</tr></thead>\n<tbody class="ltx_tbody">'
        + "\n".join(f'<tr class="ltx_tr">{row}</tr>' for row in body)
        + "</tbody>\n</table>"
    )
    text = "\n".join(" ".join(cell.text for cell in row) for row in lines)
    return Part(
        f'<figure class="ltx_table" id="S1.T{number}">\n<figcaption class="ltx_caption"><span class="ltx_tag '
        f'ltx_tag_table">Table {number}: </span>{escape(caption)}</figcaption>\n{html}\n</figure>',
        f"Table {number}: {caption}\n{text}",
    )


def listing(code: str) -> Part:
    html = "".join(
        f'<div class="ltx_listingline" id="lstnumberx{number}"><span class="ltx_tag ltx_tag_listingline">'
        f'{number}</span><span class="ltx_text ltx_lst_space ltx_font_typewriter">'
        f"{' ' * (len(text) - len(text.lstrip()))}</span>"
        f'<span class="ltx_text ltx_lst_identifier">{escape(text.lstrip())}</span>\n</div>\n'
        for number, text in enumerate(code.splitlines(), 1)
    )
    return Part(
        '<div class="ltx_listing ltx_lst_numbers_left ltx_lstlisting ltx_listing">\n<div '
        'class="ltx_listing_data"><a download="" href="data:text/plain;base64,AAAA">⬇</a></div>\n'
        f"{html}</div>",
        code,
    )


def frame(*paragraphs: str) -> Part:
    """A box around text (tcolorbox), which LaTeXML draws."""
    inner = "".join(f'<span class="ltx_p">{escape(text)}</span>\n' for text in paragraphs)
    return Part(
        '<svg class="ltx_picture" height="107" overflow="visible" version="1.1" width="600"><g>'
        '<path d="M 0 5.91 L 0 101.23"></path></g><g><foreignObject height="75.87" width="234.57">'
        '<span class="ltx_foreignobject_container"><span class="ltx_foreignobject_content">'
        f'<span class="ltx_inline-block ltx_minipage ltx_align_bottom">{inner}</span></span></span>'
        "</foreignObject></g></svg>",
        "\n".join(paragraphs),
    )


@dataclasses.dataclass(frozen=True)
class Paper:
    """A paper, its history, and its page."""

    id: str
    title: str
    abstract: str
    body: Part | None
    """None: arXiv could make no HTML of it."""
    first: dt.datetime
    categories: str = "cs.CL"
    license: str | None = CC_BY
    """Of the last version."""
    first_license: str | None = CC_BY
    """Of version 1, which its page names."""
    revisions: tuple[dt.datetime, ...] = ()
    changed: dt.date | None = None
    """Day of the last change; by default that of the last version, two days after its submission."""
    deleted: bool = False
    source_type: str | None = None

    @property
    def datestamp(self) -> str:
        last = (self.first, *self.revisions)[-1].date() + dt.timedelta(days=2)
        return (self.changed or last).isoformat()

    @property
    def text(self) -> str:
        """What a reader of version 1 reads, authors and bibliography aside."""
        assert self.body is not None
        return f"{self.title}\nAbstract\n{self.abstract}\n{self.body.text}"

    def page(self, version: int = 1) -> bytes:
        """The page of a version; another version has other words in it."""
        assert self.body is not None
        moment = (self.first, *self.revisions)[version - 1]
        license = self.first_license if version == 1 else self.license
        extra = "" if version == 1 else '<div class="ltx_para"><p class="ltx_p">Revised later.</p></div>'
        return f"""<!DOCTYPE html><html lang="en">
<head>
<meta content="text/html; charset=utf-8" http-equiv="content-type"/>
<title>{escape(self.title)}</title>
<!--Generated on {moment:%a %b %d %H:%M:%S %Y} by LaTeXML (version 0.8.8) http://dlmf.nist.gov/LaTeXML/.-->
<script src="https://cdn.jsdelivr.net/npm/bootstrap@5.3.0/dist/js/bootstrap.bundle.min.js"></script>
<base href="/html/{self.id}v{version}/"/></head>
<body>
<header class="arxiv-html-header"><a href="#">Why HTML?</a><a href="#">Report Issue</a></header>
<nav class="ltx_page_navbar"><nav class="ltx_TOC"><ol class="ltx_toclist"><li class="ltx_tocentry">
<a class="ltx_ref" href="#S1"><span class="ltx_text ltx_ref_title">Contents</span></a></li></ol></nav></nav>
<div class="ltx_page_main">
<div class="ltx_page_content">
<div class="package-alerts ltx_document" role="status"><p>HTML conversions sometimes display errors.</p></div>
<div class="section" id="target-section"><a id="license-tr" href="#">{LABELS[license]}</a>
<div id="watermark-tr">arXiv:{self.id}v{version} [{self.categories.split()[0]}] {moment:%d %b %Y}</div></div>
<article class="ltx_document ltx_authors_1line">
<h1 class="ltx_title ltx_title_document">{escape(self.title)}</h1>
<div class="ltx_authors">
<span class="ltx_creator ltx_role_author"><span class="ltx_personname">The Authors<br class="ltx_break"/>
<span class="ltx_text ltx_font_typewriter">authors@example.org</span></span></span>
</div>
<div class="ltx_dates">({moment:%B %Y})</div>
<div class="ltx_abstract">
<h6 class="ltx_title ltx_title_abstract">Abstract</h6>
<p class="ltx_p">{escape(self.abstract, quote=False)}</p>
</div>
{self.body.html}
{extra}
<section class="ltx_bibliography" id="bib">
<h2 class="ltx_title ltx_title_bibliography">References</h2>
<ul class="ltx_biblist"><li class="ltx_bibitem" id="bib.bib1"><span class="ltx_tag ltx_tag_bibitem">[1]</span>
<span class="ltx_bibblock">Somebody. Bibliographical item. 2025.</span></li></ul>
</section>
</article>
</div>
<footer class="ltx_page_footer"><div class="ltx_page_logo">Generated by LaTeXML</div></footer>
</div></body>
</html>
""".encode()


def no_html_page(name: str) -> bytes:
    return (
        f"<!DOCTYPE html><html><head><title>No HTML</title></head><body><main><h1>No HTML for '{name}'</h1>"
        "<p>HTML is not available for the source.</p></main></body></html>"
    ).encode()


def record(paper: Paper) -> str:
    """A ``<record>`` in the format arXivRaw."""
    sets = "".join(f"<setSpec>{_set_spec(name)}</setSpec>" for name in paper.categories.split())
    status = ' status="deleted"' if paper.deleted else ""
    header = (
        f"<header{status}><identifier>oai:arXiv.org:{paper.id}</identifier>"
        f"<datestamp>{paper.datestamp}</datestamp>{sets}</header>"
    )
    if paper.deleted:
        return f"<record>{header}</record>"
    flag = f"<source_type>{paper.source_type}</source_type>" if paper.source_type else ""
    versions = "".join(
        f'<version version="v{number}"><date>{moment:%a, %d %b %Y %H:%M:%S} GMT</date><size>97kb</size>'
        f"{flag if number == 1 else ''}</version>"
        for number, moment in enumerate((paper.first, *paper.revisions), 1)
    )
    license = f"<license>{paper.license}</license>" if paper.license else ""
    return f"""<record>{header}
<metadata><arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/" \
xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://arxiv.org/OAI/arXivRaw/ http://arxiv.org/OAI/arXivRaw.xsd">
<id>{paper.id}</id><submitter>The Authors</submitter>{versions}
<title>{escape(paper.title)}</title><authors>The Authors</authors><categories>{paper.categories}</categories>
{license}<abstract>  {escape(paper.abstract)}
</abstract></arXivRaw></metadata></record>"""


def answer(inside: str, request: str = "") -> bytes:
    """An OAI-PMH document."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://www.openarchives.org/OAI/2.0/ http://www.openarchives.org/OAI/2.0/OAI-PMH.xsd">
<responseDate>2026-11-20T12:00:00Z</responseDate>
<request{request}>http://oaipmh.arxiv.org/oai</request>
{inside}
</OAI-PMH>""".encode()


def list_of(papers: Sequence[Paper], token: str | None = None) -> bytes:
    end = f"<resumptionToken expires='2026-11-21T00:00:00Z'>{token}</resumptionToken>" if token else ""
    return answer(f"<ListRecords>{''.join(record(paper) for paper in papers)}{end}</ListRecords>")


def error(code: str, message: str = "What the server says of it.") -> bytes:
    return answer(f"<error code='{code}'>{message}</error>")


def _set_spec(category: str) -> str:
    archive = category.partition(".")[0]
    return f"{GROUPS.get(archive, 'physics')}:{category.replace('.', ':')}"


def _in_set(paper: Paper, spec: str) -> bool:
    # the set of the archive cs is cs:cs, but that of the archive hep-th, a category too, physics:hep-th
    archives = {_set_spec(name.partition(".")[0]) for name in paper.categories.split()}
    return spec in archives | {_set_spec(name) for name in paper.categories.split()}


def _known_day() -> dt.date:
    return dt.date(2026, 11, 20)


def arxiv_site(
    papers: Sequence[Paper], *, page_size: int = 100, today: Callable[[], dt.date] = _known_day
) -> Site:
    """arXiv with these papers.

    Args:
        papers: in any order.
        page_size: records in one answer (arXiv: 2,000).
        today: a token is good on the day that it was given out.
    """
    by_id = {paper.id: paper for paper in papers}

    def oai(query: dict[str, str]) -> bytes:
        if query.get("verb") != "ListRecords":
            return error("badVerb")
        arguments, skip = dict(query), 0
        if "resumptionToken" in query:
            if set(query) != {"verb", "resumptionToken"}:
                return error("badArgument")
            arguments = {
                name: values[0] for name, values in parse_qs(unquote(query["resumptionToken"])).items()
            }
            if arguments.pop("day", None) != today().isoformat():
                return error("badResumptionToken", "The value is invalid or expired.")
            skip = int(arguments.pop("skip"))
        if arguments.get("metadataPrefix") != "arXivRaw":
            return error("cannotDisseminateFormat")
        if set(arguments) - {"verb", "metadataPrefix", "from", "until", "set"}:
            return error("badArgument")
        since, until = arguments.get("from", "2005-09-16"), arguments.get("until", today().isoformat())
        if since > until or since < "2005-09-16" or until > (today() + dt.timedelta(days=1)).isoformat():
            return error("badArgument", "until date too late")
        matching = sorted(
            (
                paper
                for paper in papers
                if since <= paper.datestamp <= until
                and ("set" not in arguments or _in_set(paper, arguments["set"]))
            ),
            key=lambda paper: (paper.datestamp, paper.id),
        )
        shown = matching[skip : skip + page_size]
        if not shown:
            return error("noRecordsMatch")
        token = None
        if skip + page_size < len(matching):
            last_day = matching[skip + page_size].datestamp
            if last_day == shown[0].datestamp:
                resumed = arguments | {"skip": str(skip + page_size)}
            else:  # from the last day on, without those of that day that were shown
                num_shown = sum(paper.datestamp == last_day for paper in shown)
                resumed = arguments | {"from": last_day, "skip": str(num_shown)}
            token = quote(urlencode(resumed | {"day": today().isoformat()}))
        return list_of(shown, token)

    def site(request: Request) -> Reply:
        if request.path == "/robots.txt":
            rules = (
                "Crawl-delay: 15\nDisallow: /e-print\nDisallow: /src\n" if request.host == "arxiv.org" else ""
            )
            return Reply(f"User-agent: *\n{rules}".encode(), headers={"Content-Type": "text/plain"})
        if request.host == "oaipmh.arxiv.org" and request.path == "/oai":
            return Reply(oai(dict(request.query)), headers={"Content-Type": "application/xml"})
        if request.host == "arxiv.org" and request.path.startswith("/html/"):
            name = request.path.removeprefix("/html/")
            id, _, version = name.rpartition("v")
            html = {"Content-Type": "text/html; charset=utf-8"}
            paper = by_id.get(id)
            if paper is None or paper.body is None:
                return Reply(no_html_page(name), status=404, headers=html)
            return Reply(paper.page(int(version)), headers=html)
        return Reply(b"not here", status=404)

    return site
