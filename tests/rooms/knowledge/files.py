"""Documents made for the tests: as small as they can be, and real."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence

_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_MAIN = "application/vnd.openxmlformats-officedocument"
_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")


def zipped(files: Mapping[str, str | bytes]) -> bytes:
    """A zip archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as writer:
        for name, text in files.items():
            writer.writestr(name, text)
    return archive.getvalue()


def pdf(pages: Sequence[Sequence[tuple[int, str]]], *, user: str | None = None) -> bytes:
    """Pages of lines, each with its size in points; with `user`, encrypted so that that password opens it."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    key, encrypt = _encryption(user) if user is not None else (None, b"")
    for number, lines in enumerate(pages):
        resources = "/Resources << /Font << /F1 3 0 R >> >>"
        content = f"/MediaBox [0 0 612 792] /Contents {5 + 2 * number} 0 R {resources}"
        objects.append(f"<< /Type /Page /Parent 2 0 R {content} >>".encode())
        stream = _page(lines)
        if key is not None:
            stream = _rc4(hashlib.md5(key + (5 + 2 * number).to_bytes(3, "little") + b"\0\0").digest()[:10], stream)
        objects.append(f"<< /Length {len(stream)} >>\nstream\n".encode() + stream + b"\nendstream")
    return _file(objects, encrypt)


def _page(lines: Sequence[tuple[int, str]]) -> bytes:
    said, top = ["BT"], 720
    for size, text in lines:
        said.append(f"/F1 {size} Tf 1 0 0 1 72 {top} Tm ({text}) Tj")
        top -= int(size * 1.6)
    return "\n".join([*said, "ET"]).encode()


def _file(objects: Sequence[bytes], encrypt: bytes) -> bytes:
    out, places = b"%PDF-1.4\n", list[int]()
    for number, told in enumerate(objects, 1):
        places.append(len(out))
        out += f"{number} 0 obj\n".encode() + told + b"\nendobj\n"
    table = f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n" + "".join(
        f"{place:010} 00000 n \n" for place in places
    )
    trailer = f"trailer << /Size {len(objects) + 1} /Root 1 0 R ".encode() + encrypt
    return out + table.encode() + trailer + f">>\nstartxref\n{len(out)}\n%%EOF".encode()


def _encryption(user: str) -> tuple[bytes, bytes]:
    """The key and the dictionary of the standard security handler, revision 2 (PDF 1.7, 7.6.3)."""
    padded = (user.encode() + _PADDING)[:32]
    owner = _rc4(hashlib.md5((b"owner" + _PADDING)[:32]).digest()[:5], padded)
    key = hashlib.md5(padded + owner + (-4 & 0xFFFFFFFF).to_bytes(4, "little") + b"A" * 16).digest()[:5]
    checked = _rc4(key, _PADDING)
    told = f"/Filter /Standard /V 1 /R 2 /Length 40 /P -4 /O <{owner.hex()}> /U <{checked.hex()}>"
    return key, f"/Encrypt << {told} >> /ID [<{'41' * 16}> <{'41' * 16}>] ".encode()


def _rc4(key: bytes, data: bytes) -> bytes:
    state, j = list(range(256)), 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out, i, j = bytearray(), 0, 0
    for byte in data:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)


def docx(*body: str, extra: Mapping[str, bytes] | None = None) -> bytes:
    """A Word document of paragraphs and tables made by `paragraph` and `table`."""
    space = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    text = f"<w:document {space}><w:body>{''.join(body)}</w:body></w:document>"
    return _package(
        "word/document.xml", f"{_MAIN}.wordprocessingml.document.main+xml", {"word/document.xml": text}, extra
    )


def paragraph(text: str, style: str = "") -> str:
    told = f'<w:pPr><w:pStyle w:val="{style}"/></w:pPr>' if style else ""
    return f"<w:p>{told}<w:r><w:t>{text}</w:t></w:r></w:p>"


def table(*rows: Sequence[str]) -> str:
    cells = ("".join(f"<w:tc>{paragraph(cell)}</w:tc>" for cell in row) for row in rows)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in cells)}</w:tbl>"


def pptx(*slides: tuple[str, Sequence[str]]) -> bytes:
    """Slides of a title and lines."""
    drawing = "http://schemas.openxmlformats.org/drawingml/2006/main"
    space = f'xmlns:a="{drawing}" xmlns:p="{drawing.replace("drawingml", "presentationml")}" xmlns:r="{_OFFICE}"'
    ids = "".join(f'<p:sldId id="{256 + number}" r:id="r{number}"/>' for number in range(len(slides)))
    files = {
        "ppt/presentation.xml": f"<p:presentation {space}><p:sldIdLst>{ids}</p:sldIdLst></p:presentation>",
        "ppt/_rels/presentation.xml.rels": _relations(
            "slide", [f"slides/slide{n + 1}.xml" for n in range(len(slides))]
        ),
    }
    for number, (title, lines) in enumerate(slides, 1):
        shapes = _shape("title", [title]) + _shape("body", lines)
        tree = f"<p:cSld><p:spTree><p:nvGrpSpPr/><p:grpSpPr/>{shapes}</p:spTree></p:cSld>"
        files[f"ppt/slides/slide{number}.xml"] = f"<p:sld {space}>{tree}</p:sld>"
    return _package("ppt/presentation.xml", f"{_MAIN}.presentationml.presentation.main+xml", files)


def _shape(kind: str, lines: Sequence[str]) -> str:
    text = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in lines)
    about = f'<p:cNvPr id="2" name="x"/><p:cNvSpPr/><p:nvPr><p:ph type="{kind}"/></p:nvPr>'
    return f"<p:sp><p:nvSpPr>{about}</p:nvSpPr><p:spPr/><p:txBody><a:bodyPr/>{text}</p:txBody></p:sp>"


def xlsx(**sheets: Sequence[Sequence[str]]) -> bytes:
    """Sheets of rows of text."""
    space = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    names = "".join(f'<sheet name="{name}" sheetId="{n + 1}" r:id="r{n}"/>' for n, name in enumerate(sheets))
    files = {
        "xl/workbook.xml": f'<workbook xmlns="{space}" xmlns:r="{_OFFICE}"><sheets>{names}</sheets></workbook>',
        "xl/_rels/workbook.xml.rels": _relations("worksheet", [f"sheets/{n}.xml" for n in range(len(sheets))]),
    }
    for number, rows in enumerate(sheets.values()):
        data = "".join(f'<row r="{r}">{_cells(r, row)}</row>' for r, row in enumerate(rows, 1))
        files[f"xl/sheets/{number}.xml"] = f'<worksheet xmlns="{space}"><sheetData>{data}</sheetData></worksheet>'
    return _package("xl/workbook.xml", f"{_MAIN}.spreadsheetml.sheet.main+xml", files)


def _cells(row: int, values: Sequence[str]) -> str:
    return "".join(
        f'<c r="{chr(65 + column)}{row}" t="inlineStr"><is><t>{value}</t></is></c>'
        for column, value in enumerate(values)
    )


def epub() -> bytes:
    """A book of one chapter."""
    space = "http://www.idpf.org/2007/opf"
    book = "<dc:title xmlns:dc='http://purl.org/dc/elements/1.1/'>The Book</dc:title>"
    item = '<item id="a" href="a.xhtml" media-type="application/xhtml+xml"/>'
    root = '<rootfile full-path="c.opf" media-type="application/oebps-package+xml"/>'
    container = "urn:oasis:names:tc:opendocument:xmlns:container"
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": f'<container xmlns="{container}"><rootfiles>{root}</rootfiles></container>',
            "c.opf": f'<package xmlns="{space}"><metadata>{book}</metadata><manifest>{item}</manifest>'
            '<spine><itemref idref="a"/></spine></package>',
            "a.xhtml": "<html xmlns='http://www.w3.org/1999/xhtml'><body><h1>Chapter</h1><p>Once.</p></body></html>",
        }
    )


def odt() -> bytes:
    """A heading and a paragraph."""
    space = "urn:oasis:names:tc:opendocument:xmlns"
    body = "<text:h text:outline-level='1'>머리말</text:h><text:p>Open text.</text:p>"
    text = (
        f"<office:document-content xmlns:office='{space}:office:1.0' xmlns:text='{space}:text:1.0'>"
        f"<office:body><office:text>{body}</office:text></office:body></office:document-content>"
    )
    return zipped({"mimetype": "application/vnd.oasis.opendocument.text", "content.xml": text})


def _relations(kind: str, targets: Sequence[str]) -> str:
    told = "".join(
        f'<Relationship Id="r{number}" Type="{_OFFICE}/{kind}" Target="{target}"/>'
        for number, target in enumerate(targets)
    )
    return f'<Relationships xmlns="{_RELATIONS}">{told}</Relationships>'


def _package(
    main: str, media_type: str, files: Mapping[str, str | bytes], extra: Mapping[str, bytes] | None = None
) -> bytes:
    defaults = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    types = f'{defaults}<Default Extension="xml" ContentType="application/xml"/>'
    types += f'<Override PartName="/{main}" ContentType="{media_type}"/>'
    begun = {
        "[Content_Types].xml": f'<Types xmlns="{_TYPES}">{types}</Types>',
        "_rels/.rels": _relations("officeDocument", [main]),
    }
    return zipped({**begun, **files, **(extra or {})})
