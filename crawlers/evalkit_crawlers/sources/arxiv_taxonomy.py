"""arXiv's categories, archives and the sets under which OAI-PMH lists them.

Source: https://arxiv.org/category_taxonomy and the definitions in the arxiv-base repository.
"""

import difflib

from evalkit.errors import UsageError

_SUBJECTS = {
    "astro-ph": "CO EP GA HE IM SR",
    "cond-mat": "dis-nn mes-hall mtrl-sci other quant-gas soft stat-mech str-el supr-con",
    "cs": "AI AR CC CE CG CL CR CV CY DB DC DL DM DS ET FL GL GR GT HC IR IT LG LO MA MM MS NA NE NI OH OS "
    "PF PL RO SC SD SE SI SY",
    "econ": "EM GN TH",
    "eess": "AS IV SP SY",
    "gr-qc": "",
    "hep-ex": "",
    "hep-lat": "",
    "hep-ph": "",
    "hep-th": "",
    "math": "AC AG AP AT CA CO CT CV DG DS FA GM GN GR GT HO IT KT LO MG MP NA NT OA OC PR QA RA RT SG SP ST",
    "math-ph": "",
    "nlin": "AO CD CG PS SI",
    "nucl-ex": "",
    "nucl-th": "",
    "physics": "acc-ph ao-ph app-ph atm-clus atom-ph bio-ph chem-ph class-ph comp-ph data-an ed-ph flu-dyn "
    "gen-ph geo-ph hist-ph ins-det med-ph optics plasm-ph pop-ph soc-ph space-ph",
    "q-bio": "BM CB GN MN NC OT PE QM SC TO",
    "q-fin": "CP EC GN MF PM PR RM ST TR",
    "quant-ph": "",
    "stat": "AP CO ME ML OT TH",
}
_GROUPS = {archive: archive for archive in ("cs", "econ", "eess", "math", "q-bio", "q-fin", "stat")}
"""Archive → group; every other archive belongs to ``physics``."""
FIELDS = tuple(sorted({*_GROUPS.values(), "physics"}))
"""arXiv's groups of archives: what leaderboards call fields."""

ALIASES = {
    "cs.NA": "math.NA",
    "cs.SY": "eess.SY",
    "math.IT": "cs.IT",
    "math.MP": "math-ph",
    "q-fin.EC": "econ.GN",
    "stat.TH": "math.ST",
}
"""Second names; a paper's primary category is always the first name."""

ARCHIVES = tuple(_SUBJECTS)
CATEGORIES = tuple(
    f"{archive}.{subject}" if subject else archive
    for archive, subjects in _SUBJECTS.items()
    for subject in subjects.split() or ("",)
)


def parse_categories(text: str | None) -> tuple[str, ...]:
    """Categories and archives from a list with commas, sorted, none contained in another.

    A category's second name becomes its first one.

    Raises:
        UsageError: one is neither a category nor an archive.
    """
    names = dict.fromkeys([*ARCHIVES, *CATEGORIES])
    spellings = {name.casefold(): name for name in names}
    chosen, unknown = set(), []
    for word in (text or "").split(","):
        name = word.strip()
        if not name:
            continue
        if name in names:
            chosen.add(ALIASES.get(name, name))
        else:
            near = [spellings[name.casefold()]] if name.casefold() in spellings else []
            near = near or difflib.get_close_matches(name, names, n=3, cutoff=0.5)
            unknown.append(f"{name!r}" + (f" (did you mean {' or '.join(near)}?)" if near else ""))
    if unknown:
        raise UsageError(
            f"--categories: arXiv has no category or archive {', '.join(unknown)}; "
            "https://arxiv.org/category_taxonomy lists them"
        )
    if text is not None and not chosen:
        raise UsageError("--categories names none; leave it out for all of arXiv, or give e.g. cs.CL,physics")
    return tuple(
        sorted(name for name in chosen if archive_of(name) == name or archive_of(name) not in chosen)
    )


def archive_of(category: str) -> str:
    """The archive of a category: ``cs`` of ``cs.CL``, ``hep-th`` of itself."""
    return category.partition(".")[0]


def field_of(category: str) -> str:
    """The field of a category or archive, one of `FIELDS`.

    >>> field_of("cs.CL"), field_of("hep-th"), field_of("math-ph"), field_of("q-bio.NC")
    ('cs', 'physics', 'physics', 'q-bio')
    """
    return _GROUPS.get(archive_of(category), "physics")


def set_spec(name: str) -> str:
    """The OAI-PMH set of a category or archive, ``group:archive:CATEGORY``.

    >>> set_spec("cs.CL"), set_spec("hep-th"), set_spec("physics.optics"), set_spec("cs")
    ('cs:cs:CL', 'physics:hep-th', 'physics:physics:optics', 'cs:cs')
    """
    return f"{field_of(name)}:{name.replace('.', ':')}"
