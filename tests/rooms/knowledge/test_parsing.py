"""Files become documents: real files of every format, and what cannot be taken."""

from __future__ import annotations

from itertools import pairwise

import pytest

from hanok.errors import DocumentRefused
from hanok.knowledge.parsing.kinds import is_known
from hanok.knowledge.parsing.parse import parse
from hanok.knowledge.values import Document, Entry
from hanok.spec import DocumentType, Parsing
from tests.rooms.knowledge import files

LIMITS = Parsing()
BODY = "This is a sentence of the body, that is a little longer than a heading is."


def read(path: str, data: bytes, media_type: str | None = None, limits: Parsing = LIMITS) -> Document:
    document = parse(Entry(uri=path, path=path, media_type=media_type), data, limits)
    edges = [(section.start, section.end) for section in document.sections]
    assert edges[0][0] == 0 and edges[-1][1] == len(document.text), "sections cover all of the text"
    assert all(before[1] == after[0] for before, after in pairwise(edges))
    return document


def refusal(path: str, data: bytes, media_type: str | None = None, limits: Parsing = LIMITS) -> DocumentRefused:
    with pytest.raises(DocumentRefused) as refused:
        parse(Entry(uri=path, path=path, media_type=media_type), data, limits)
    assert refused.value.message.startswith(path)
    return refused.value


def headings(document: Document) -> list[tuple[str, ...]]:
    return [section.headings for section in document.sections]


def on_pages(document: Document) -> list[tuple[int, str]]:
    return [(page.number, document.text[page.start : page.end].strip()) for page in document.pages]


def test_markdown_stays_what_it_is_and_its_sections_are_found():
    text = "---\ntitle: 'The Front'\n---\r\n# One ##\r\ntext\r\n```sh\n# no heading\n```\r\n"
    text += "Two\r\n---\r\n### `Three` [x](y)\n"
    document = read("a.md", text.encode())
    assert document.text == text
    assert (document.title, document.type, document.media_type) == ("The Front", "documentation", "text/markdown")
    assert headings(document) == [(), ("One",), ("One", "Two"), ("One", "Two", "Three x")]
    assert text[document.sections[1].start :].startswith("# One")


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_offsets_are_right_for_every_kind_of_newline(newline: str):
    text = newline.join(["# 하나", "", "글 👩‍💻", "", "## Two", "more", ""])
    document = read("a.md", text.encode())
    assert document.text == text
    assert text[document.sections[1].start : document.sections[1].end] == f"## Two{newline}more{newline}"


@pytest.mark.parametrize(
    ("path", "text", "title", "found"),
    [
        ("a/guide.md", "no heading", "guide", [()]),
        ("a.rst", "=====\nTop\n=====\n\ntext\n\nSub\n---\nmore\n", "Top", [("Top",), ("Top", "Sub")]),
        ("a.adoc", "= Top\n\n== Sub\n----\n= no\n----\n", "Top", [("Top",), ("Top", "Sub")]),
        ("notes.txt", "# not a heading here", "notes", [()]),
        ("a.py", "# not a heading here", "a", [()]),
    ],
)
def test_titles_and_headings_by_format(path: str, text: str, title: str, found: list[tuple[str, ...]]):
    document = read(path, text.encode())
    assert (document.title, headings(document), document.text) == (title, found, text)


@pytest.mark.parametrize(
    ("path", "media_type", "type_"),
    [
        ("x.py", None, "code"),
        ("x.YAML", None, "code"),
        ("deploy/Dockerfile", None, "code"),
        ("README", None, "text"),
        ("x.md", "text/plain; charset=utf-8", "documentation"),
        ("x.md", "application/octet-stream", "documentation"),
        ("download", "text/markdown", "documentation"),
        ("download", "application/json", "code"),
        ("download", "text/x-whatever", "text"),
        ("x.log", None, "text"),
    ],
)
def test_a_document_has_a_type_by_its_media_type_or_its_name(path: str, media_type: str | None, type_: DocumentType):
    assert read(path, b"x = 1", media_type).type == type_


def test_what_the_source_says_a_document_is_holds():
    document = parse(Entry(uri="u", path="chat.txt", type="chat_logs"), b"hi", LIMITS)
    assert document.type == "chat_logs"


