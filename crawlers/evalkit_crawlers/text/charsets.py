"""From the bytes of a page or feed to text, whatever the server says of their encoding.

Declared encodings are often wrong, and guessing errs on short or mixed texts. What bytes are valid in
says more: text in another encoding is hardly ever valid UTF-8. So, in this order: a byte order mark,
UTF-8 where the bytes are (nearly) valid in it, the encoding that HTTP states, the one that the document
states, the one that charset-normalizer finds. Names mean what browsers take them for (WHATWG Encoding
Standard): ``iso-8859-1`` is windows-1252, ``gb2312`` is GB 18030.
"""

import codecs
import re
from typing import NoReturn

from evalkit_crawlers.source import FetchRefused

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it starts with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_BROWSERS_READ_AS = {
    "ascii": "cp1252",
    "us-ascii": "cp1252",
    "iso-8859-1": "cp1252",
    "latin1": "cp1252",
    "iso-8859-9": "cp1254",
    "iso-8859-11": "cp874",
    "tis-620": "cp874",
    "windows-874": "cp874",
    "gb2312": "gb18030",
    "gb_2312-80": "gb18030",
    "gbk": "gb18030",
    "x-gbk": "gb18030",
    "big5": "big5hkscs",
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "euc-kr": "cp949",
    "ks_c_5601-1987": "cp949",
    "windows-949": "cp949",
    "x-mac-cyrillic": "mac-cyrillic",
    "macintosh": "mac-roman",
}
# Python's names for what is no character set of documents.
_NOT_CHARSETS = {"utf-7", "unicode-escape", "raw-unicode-escape", "idna", "punycode", "undefined"}
_CHARSET_PARAMETER = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:+-]+)", re.IGNORECASE)
_IN_DOCUMENT = re.compile(
    rb"<\?xml[^>]{0,200}?encoding\s*=\s*[\"']([\w.:+-]+)"
    rb"|<meta[^>]{0,500}?charset\s*=\s*[\"']?\s*([\w.:+-]+)",
    re.IGNORECASE,
)
_LATIN = frozenset(
    {f"cp{number}" for number in (437, 775, 850, 852, 858, 860, 861, 863, 865, 1250, 1252, 1254, 1257, 1258)}
    | {f"iso8859_{number}" for number in (1, 2, 3, 4, 9, 10, 13, 14, 15, 16)}
    | {"latin_1", "hp_roman8", "mac_iceland", "mac_latin2", "mac_roman", "mac_turkish"}
)
"""charset-normalizer's names for what it may take one of them for."""
# https://encoding.spec.whatwg.org and https://html.spec.whatwg.org/#determining-the-character-encoding
_OF_LANGUAGE = {
    **dict.fromkeys(("cs", "sk", "pl", "hu", "sl", "hr", "bs", "sh", "ro", "sq"), "cp1250"),
    **dict.fromkeys(("tr", "az", "ku"), "cp1254"),
    **dict.fromkeys(("lt", "lv", "et"), "cp1257"),
    "vi": "cp1258",
}
_LANGUAGE = re.compile(
    rb"<html[^>]{0,500}?\slang\s*=\s*[\"']?([A-Za-z]{2,3})\b|<language>\s*([A-Za-z]{2,3})\b", re.IGNORECASE
)
_NO_WORD = re.compile("(?<=[a-zß-öø-ÿ])[¹³¿¼¾£¥ª¯](?=[a-zß-öø-ÿ])")
"""A sign within a word: then it is a letter of another code page."""
_MARKUP = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]{0,2000}>|&\w+;", re.IGNORECASE | re.DOTALL)
_NUM_BYTES_SEARCHED = 4096
_NUM_BYTES_GUESSED_FROM = 1 << 16
# Pages are assembled from parts; one stray byte in a hundred letters does not make them another encoding.
_DAMAGED_SHARE = 0.01


