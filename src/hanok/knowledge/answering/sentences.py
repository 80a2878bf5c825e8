"""Where a sentence ends, and what kind of thing it is: a claim that needs a source, or something that does not.

Rules for Korean, Chinese, Japanese and the languages written in Latin letters. They err on the side of one sentence too
many, because then each part is asked for its own source.
"""

from __future__ import annotations

import re
from typing import Literal

from hanok.knowledge.answering.language import says_nothing
from hanok.knowledge.ranking.terms import terms_of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


Kind = Literal["claim", "question", "greeting", "heading", "nothing", "empty"]
ENDS = ".!?…。！？｡"
WIDE_ENDS = "。！？｡"
"""These end a sentence whatever follows."""
CLOSERS = "\"'”’»)]」』）】*_"
_ABBREVIATIONS = _words(
    "al approx ca cf ch d.h dr e.g ed eq fig i.e mr mrs ms no nos nr p pp prof sec st vgl vol vs z.b"
)
_PERHAPS = _words("bzw co corp etc inc ltd usw a.m p.m u.s")
"""Abbreviations that sentences end with as well: then something in capitals follows."""
_LAST_WORD = re.compile(r"[^\W\d_](?:[^\W\d_]|\.(?=[^\W\d_]))*$")
_ITEM = re.compile(r"[ \t]*(?:>[ \t]*)*(?:[-*+•·][ \t]+|\d{1,3}$|\(?[a-zA-Z\d]{1,3}[.)][ \t]+)?")
_BOLD_LINE = re.compile(r"(\*\*|__)[^*_]+\1:?")
_LEADS_IN = 12
"""Words of a line that ends with a colon and still only announces what follows."""
_GREETING = re.compile(
    r"(?:hello|hi|hey|sure|certainly|of course|yes|no|ok(?:ay)?|thanks?(?: you)?|you are welcome|you're welcome"
    r"|great question|good question|i hope (?:this|that) helps|let me know if you .{0,60}|glad to help|hope this helps"
    r"|안녕하세요|안녕|네|예|아니요|아니오|감사합니다|고맙습니다|물론입니다|물론이죠"
    r"|좋은 질문입니다|도움이 되(?:었|셨)기를 바랍니다"
    r"|こんにちは|はい|いいえ|ありがとうございます|もちろんです|你好|您好|是的|好的|谢谢|不客气|当然"
    r"|hallo|guten tag|ja|nein|danke|gern(?:e)?|natürlich|bonjour|salut|oui|non|merci|bien sûr|hola|sí|gracias|claro"
    r"|ciao|buongiorno|certo|grazie|olá|sim|não|obrigad[oa])",
    re.IGNORECASE,
)


def ends(before: str, after: str) -> bool:
    """Whether a sentence ends with the full stop (or another mark of `ENDS`) between these two.

    `before` is the sentence so far without the mark, `after` the first character that is no space, "" at a line's end.
    """
    if not after or not before.strip():
        return bool(before.strip())
    if _ITEM.fullmatch(before):
        return False
    word = _LAST_WORD.search(before)
    last = word[0].lower() if word else ""
    if last in _ABBREVIATIONS or (len(last) == 1 and word is not None and word[0].isupper()):
        return False
    if last in _PERHAPS:
        return not after.islower()
    return not (after.islower() and 0 < len(last) <= 4)  # some other abbreviation


def kind_of(sentence: str) -> Kind:
    """What a sentence without its citations is."""
    said, bare = sentence.strip(), bare_of(sentence)
    if not terms_of(bare):
        return "empty"
    if says_nothing(bare):
        return "nothing"
    if said.startswith("#") or _BOLD_LINE.fullmatch(bare) or _announces(bare):
        return "heading"
    if bare.rstrip(CLOSERS).endswith(("?", "？")):
        return "question"
    if _GREETING.fullmatch(bare.strip(" .!,。！，~")):
        return "greeting"
    return "claim"


def bare_of(sentence: str) -> str:
    """A sentence without the bullet, number or quotation mark that its line begins with."""
    said = sentence.strip()
    found = _ITEM.match(said)
    return said[found.end() if found else 0 :].strip()


def is_row(sentence: str) -> bool:
    """Whether it is a row of a table: nothing can be written behind it."""
    return sentence.lstrip().startswith("|")


def _announces(bare: str) -> bool:
    return bare.rstrip("*_ ").endswith((":", "：")) and len(bare.split()) <= _LEADS_IN