def test_html_becomes_markdown_with_the_title_of_its_head():
    page = """<!DOCTYPE html><html><head><title>Tea &amp;\n 차</title><meta name="description" content="no">
    <style>p {}</style></head><body><h1>Top</h1><p>A <b>bold</b> word</p><script>no()</script><h2>Sub</h2>
    <table><tr><th>a</th></tr><tr><td>1</td></tr></table><img src="data:image/png;base64,AAAA" alt="a picture">
    <pre><code class="language-python">def f():
    return 1</code></pre></body></html>"""
    document = read("page", page.encode(), "text/html; charset=utf-8")
    assert (document.title, document.type) == ("Tea & 차", "documentation")
    assert headings(document) == [("Top",), ("Top", "Sub")]
    assert "A **bold** word" in document.text and "| a |" in document.text and "```python" in document.text
    assert "no()" not in document.text and "base64" not in document.text and "a picture" in document.text


def test_html_in_a_korean_encoding_is_read_as_it_declares():
    page = "<html><head><meta charset='euc-kr'><title>제목</title></head><body><p>뷁 똠방각하 본문</body></html>"
    document = read("page.html", page.encode("cp949").replace(b"euc-kr", b"cp949"))
    assert (document.title, document.text.strip()) == ("제목", "뷁 똠방각하 본문")


def test_a_pdf_has_pages_and_headings():
    first = [(24, "Big Title"), (11, BODY), (11, BODY), (16, "Section one"), (11, BODY), (11, BODY)]
    second = [(11, BODY), (16, "Section two"), (11, BODY), (11, "- item a"), (11, "- item b")]
    document = read("report.pdf", files.pdf([first, second]))
    assert (document.title, document.type) == ("Big Title", "documentation")
    assert headings(document) == [("Big Title",), ("Big Title", "Section one"), ("Big Title", "Section two")]
    (one, on_first), (two, on_second) = on_pages(document)
    assert (one, two) == (1, 2)
    assert on_first.startswith("# Big Title") and on_second.startswith(BODY)
    assert on_second.endswith("- item a\n- item b")


def test_a_pdf_that_only_its_owner_may_change_is_read():
    assert "readable" in read("a.pdf", files.pdf([[(11, "readable by all")]], user="")).text


def test_a_word_document_becomes_markdown():
    body = [files.paragraph("하나", "Heading1"), files.paragraph("본문 text"), files.table(["a", "b"], ["1", "2|3"])]
    document = read("a.docx", files.docx(*body))
    assert (document.title, document.type, headings(document)) == ("하나", "documentation", [("하나",)])
    assert "본문 text" in document.text and "| 1 | 2\\|3 |" in document.text


def test_slides_are_pages():
    document = read("a.pptx", files.pptx(("First", ["one", "two"]), ("둘째", ["셋"])))
    assert on_pages(document) == [(1, "## First\n\none\n\ntwo"), (2, "## 둘째\n\n셋")]
    assert headings(document) == [("First",), ("둘째",)]


def test_sheets_are_pages_of_a_table():
    document = read("sums.xlsx", files.xlsx(Sales=[["month", "sum"], ["Jan", "10"]], 비용=[["항목"], ["차"]]))
    assert (document.title, document.type) == ("sums", "table")
    assert [number for number, _ in on_pages(document)] == [1, 2]
    assert "| Jan | 10 |" in on_pages(document)[0][1] and on_pages(document)[1][1].startswith("## 비용")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_csv_becomes_a_table_in_whatever_encoding(separator: str):
    path = "a.tsv" if separator == "\t" else "a.csv"
    document = read(path, f"이름{separator}값\r\n차{separator}3\r\n".encode("cp949"))
    assert document.text == "| 이름 | 값 |\n| --- | --- |\n| 차 | 3 |\n"
    assert document.type == "table"


@pytest.mark.parametrize(
    ("path", "data", "title", "said"),
    [
        ("a.epub", files.epub(), "The Book", "Once."),
        ("a.odt", files.odt(), "머리말", "Open text."),
        ("a.rtf", rb"{\rtf1\ansi{\b Bold} and \u48148?.\par}", "a", "and 바."),
        ("a.eml", b"From: a@b.c\r\nSubject: Tea\r\n\r\nCome at five.\r\n", "Tea", "Come at five."),
        (
            "a.ipynb",
            b'{"cells":[{"cell_type":"markdown","source":["# Head\\n","told"],"metadata":{}}],"metadata":{},'
            b'"nbformat":4,"nbformat_minor":5}',
            "Head",
            "told",
        ),
    ],
)
def test_other_formats(path: str, data: bytes, title: str, said: str):
    document = read(path, data)
    assert document.title == title
    assert said in document.text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp949", "euc-kr"])
