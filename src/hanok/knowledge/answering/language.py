"""Which language a question is in, and how one says in it that the documents do not tell.

By script, and where several languages share one, by the small words that each cannot do without. A question that has
none of them is taken for English.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Language:
    """`name` in English, for models; `nothing` is said when the documents do not tell; `sources` heads their list."""

    name: str
    nothing: str
    sources: str


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_LANGUAGES: Mapping[str, Language] = {
    "ko": Language(name="Korean", nothing="제공된 문서에서 관련 정보를 찾을 수 없습니다.", sources="출처"),
    "ja": Language(name="Japanese", nothing="提供された文書には該当する情報が見つかりません。", sources="出典"),
    "zh": Language(name="Chinese", nothing="在所提供的文档中找不到相关信息。", sources="来源"),
    "ru": Language(name="Russian", nothing="В предоставленных документах нет такой информации.", sources="Источники"),
    "de": Language(name="German", nothing="Dazu gibt es in den Dokumenten keine Information.", sources="Quellen"),
    "fr": Language(name="French", nothing="Les documents ne donnent aucune information à ce sujet.", sources="Sources"),
    "es": Language(name="Spanish", nothing="Los documentos no contienen información al respecto.", sources="Fuentes"),
    "it": Language(name="Italian", nothing="I documenti non contengono informazioni al riguardo.", sources="Fonti"),
    "pt": Language(name="Portuguese", nothing="Os documentos não contêm informações sobre isso.", sources="Fontes"),
    "nl": Language(name="Dutch", nothing="De documenten bevatten hierover geen informatie.", sources="Bronnen"),
    "en": Language(name="English", nothing="The documents hold no information on this.", sources="Sources"),
}
_SCRIPTS = (
    ("ko", re.compile("[\u1100-\u11ff\u3130-\u318f\uac00-\ud7a3]")),
    ("ja", re.compile("[\u3041-\u30ff]")),
    ("zh", re.compile("[\u3400-\u9fff]")),
    ("ru", re.compile("[\u0400-\u04ff]")),
)
_SMALL_WORDS: Mapping[str, frozenset[str]] = {
    "de": _words(
        "aber als am auf aus bei das dem den der die ein eine einen für gibt hat ich im in ist kann kein man "
        "mit nach nicht oder sich sind über und von wann warum was welche wenn wer werden wie wieso wird wo "
        "zu zum zur"
    ),
    "fr": _words(
        "au aux avec ce comment combien dans de des du elle en est et il je la le les ne nous où par pas peut "
        "pour pourquoi qu quand que quel quelle quels qui quoi se sont sur un une vous à ça être"
    ),
    "es": _words(
        "al como con cuál cuáles cuándo cuánto cómo de del dónde el en es están está hay la las lo los no "
        "para por puede que qué quién se si sin son su un una y"
    ),
    "it": _words(
        "che chi come con cosa cos da dal dei del della di dove e gli il in la le lo nel non per perché può "
        "qual quale quali quando quanto se si sono su un una è"
    ),
    "pt": _words(
        "ao as com como da das de do dos e em está isso não na no nos o onde os para pode por porque qual "
        "quais quando que quem se são um uma à é"
    ),
    "nl": _words(
        "aan als bij dat de die een en er geen het hoe hoeveel ik in is kan maar met naar niet of om op te "
        "van voor waar waarom wanneer wat welke wie wordt worden zijn"
    ),
    "en": _words(
        "a an and are at be by can do does for from has have how i if in is it its not of on or should so "
        "that the their there this to was were what when where which who why will with you"
    ),
}
_WORD = re.compile(r"[^\W\d_]+")
SENTENCES = frozenset(language.nothing for language in _LANGUAGES.values())
"""What is said, in all languages, when the documents do not tell."""


def language_of(text: str) -> Language:
    """The language of a question."""
    for code, letters in _SCRIPTS:
        if letters.search(text):
            return _LANGUAGES[code]
    words = [word.lower() for word in _WORD.findall(text)]
    counts = {code: sum(word in small for word in words) for code, small in _SMALL_WORDS.items()}
    most = max(counts.values())
    return _LANGUAGES["en" if counts["en"] == most else max(counts, key=counts.__getitem__)]


def says_nothing(sentence: str) -> bool:
    """Whether a sentence is one of those by which no information is told, whatever quotes or marks are round it."""
    return _bare(sentence) in _BARE


def _bare(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


_BARE = frozenset(map(_bare, SENTENCES))
