"""Manifests of a cluster in, a platform in Hanok's form and a note for everything on the way out.

What Hanok rendered itself comes first. Each reader then takes what it knows; later ones find in the draft what earlier
ones put there: gateways name models, engines say what those need, jobs fill knowledge, agents use all three. What
nobody took is told, and what preflight finds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from hanok.migration.litellm import NothingToCarryOver, Translation
from hanok.migration.manifests.agents import read_agents
from hanok.migration.manifests.engines import read_engines
from hanok.migration.manifests.faults import tell_faults
from hanok.migration.manifests.gateways import read_gateways
from hanok.migration.manifests.helmfiles import tell_unread
from hanok.migration.manifests.keys import Keys
from hanok.migration.manifests.knowledge import read_knowledge
from hanok.migration.manifests.mend import mend
from hanok.migration.manifests.operators import read_operators
from hanok.migration.manifests.reasons import KINDS, OTHER_KIND
from hanok.migration.manifests.receivers import read_receivers
from hanok.migration.manifests.rendered import AGAIN, read_rendered
from hanok.migration.manifests.rendered.platform import BASE
from hanok.migration.manifests.rendered.tree import headed
from hanok.migration.manifests.stacks import read_stacks
from hanok.migration.manifests.told import Draft, Told
from hanok.migration.notes import Note, Variable
from hanok.migration.secrets import Variables
from hanok.preflight import Case, Cluster, Report
from hanok.preflight.manifests import Source

_READERS = (read_gateways, read_engines, read_stacks, read_operators, read_receivers, read_knowledge, read_agents)
_CHANGING = re.compile(
    r"^(patches|patchesStrategicMerge|patchesJson6902|images|replicas|namePrefix|nameSuffix|namespace|"
    r"configMapGenerator|helmCharts|replacements|components):",
    re.MULTILINE,
)
_PATCHED = "changes what stands beside it, which was read unchanged: `kubectl kustomize DIR | hanok import manifests -`"
_HINT = re.compile(r"\| hanok preflight -")


def translate_manifests(case: Case, report: Report) -> Translation:
    """Turn a cluster's manifests into a platform; `report` is what preflight says of them.

    Raises `NothingToCarryOver` when no model is left.
    """
    draft, told, variables = Draft(), Told(), Variables()
    keys = Keys(variables)
    tell_unread(case.cluster, told)
    others = read_rendered(case, draft, told, keys)
    for read in _READERS:
        read(others, draft, told, keys)
    files = {source.name: index for index, source in enumerate(case.cluster.sources)}
    platform = mend(draft, variables.all(), told, next(iter(files), "stdin"))
    tell_faults(report, told)
    _leave_rest(case.cluster, told)
    for each in case.platforms:
        if not any(note.to == BASE and note.file == each.manifest.file for note in told.notes):
            told.left(each.manifest, (), "Hanok's own file: it is a platform already")
    notes = sorted((_worded(each) for each in told.notes), key=lambda each: (files.get(each.file, -1), each.line))
    if not platform:
        raise NothingToCarryOver(notes)
    return Translation(platform=platform, variables=_used(variables, str(platform)), notes=notes)


def _leave_rest(cluster: Cluster, told: Told) -> None:
    """What no reader took, and what is no manifest."""
    for each in cluster.manifests:
        if not told.has_taken(each) and not any(_is_about(note, each.title, each.file) for note in told.notes):
            told.left(each, (), KINDS.get(each.kind, OTHER_KIND))
    for each in cluster.fragments:
        if not told.has_taken(each):
            told.left(each, (), f"a part of an object that is not here: {', '.join(list(each.body)[:5])}")
    rendered, patched = headed(cluster), frozenset(each.name for each in cluster.sources if _patches(each))
    for finding in cluster.findings:
        if finding.severity == "info" and finding.file in rendered:
            told.in_code("carried", finding.file, finding.line, finding.path, AGAIN)
        elif finding.severity == "info":
            message = _PATCHED if finding.file in patched else finding.message
            told.in_code("left", finding.file, finding.line, finding.path, message)


def _patches(source: Source) -> bool:
    """Whether a file of kustomize changes what stands beside it."""
    return any("kustomize.config.k8s.io" in text and _CHANGING.search(text) for text, _ in source.parts)


def _is_about(note: Note, title: str, file: str) -> bool:
    return note.kind == "left" and note.file == file and note.path.split(" ")[:2] == title.split(" ")[:2]


def _worded(note: Note) -> Note:
    """Preflight's hints name its own command."""
    return replace(note, message=_HINT.sub("| hanok import manifests -", note.message))


def _used(variables: Variables, text: str) -> Sequence[Variable]:
    return [each for each in variables.all() if re.search(rf"\$\{{env:{each.name}[:}}]", text)]
