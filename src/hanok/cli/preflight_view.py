"""How a report looks to people: findings by file and object, then what was proved, then the verdict in one sentence.

Everything is laid out in lines of text, which is quick, and kept to the terminal's width; a pipe has none. What repeats
is told once, with the places where it holds, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from rich.console import Console, Group
from rich.text import Text

from hanok.cli.preflight_bill import show_bill
from hanok.cli.preflight_folded import Told, fold
from hanok.cli.terminal import data
from hanok.preflight import SEVERITIES, Claim, Finding, Manifest, Report, Severity, is_grave, marked

WIDEST = 120
"""Lines longer than that are hard to read, however wide the terminal."""
ROOMY = 70
"""From this width on messages stand in a column of their own."""
NAMED = 3
"""So many of the places that are alike are named."""
BULLET = "· "
"""How a line of a message begins that is one of several."""
LISTED = 12
"""So many things that are missing are listed."""
_MARKS = {"error": ("✗", "bold red"), "warning": ("!", "yellow"), "info": ("·", "bright_black")}
_OPEN = ("?", "bold magenta")
_VERDICTS = {"proved": ("✓", "bold green"), "refuted": ("✗", "bold red"), "unknown": ("?", "bold magenta")}
_PLURALS = (("error", "errors"), ("warning", "warnings"), ("info", "notes"))
_STEERING = dict.fromkeys(
    [*range(10), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�"
)
"""Characters that terminals obey, or that turn text round."""


@dataclass(frozen=True, kw_only=True)
class Looks:
    """What the user wants to see."""

    least: Severity = "warning"
    everything: bool = False
    """Nothing folded."""
    quote: bool = True
    """The line of the file that a finding is about."""


@dataclass(frozen=True, kw_only=True)
class _Page:
    """What is written on: how wide it is, and the files' lines."""

    console: Console
    width: int
    lines: Mapping[str, Mapping[int, str]]

    def wrap(self, text: Text, first: Text, indent: int) -> Iterator[Text]:
        """The text behind `first`, its further lines indented."""
        for number, line in enumerate(text.split("\n") if "\n" in text.plain else [text]):
            point = BULLET if line.plain.startswith(BULLET) else ""
            before = Text(" " * indent) if number else _pad(first, indent)
            for piece in self._pieces(line[len(point) :], indent + len(point)):
                yield Text.assemble(before, point, piece)
                before, point = Text(" " * indent), " " * len(point)

    def _pieces(self, line: Text, indent: int) -> Iterator[Text]:
        """One line of text, cut where the terminal ends."""
        room = max(20, self.width - indent)
        for piece in [line] if line.cell_len <= room else line.wrap(self.console, room, overflow="fold"):
            piece.rstrip()
            yield piece


def show(report: Report, looks: Looks, console: Console = data) -> None:
    """The report for people, on stdout."""
    report = replace(report, findings=[_clean(each) for each in report.findings])
    width = console.width if not console.is_terminal else min(console.width, WIDEST)
    page = _Page(console=console, width=width, lines=_lines(report) if looks.quote else {})
    shown = [each for each in report.findings if is_grave(each, looks.least)]
    console.print(Group(*_findings(shown, page, looks)), soft_wrap=True)
    show_bill(report, console)
    lines = [
        *(_claim(each, report) for each in report.claims),
        Text(),
        *_verdict(report, page, looks),
        *_counts(report, shown, page, looks),
    ]
    console.print(Group(*lines), soft_wrap=True)


def _clean(finding: Finding) -> Finding:
    """A finding without what would steer the terminal: a name in a manifest may be `\x1b[2J`."""
    told = {key: getattr(finding, key) for key in ("file", "object", "message", "hint")}
    if all(text.isprintable() for text in told.values()):
        return finding
    return replace(finding, **{key: text.translate(_STEERING) for key, text in told.items()})


def _findings(shown: Sequence[Finding], page: _Page, looks: Looks) -> Iterator[Text]:
    told = [Told(finding=each) for each in shown] if looks.everything else fold(shown)
    by_file = {file: list(group) for file, group in groupby(shown, key=lambda each: each.file)}
    for file, group in groupby(told, key=lambda each: each.finding.file):
        title = (file or "everything together", "bold underline")
        yield Text.assemble(title, "  ", _tally(by_file[file]))
        for thing, parts in groupby(group, key=lambda each: each.finding.object):
            yield Text()
            if thing:
                yield from page.wrap(Text(thing, style="bold"), Text(), 2)
            for each in sorted(parts, key=_gravity):
                yield from _finding(each, page)
        yield Text()