def decode(body: bytes, content_type: str | None = None) -> str:
    """A body as text, without a byte order mark.

    Args:
        body: content encoding (gzip …) undone.
        content_type: value of the HTTP header, for its ``charset``.

    Raises:
        FetchRefused: the bytes are text in no encoding that was stated or can be found.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if body.startswith(mark):
            return _exactly(body, encoding) or _refuse()
    declared = _declared(body, content_type)
    if b"\0" in body[:64]:  # two bytes per character: the "<" of the first tag has a zero beside it
        little = body[1:2] == b"\0"
        return _exactly(body, "utf-16-le" if little else "utf-16-be") or _refuse()
    if body.isascii():
        # ISO-2022-JP and HZ write Japanese and Chinese in seven bits: such text looks like ASCII.
        seven_bit = (encoding for encoding in declared if encoding.startswith(("iso2022", "hz")))
        return next(filter(None, (_exactly(body, encoding) for encoding in seven_bit)), body.decode("ascii"))
    for stated in ("utf-8", *declared, None):
        text = _nearly(body, stated or _guessed(body))
        if text is not None:
            return text
    return _refuse()


def _declared(body: bytes, content_type: str | None) -> list[str]:
    names = _CHARSET_PARAMETER.findall(content_type or "")[:1]
    match = _IN_DOCUMENT.search(body[:_NUM_BYTES_SEARCHED])
    if match:
        names.append((match[1] or match[2]).decode("ascii"))
    codec_names = (_codec(name) for name in names)
    # A document whose declaration could be read byte by byte is not in UTF-16, whatever it says.
    return [name for name in codec_names if name is not None and not name.startswith(("utf-16", "utf-32"))]


def _codec(label: str) -> str | None:
    label = label.casefold()
    try:
        name = codecs.lookup(_BROWSERS_READ_AS.get(label, label)).name
    except (LookupError, ValueError):
        return None
    return None if name.replace("_", "-") in _NOT_CHARSETS else name


def _exactly(body: bytes, encoding: str) -> str | None:
    try:
        return body.decode(encoding)
    except (UnicodeError, LookupError):  # LookupError: a codec of Python that does not decode text
        return None


def _nearly(body: bytes, encoding: str | None) -> str | None:
    """The text where all but a few of its characters beyond ASCII are valid in the encoding."""
    if encoding is None:
        return None
    text = _exactly(body, encoding)
    if text is not None:
        return text
    try:
        text = body.decode(encoding, "replace")
    except (UnicodeError, LookupError):
        return None
    num_beyond_ascii = sum(not character.isascii() for character in text)
    return text if text.count("\ufffd") <= _DAMAGED_SHARE * num_beyond_ascii else None


def _guessed(body: bytes) -> str | None:
    from charset_normalizer import from_bytes

    best = from_bytes(body[:_NUM_BYTES_GUESSED_FROM]).best()
    if best is None:
        return None
    # The code pages of the Latin alphabet differ in a few letters, which tell it nothing in a short text.
    return _latin(body, best.encoding) if best.encoding in _LATIN else best.encoding


def _latin(body: bytes, guess: str) -> str:
    """The code page of a text in the Latin alphabet, by its language, as browsers have it."""
    from evalkit.corpora.language import language_of, primary

    stated = _LANGUAGE.search(body[:_NUM_BYTES_SEARCHED])
    if stated:
        language: str | None = primary((stated[1] or stated[2]).decode("ascii"))
    else:
        language = language_of(_MARKUP.sub(" ", body.decode("cp1252", "replace")))
    if language is None and _NO_WORD.search(body.decode("cp1252", "replace")):
        return guess
    encoding = _OF_LANGUAGE.get(language or "", "cp1252")
    if encoding == "cp1250" and guess == "iso8859_2":
        return guess
    return encoding if _exactly(body, encoding) is not None else guess


def _refuse() -> NoReturn:
    raise FetchRefused("unreadable character encoding")
