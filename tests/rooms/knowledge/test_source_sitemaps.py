"""Documents on the web: `sitemap`."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hanok.errors import DocumentRefused, SourceUnreadable
from hanok.knowledge.sources.sitemap_client import Sitemap
from hanok.knowledge.sources.web_client import Web
from tests.rooms.knowledge.opening import entries_of, read_from
from tests.website import Site, running_site

SPACE = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'


@pytest.fixture
def site() -> Iterator[Site]:
    with running_site() as running:
        yield running


def sitemap(*places: str, root: str = "urlset", item: str = "url") -> str:
    """A sitemap of these, each `url` or `url lastmod`."""
    items = ""
    for place in places:
        url, _, changed = place.partition(" ")
        items += f"<{item}><loc>\n {url} </loc>{f'<lastmod>{changed}</lastmod>' if changed else ''}</{item}>"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{root} {SPACE}>{items}</{root}>'


index = partial(sitemap, root="sitemapindex", item="sitemap")


def listed(site: Site, tmp_path: Path, **declared: Any) -> list[str]:
    """Paths of the pages that `/sitemap.xml` leads to."""
    entries = entries_of(tmp_path, sitemap=f"{site.url}/sitemap.xml", private=True, **declared)
    return [entry.uri.removeprefix(site.url) for entry in entries]


def test_pages_are_listed_with_the_times_that_the_sitemap_tells(site: Site, tmp_path: Path) -> None:
    place = site.page("/sitemap.xml", sitemap(f"{site.url}/a 2024-01-01", f"{site.url}/b.pdf 2024-01-02"))
    site.page("/a", "text")
    a, b = entries_of(tmp_path, sitemap=place, private=True, team="red", metadata={"x": 1})
    assert (a.uri, a.version, a.media_type) == (f"{site.url}/a", "lastmod 2024-01-01", "text/html")
    assert (b.uri, b.version, b.media_type) == (f"{site.url}/b.pdf", "lastmod 2024-01-02", "application/pdf")
    assert (a.reader, a.metadata) == ("red", {"x": 1})
    assert site.methods("/a") == []
    assert read_from(tmp_path, a, sitemap=place, private=True) == b"text"


def test_pages_without_a_time_are_asked_for_their_heads_alone(site: Site, tmp_path: Path) -> None:
    place = site.page("/sitemap.xml", sitemap(f"{site.url}/a", f"{site.url}/gone"))
    site.page("/a", "text", ETag="e1", Content_Type="text/markdown")
    a, gone = entries_of(tmp_path, sitemap=place, private=True)
    assert (a.version, a.media_type) == ("e1", "text/markdown")
    assert site.methods("/a") == ["HEAD"]
    assert gone.version == ""
    with pytest.raises(DocumentRefused, match="answered 404"):
        read_from(tmp_path, gone, sitemap=place, private=True)


def test_an_index_leads_to_further_sitemaps_packed_or_not(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", index(f"{site.url}/1.xml.gz", f"{site.url}/2.xml", f"{site.url}/2.xml"))
    site.page("/1.xml.gz", gzip.compress(sitemap(f"{site.url}/a 1", f"{site.url}/b 1").encode()))
    site.page("/2.xml", sitemap(f"{site.url}/b 1", f"{site.url}/c#x 1"))
    assert listed(site, tmp_path) == ["/a", "/b", "/c"]
    assert site.methods("/2.xml") == ["GET"]


def test_indexes_that_list_one_another_come_to_an_end(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", index(f"{site.url}/1.xml"))
    site.page("/1.xml", index(f"{site.url}/sitemap.xml", f"{site.url}/2.xml"))
    site.page("/2.xml", sitemap(f"{site.url}/a 1"))
    assert listed(site, tmp_path) == ["/a"]
    site.page("/2.xml", index(f"{site.url}/3.xml"))
    with pytest.raises(SourceUnreadable, match="3 levels deep"):
        listed(site, tmp_path)


def test_only_pages_of_the_sitemaps_own_host_are_taken(site: Site, tmp_path: Path) -> None:
    others = ["http://other.example/x", "http://127.0.0.1:1/x", "file:///etc/passwd", "ftp://127.0.0.1/x", "/relative"]
    others += [f"http://user@127.0.0.1:{site.port}/x", "http://[::1/", "http://169.254.169.254/x"]
    site.page("/sitemap.xml", sitemap(*(f"{url} 1" for url in others), f"{site.url}/a 1"))
    assert listed(site, tmp_path) == ["/a"]
    site.page("/sitemap.xml", sitemap(*(f"{url} 1" for url in others)))
    with pytest.raises(SourceUnreadable, match="lists 8 pages, and none that may be taken"):
        listed(site, tmp_path)
    site.page("/sitemap.xml", index("http://other.example/1.xml"))
    with pytest.raises(SourceUnreadable, match="a sitemap of another host"):
        listed(site, tmp_path)


def test_a_page_that_redirects_to_another_host_is_refused(site: Site, tmp_path: Path) -> None:
    place = site.page("/sitemap.xml", sitemap(f"{site.url}/a 1"))
    site.page("/a", "", 302, Location="http://other.example/")
    (entry,) = entries_of(tmp_path, sitemap=place, private=True)
    with pytest.raises(DocumentRefused, match=r"redirects to another host: other\.example"):
        read_from(tmp_path, entry, sitemap=place, private=True)


def test_a_page_that_turns_out_to_be_something_else_is_refused(site: Site, tmp_path: Path) -> None:
    place = site.page("/sitemap.xml", sitemap(f"{site.url}/a 1"))
    site.page("/a", "%PDF", Content_Type="application/pdf")
    (entry,) = entries_of(tmp_path, sitemap=place, private=True)
    with pytest.raises(DocumentRefused, match="is application/pdf"):
        read_from(tmp_path, entry, sitemap=place, private=True)


def test_globs_choose_among_paths(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", sitemap(*(f"{site.url}{path} 1" for path in ("/docs/a", "/docs/old/b", "/blog/c", "/"))))
    assert listed(site, tmp_path, include=["/docs/"], exclude=["old"]) == ["/docs/a"]
    assert listed(site, tmp_path) == ["/docs/a", "/docs/old/b", "/blog/c", "/"]


def test_more_pages_than_declared_are_unreadable(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", sitemap(*(f"{site.url}/{number} 1" for number in range(3))))
    assert len(listed(site, tmp_path, max_documents=3)) == 3
    with pytest.raises(SourceUnreadable, match="has more than 2 documents"):
        listed(site, tmp_path, max_documents=2)


BILLION = "<!DOCTYPE l [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;&a;'>]>"
BOMBS = {
    "entities": f"{BILLION}<urlset><url><loc>&b;</loc></url></urlset>",
    "a file": "<!DOCTYPE u SYSTEM 'file:///etc/passwd'><urlset/>",
    "in another encoding": f"<?xml version='1.0' encoding='utf-16'?>{BILLION}<urlset/>".encode("utf-16"),
    "no sitemap": "<html><body>Sign in</body></html>",
    "HTML": "<!doctype html><html></html>",
    "broken": "<urlset><url><loc>http://",
    "nothing": "",
    "an entity of its own": "<urlset><url><loc>&x;</loc></url></urlset>",
    "too large": gzip.compress(b"<urlset>" + b" " * (51 * 1024 * 1024)),
}


@pytest.mark.parametrize("body", BOMBS.values(), ids=BOMBS.keys())
def test_what_is_no_sitemap_or_means_harm_is_unreadable(site: Site, tmp_path: Path, body: str | bytes) -> None:
    site.page("/sitemap.xml", body)
    with pytest.raises(SourceUnreadable, match=r"is no sitemap|is larger than"):
        listed(site, tmp_path)


def test_one_sitemap_that_does_not_answer_makes_the_whole_unreadable(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", index(f"{site.url}/1.xml", f"{site.url}/2.xml"))
    site.page("/1.xml", sitemap(f"{site.url}/a 1"))
    with pytest.raises(SourceUnreadable, match=r"2\.xml answered 404"):
        listed(site, tmp_path)


def test_an_empty_sitemap_has_no_pages(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", sitemap())
    assert listed(site, tmp_path) == []


# robots.txt.

PAGES = ["/", "/docs/a", "/docs/private/b", "/docs/private/open", "/x.pdf", "/x.pdf?v=1"]


@pytest.mark.parametrize(
    ("rules", "closed"),
    [
        ("", []),
        ("User-agent: *\nDisallow:\n", []),
        ("User-agent: other\nDisallow: /\n", []),
        ("User-agent: other\nDisallow:\nUser-agent: *\nDisallow: /docs/\n", PAGES[1:4]),
        ("\ufeffuser-AGENT: *\ndisallow: /docs/private # not yet\nAllow: /docs/private/open", ["/docs/private/b"]),
        ("User-agent: *\nDisallow: /\n\nUser-agent: Hanok/1.0\nUser-agent: x\nDisallow: /x", PAGES[4:]),
        ("User-agent: *\nDisallow: /*.pdf$\n", ["/x.pdf"]),
        ("User-agent: *\nDisallow: /*/private/*o\n", ["/docs/private/open"]),
        ("User-agent: *\nAllow: /docs\nDisallow: /docs\n", []),
        ("User-agent: *\nDisallow: /$\n", ["/"]),
        ("Disallow: /\nnonsense\n:\n", []),
    ],
)
def test_what_robots_txt_closes_is_left_out(site: Site, tmp_path: Path, rules: str, closed: list[str]) -> None:
    site.page("/sitemap.xml", sitemap(*(f"{site.url}{path} 1" for path in PAGES)))
    site.page("/robots.txt", rules)
    assert listed(site, tmp_path) == [path for path in PAGES if path not in closed]


def test_a_robots_txt_that_would_exhaust_an_expression_is_read_in_time(site: Site, tmp_path: Path) -> None:
    site.page("/robots.txt", "User-agent: *\n" + f"Disallow: /{'*a' * 60}b\n" * 2000)
    site.page("/sitemap.xml", sitemap(f"{site.url}/{'a' * 1000} 1"))
    assert listed(site, tmp_path) == [f"/{'a' * 1000}"]


def test_a_host_that_cannot_tell_its_rules_is_unreadable(site: Site, tmp_path: Path) -> None:
    site.page("/sitemap.xml", sitemap(f"{site.url}/a 1"))
    site.page("/robots.txt", "", 503)
    with pytest.raises(SourceUnreadable, match=r"robots\.txt answered 503"):
        listed(site, tmp_path)
    assert site.methods("/sitemap.xml") == []


def test_private_networks_are_closed_unless_that_is_declared(site: Site, tmp_path: Path) -> None:
    with pytest.raises(SourceUnreadable, match="is of a private network"):
        entries_of(tmp_path, sitemap=f"{site.url}/sitemap.xml")
    assert site.asked == []


def test_a_sitemap_of_a_name_in_a_private_network_is_read_at_the_address_that_was_judged(
    site: Site, tmp_path: Path
) -> None:
    home = f"http://docs.invalid:{site.port}"
    site.page("/sitemap.xml", sitemap(f"{home}/a 1", f"{site.url}/b 1"))
    opened = partial(Sitemap, web=Web(private=True, resolve=lambda *_: ["127.0.0.1"]))
    (entry,) = entries_of(tmp_path, opened=opened, sitemap=f"{home}/sitemap.xml")
    assert entry.uri == f"{home}/a"
