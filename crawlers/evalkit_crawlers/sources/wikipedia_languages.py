"""The language editions of Wikipedia, and what each language is called elsewhere.

Source: dblists/wikipedia.dblist of wikimedia/operations-mediawiki-config (without test, committee and
conference wikis), and the editions that were opened later.
"""

import difflib

from evalkit.errors import UsageError

_NAMES = """
aa ab ace ady af ak als alt am ami an ang ann anp ar arc ary arz as ast atj av avk awa ay az azb ba ban
bar bat-smg bcl bdr be be-tarask bew bg bh bi bjn blk bm bn bo bpy br bs btm bug bxr ca cbk-zam cdo ce
ceb ch cho chr chy ckb co cr crh cs csb cu cv cy da dag de dga din diq dsb dtp dty dv dz ee el eml en eo
es et eu ext fa fat ff fi fiu-vro fj fo fon fr frp frr fur fy ga gag gan gcr gd gl glk gn gom gor got
gpe gu guc gur guw gv ha hak haw he hi hif ho hr hsb ht hu hy hyw hz ia iba id ie ig igl ii ik ilo inh
io is it iu ja jam jbo jv ka kaa kab kbd kbp kcg kg kge ki kj kk kl km kn knc ko koi kr krc ks ksh ku
kus kv kw ky la lad lb lbe lez lfn lg li lij lld lmo ln lo lrc lt ltg lv mad mai map-bms mdf mg mh mhr
mi min mk ml mn mni mnw mos mr mrj ms mt mus mwl my myv mzn na nah nap nds nds-nl ne new ng nia nl nn no
nov nqo nr nrm nso nv ny oc olo om or os pa pag pam pap pcd pcm pdc pfl pi pih pl pms pnb pnt ps pt pwn
qu rm rmy rn ro roa-rup roa-tara rsk ru rue rw sa sah sat sc scn sco sd se sg sh shi shn si simple sk
skr sl sm smn sn so sq sr srn ss st stq su sv sw syl szl szy ta tay tcy tdd te tet tg th ti tig tk tl
tly tn to tpi tr trv ts tt tum tw ty tyv udm ug uk ur uz ve vec vep vi vls vo wa war wo wuu xal xh xmf
yi yo za zea zgh zh zh-classical zh-min-nan zh-yue zu
"""
EDITIONS = frozenset(_NAMES.split())
DEFAULT = (
    *("en", "ceb", "de", "fr", "sv", "nl", "ru", "es", "it", "arz"),
    *("pl", "zh", "ja", "uk", "vi", "war", "ar", "pt", "fa", "ca"),
)
"""The twenty largest by number of articles, https://meta.wikimedia.org/wiki/List_of_Wikipedias, April 2024.

Of the copy of that page that was at hand the first ranks alone could be read: the later ones are unconfirmed.
Programs wrote most of Cebuano, Waray and Egyptian Arabic; what bots make is dropped.
"""

# Editions whose name is not the language's code (https://meta.wikimedia.org/wiki/Special_language_codes).
_TAGS = {
    "als": "gsw",
    "bat-smg": "sgs",
    "be-tarask": "be",
    "bh": "bho",
    "cbk-zam": "cbk",
    "fiu-vro": "vro",
    "map-bms": "jv",
    "nds-nl": "nds",
    "no": "nb",
    "nrm": "nrf",
    "roa-rup": "rup",
    "roa-tara": "nap",
    "simple": "en",
    "zh-classical": "lzh",
    "zh-min-nan": "nan",
    "zh-yue": "yue",
}


def language_tag(edition: str) -> str:
    """The primary BCP 47 tag of an edition's language."""
    return _TAGS.get(edition, edition)


def parse_languages(text: str | None) -> tuple[str, ...]:
    """Editions as given on the command line, each once, in the order given.

    Args:
        text: names by commas; None: `DEFAULT`.

    Raises:
        UsageError: there is no Wikipedia of that name, or no name is given.
    """
    if text is None:
        return DEFAULT
    names = tuple(dict.fromkeys(name.strip().lower() for name in text.split(",") if name.strip()))
    if not names:
        raise UsageError("--languages: give at least one, e.g. --languages en,zh,fr")
    for name in names:
        if name not in EDITIONS:
            near = difflib.get_close_matches(name, sorted(EDITIONS), n=3, cutoff=0.5)
            guess = f" Did you mean {' or '.join(near)}?" if near else ""
            raise UsageError(
                f"--languages: there is no Wikipedia in {name!r}.{guess} "
                "Names are those of NAME.wikipedia.org, see https://www.wikipedia.org"
            )
    return names