def test_korean_is_read_in_every_usual_encoding(encoding: str):
    text = "안녕하세요. 한글 문서(韓)입니다.\r\n둘째 줄: 50%"
    data = text.encode(encoding)
    assert read("a.txt", b"\xff\xfe" + data if encoding == "utf-16-le" else data).text == text


def test_western_text_is_read_in_its_old_encoding():
    text = "Un café très agréable, à l’été – 5 €"
    assert read("a.txt", text.encode("cp1252")).text == text


@pytest.mark.parametrize("encoding", ["shift_jis", "gb18030", "koi8-r"])
def test_an_encoding_that_cannot_be_told_is_refused_and_read_when_it_is_declared(encoding: str):
    text = {"koi8-r": "Это русский текст. " * 3}.get(encoding, "これは日本語の文です。テスト文書。")
    assert refusal("a.txt", text.encode(encoding)).code == "encoding"
    assert read("a.txt", text.encode(encoding), f"text/plain; charset={encoding}").text == text


def test_odd_characters_keep_offsets_right():
    document = read("a.md", b"# a\0b\n\xed\xa0\x80x\n\n# c")
    assert document.text == "# a b\n\ufffdx\n\n# c"
    broken = ("한국어 문장입니다. " * 50).encode() + b"\xed\x95"
    assert read("a.txt", broken).text.endswith("입니다. \ufffd")


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("a.txt", b"", "empty"),
        ("a.txt", b" \n\t ", "no_text"),
        ("a.pdf", files.pdf([[], []]), "no_text"),
        ("a.docx", files.docx(), "no_text"),
        ("a.txt", bytes(range(256)) * 10, "binary"),
        ("a.pdf", files.pdf([[(11, "hidden")]], user="secret"), "encrypted"),
        ("a.pdf", b"%PDF-1.4\nnothing", "damaged"),
        ("a.pdf", b"<html>please log in</html>", "damaged"),
        ("a.docx", files.docx(files.paragraph("x"))[:300], "damaged"),
        ("a.docx", files.zipped({"other.xml": "<x/>"}), "damaged"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"), "encrypted"),
        ("a.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "unknown_format"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "unknown_format"),
        ("a.xyz", b"something", "unknown_format"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_reason(path: str, data: bytes, code: str):
    assert refusal(path, data).code == code


def test_a_zip_bomb_is_refused_before_it_is_unpacked_also_inside_of_another():
    bomb = files.docx(files.paragraph("x"), extra={"word/media/a.bin": b"\0" * 30_000_000})
    assert refusal("a.docx", bomb).code == "zip_bomb"
    assert refusal("a.docx", files.docx(files.paragraph("x"), extra={"word/b.docx": bomb})).code == "zip_bomb"
    many = files.docx(files.paragraph("x"), extra={f"word/media/{n}.bin": b"\0" * 7_000_000 for n in range(20)})
    assert refusal("a.docx", many, limits=Parsing(memory_mib=256)).code == "zip_bomb"
    deep = files.docx(files.paragraph("x"))
    for _ in range(3):
        deep = files.docx(files.paragraph("x"), extra={"word/in.docx": deep})
    assert refusal("a.docx", deep).code == "zip_bomb"


def test_entities_that_refer_to_entities_are_not_spelled_out():
    entities = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(9))
    body = "<w:body><w:p><w:r><w:t>before &a9; after</w:t></w:r></w:p></w:body>"
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    text = f'<!DOCTYPE d [<!ENTITY a0 "ha">{entities}]><w:document {space}>{body}</w:document>'
    document = read("a.docx", files.zipped({"[Content_Types].xml": "<Types/>", "word/document.xml": text}))
    assert "before" in document.text and len(document.text) < 1000


def test_what_is_larger_or_longer_than_declared_is_refused():
    assert refusal("a.md", b"x" * 2_000_000, limits=Parsing(max_file_mib=1)).code == "too_large"
    assert refusal("a.md", b"x" * 2_000_000, limits=Parsing(max_text_mib=1)).code == "too_long"
    assert refusal("a.md", "가".encode() * 500_000, limits=Parsing(max_text_mib=1)).code == "too_long"
    assert read("a.md", "가".encode() * 300_000, limits=Parsing(max_text_mib=1))


def test_names_tell_which_files_can_be_read():
    assert all(map(is_known, ("a.md", "A.PDF", "x/Makefile", "b.tar.py", "README")))
    assert not any(map(is_known, ("a.png", "b.exe", "c.zip", "noending")))