def _gravity(told: Told) -> tuple[bool, int]:
    return told.finding.rule.open, SEVERITIES.index(told.finding.severity)


def _finding(told: Told, page: _Page) -> Iterator[Text]:
    finding = told.finding
    mark, style = _mark(finding)
    first = Text.assemble((f"{finding.line or '':>6} ", "bright_black"), (f"{mark} ", style))
    rule, message = Text(f"{finding.rule.id} ", style=style), _spoken(finding.message)
    if page.width >= ROOMY:
        first, rule = Text.assemble(first, rule), Text()
    indent = first.cell_len
    yield from page.wrap(Text.assemble(rule, message), first, indent)
    yield from _quote(finding, style, indent, page)
    yield from page.wrap(Text(finding.hint, style="cyan"), Text(f"{'':{indent}}→ ", style="cyan"), indent + 2)
    for words in _others(told):
        mark = Text(f"{'':{indent}}⋯ ", style="bright_black")
        yield from page.wrap(Text(words, style="bright_black"), mark, indent + 2)


def _mark(finding: Finding) -> tuple[str, str]:
    return _OPEN if finding.rule.open else _MARKS[finding.severity]


def _spoken(message: str) -> Text:
    """A message; what stands in backticks is what a file says, or should."""
    text = Text(message)
    if "`" in message:
        text.highlight_regex(r"`[^`]+`", "bold")
    return text


def _others(told: Told) -> Iterator[str]:
    if told.others:
        yield f"and {len(told.others)} more like it: {_places(told.others, told.finding)}"
    if told.unlike:
        rule = told.finding.rule.id
        yield f"and {len(told.unlike)} more of {rule}, told with --all: {_places(told.unlike, told.finding)}"


def _places(findings: Sequence[Finding], first: Finding) -> str:
    places = list(dict.fromkeys(_place(each, first) for each in findings))
    return ", ".join(places[:NAMED]) + (", …" if len(places) > NAMED else "")


def _place(finding: Finding, first: Finding) -> str:
    """Where a finding is, seen from another one."""
    if finding.file == first.file:
        where = f"line {finding.line}" if finding.line else finding.file
    else:
        where = _where(finding)
    return f"{finding.object} ({where})" if finding.object not in ("", first.object) else where


def _quote(finding: Finding, style: str, indent: int, page: _Page) -> Iterator[Text]:
    """The line of the file, what it is about marked beneath."""
    line = page.lines.get(_source(finding), {}).get(finding.line, "").rstrip()
    if not line.strip() or (finding.manifest is not None and not _quotable(finding.manifest, finding)):
        return
    text = line.strip().expandtabs(2).translate(_STEERING)
    start, end = marked(text, finding.path)
    if text.endswith(":"):  # what it is about stands below
        return
    room = max(20, page.width - indent - 2)
    if len(text) > room:
        text = f"{text[: room - 1]}…"
    start, end = min(start, room - 1), min(end, len(text))
    bar = (f"{'':{indent}}│ ", "blue")
    under = Text(text[:start]).cell_len, max(1, Text(text[start:end]).cell_len)
    yield Text.assemble(bar, text)
    if (start, end) != (0, len(text)):
        yield Text.assemble(bar, " " * under[0], ("^" * under[1], style))


def _source(finding: Finding) -> str:
    """The file's name as it is, which may not be fit to print."""
    return finding.manifest.file if finding.manifest else finding.file


def _quotable(manifest: Manifest, finding: Finding) -> bool:
    """Not the first line of an object, which says nothing, nor a Secret's, which is nobody's to print."""
    return bool(finding.path) and manifest.kind != "Secret"


def _lines(report: Report) -> dict[str, dict[int, str]]:
    """The lines that findings are about, by file and number."""
    wanted: dict[str, set[int]] = {}
    for each in report.findings:
        wanted.setdefault(_source(each), set()).add(each.line)
    found: dict[str, dict[int, str]] = {}
    for source in report.case.cluster.sources:
        numbers = wanted.get(source.name, set())
        for part, before in source.parts if numbers else ():
            lines = part.split("\n")
            here = (number for number in numbers if before < number <= before + len(lines))
            found.setdefault(source.name, {}).update({number: lines[number - before - 1] for number in here})
    return found


def _claim(claim: Claim, report: Report) -> Text:
    mark, style = _VERDICTS[claim.verdict]
    told = ", ".join(_numbers(claim.errors, claim.warnings, 0, claim.open))
    wide = max(len(each.layer) for each in report.claims)
    return Text.assemble(
        (f" {mark} ", style), f"{claim.layer:{wide}}  " if told else claim.layer, (told, "bright_black")
    )


