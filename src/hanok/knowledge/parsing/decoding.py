"""From bytes to text, when nobody says in which encoding they are.

UTF-8 and UTF-16 say it themselves. CP949 (with EUC-KR in it) and CP1252 take almost any bytes, so what comes out must
look like Korean, or like a western language, before it is believed; a document that looks like nothing is refused,
since wrong text is worse than none.
"""

from __future__ import annotations

import codecs
import re

from hanok.knowledge.parsing.refusals import refused

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = bytes(code for code in range(32) if code not in b"\t\n\v\f\r\x1b")
_LONE = re.compile("[\ud800-\udfff]")
_KOREAN = re.compile("[가-힣ㄱ-ㆎ\u3000-\u303f！-～·‘’“”…※○●□■◇◆△▲→←↑↓①-⑳Ⅰ-Ⅹ℃]")
_WESTERN = re.compile("[À-ÖØ-öø-ÿŒœŠšŽžŸ‘’“”–—…€£§©®°«»·¿¡´ªº²³µ\xa0•™½¼¾±×]")
_HIGH = re.compile("[^\x00-\x7f]")
_MOST_CONTROLS = 0.002
_MOST_BROKEN = 0.01
_LOOKED_AT = 1_000_000


def decode(path: str, data: bytes, *, declared: str | None = None) -> str:
    """The text of a file; `declared` is the encoding that it claims, tried first.

    Byte order marks are left out. NUL becomes a blank and a lone surrogate U+FFFD, one character for one. Raises
    `DocumentRefused` for what is no text, or in no encoding that is known here.
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _tidied(_with_bom(path, data, encoding))
    _ensure_no_junk(path, data)
    for text in (_declared(data, declared), _utf8(data), _korean(data), _western(data)):
        if text is not None:
            return _tidied(text)
    raise refused(
        "encoding",
        f"{path} is not in UTF-8, UTF-16, CP949 or CP1252, and says no other encoding",
        hint="save it as UTF-8, or leave it out with `exclude`",
    )


def _with_bom(path: str, data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding, "surrogatepass" if encoding != "utf-32" else "strict")
    except UnicodeDecodeError:
        return _ensured_readable(path, data.decode(encoding, "replace"))


def _ensured_readable(path: str, text: str) -> str:
    if text.count("\ufffd") > max(1, len(text) * _MOST_BROKEN):
        raise refused("damaged", f"{path} is not the text that its byte order mark promises", hint="save it as UTF-8")
    return text


def _ensure_no_junk(path: str, data: bytes) -> None:
    sample = data[:_LOOKED_AT]
    controls = len(sample) - len(sample.translate(None, _CONTROLS))
    if controls > max(1, len(sample) * _MOST_CONTROLS):
        raise refused("binary", f"{path} is not text: it has {controls} control characters", hint="leave it out")


def _declared(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError, ValueError):
        return None


def _utf8(data: bytes) -> str | None:
    """Also UTF-8 in which a few characters are broken, as in files that were cut or put together."""
    try:
        return data.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = data.decode("utf-8", "replace")
    broken, high = text.count("\ufffd"), len(_HIGH.findall(text))
    return text if broken <= high * _MOST_BROKEN else None


def _korean(data: bytes) -> str | None:
    return _if_plausible(data, "cp949", _KOREAN, most_high=1.0)


def _western(data: bytes) -> str | None:
    return _if_plausible(data, "cp1252", _WESTERN, most_high=0.3)


def _if_plausible(data: bytes, encoding: str, usual: re.Pattern[str], *, most_high: float) -> str | None:
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        return None
    sample = text[:_LOOKED_AT]
    high = len(_HIGH.findall(sample))
    plausible = len(usual.findall(sample)) >= high * 0.9 and high <= len(sample) * most_high
    return text if plausible else None


def _tidied(text: str) -> str:
    text = text.replace("\0", " ")
    return _LONE.sub("\ufffd", text) if _LONE.search(text) else text