def _verdict(report: Report, page: _Page, looks: Looks) -> Iterator[Text]:
    mark, style = _VERDICTS[report.verdict]
    first, verdict = Text(f" {mark} ", style=style), Text(f"{report.verdict}: ", style=style)
    if report.verdict == "refuted":
        worst = report.refuting[0]
        yield from page.wrap(Text.assemble(verdict, _spoken(sentence(worst))), first, 3)
        where = " · ".join(each for each in (_where(worst), f"hanok rules show {worst.rule.id}") if each)
        yield from page.wrap(Text(where, style="bright_black"), Text("   "), 3)
    elif report.verdict == "proved":
        yield from page.wrap(Text.assemble(verdict, _scope(report)), first, 3)
    else:
        yield from page.wrap(Text.assemble(verdict, "the proof needs what is missing here:"), first, 3)
        yield from _missing(report, page, looks)


def _missing(report: Report, page: _Page, looks: Looks) -> Iterator[Text]:
    """What would have to be known, once each."""
    wanted = fold([replace(each, severity="warning") for each in report.missing])
    for each in wanted if looks.everything else wanted[:LISTED]:
        count = len(each.others) + len(each.unlike)
        more = f"; and {count} more like it" if count else ""
        yield from page.wrap(_spoken(f"{sentence(each.finding)}{more}"), Text("   • ", style="magenta"), 5)
    if len(wanted) > LISTED and not looks.everything:
        yield Text(f"   • {len(wanted) - LISTED} more with --all", style="bright_black")


def sentence(finding: Finding) -> str:
    """A finding in one sentence."""
    message = finding.message.partition("\n")[0]
    return f"{finding.object}: {message}" if finding.object else message


def _where(finding: Finding) -> str:
    return f"{finding.file}:{finding.line}" if finding.file and finding.line else finding.file


def _scope(report: Report) -> str:
    """What the proof is about."""
    cluster, facts = report.case.cluster, report.case.facts
    models = sum(len(each.loaded.platform.models) for each in report.case.platforms if each.loaded)
    told = [_number(len(cluster.manifests), "object", "objects")] if cluster.manifests or not models else []
    told += [_number(models, "model", "models")] if models else []
    objects, files = " and ".join(told), _number(len(cluster.sources), "file", "files")
    return f"{objects} in {files}, on Kubernetes {facts.kubernetes}, with figures of {facts.catalog.date}"


def _counts(report: Report, shown: Sequence[Finding], page: _Page, looks: Looks) -> Iterator[Text]:
    """How many of what, and what was not shown."""
    told = list(_numbers(*_by_severity(report.findings)))
    told += [f"{len(report.ignored)} ignored"] if report.ignored else []
    if hidden := len(report.findings) - len(shown):
        notes_alone = looks.least == "warning"
        told += ["--info shows notes" if notes_alone else f"{hidden} of them not shown (--min-severity)"]
    terms = report.terms
    told += [f"only {', '.join(terms.select)}"] if terms.select else []
    told += [f"without {', '.join(terms.skip)}"] if terms.skip else []
    told += ["warnings count as errors"] if terms.strict else []
    if told:
        yield from page.wrap(Text(" · ".join(told), style="bright_black"), Text(), 3)


def _by_severity(findings: Iterable[Finding]) -> tuple[int, int, int, int]:
    counts = dict.fromkeys((*SEVERITIES, "open"), 0)
    for each in findings:
        counts["open" if each.rule.open else each.severity] += 1
    return counts["error"], counts["warning"], counts["info"], counts["open"]


def _tally(findings: Sequence[Finding]) -> Text:
    """How many of what, in the colours of what they are."""
    styles = [*(style for _, style in _MARKS.values()), _OPEN[1]]
    counts = _by_severity(findings)
    told = [
        Text(next(_numbers(*(count if place == at else 0 for place in range(4)))), style=styles[at])
        for at, count in enumerate(counts)
        if count
    ]
    return Text(" · ", style="bright_black").join(told)


def _numbers(errors: int, warnings: int, notes: int, missing: int) -> Iterator[str]:
    for count, (one, many) in zip((errors, warnings, notes, missing), (*_PLURALS, ("open", "open")), strict=True):
        if count:
            yield _number(count, one if one != "info" else "note", many)


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"


def _pad(first: Text, indent: int) -> Text:
    return Text.assemble(first, " " * max(0, indent - first.cell_len))
