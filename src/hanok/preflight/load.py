"""Files in: manifests, articles, Hanok's own file, folders of them, and what is piped in.

A folder is searched for `.yaml`, `.yml` and `.json`; what in it is no manifest is passed over with a word. What a user
names is looked at whatever it is called.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, cast

from yaml.nodes import MappingNode, Node, SequenceNode

from hanok.errors import PreflightError
from hanok.preflight.declared import PlatformText
from hanok.preflight.findings import Finding, Rule, Say
from hanok.preflight.helmfiles import TEMPLATES, Helmfile, is_helmfile, is_named, unread
from hanok.preflight.manifests import Body, Cluster, Code, Manifest, Source, list_at, mapping_at, mappings_at, text_at
from hanok.preflight.reading import TEMPLATE, UNREADABLE, Document, blocks, documents, read_mapping

NO_MANIFEST = Rule(
    "HK004",
    "info",
    "not a Kubernetes object",
    "nothing to do, unless it should be one: it needs both `apiVersion` and `kind`",
)

FILE_LIMIT_BYTES = 32 * 1024 * 1024
TOTAL_LIMIT_BYTES = 256 * 1024 * 1024
SUFFIXES, ARTICLES = (".yaml", ".yml", ".json"), (".md", ".markdown", ".mdx")
FENCES = ("yaml", "yml", "json")
STDIN, PLATFORM = "-", "platform.yaml"
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_TOOLS = (
    "skaffold", "eksctl.io", "kind.x-k8s.io", "kubeadm.k8s.io", "audit.k8s.io", "client.authentication.k8s.io",
    "config.kueue.x-k8s.io",
)  # fmt: skip
"""Groups of files that programs are started with, and that no API server is given."""
_SKIPPED = {"node_modules", "__pycache__", "venv"}


@dataclass
class _Gathered:
    """What was read so far."""

    manifests: list[Manifest] = field(default_factory=list[Manifest])
    fragments: list[Manifest] = field(default_factory=list[Manifest])
    codes: list[Code] = field(default_factory=list[Code])
    sources: list[Source] = field(default_factory=list[Source])
    findings: list[Finding] = field(default_factory=list[Finding])
    platforms: list[PlatformText] = field(default_factory=list[PlatformText])
    patches: set[Path] = field(default_factory=set[Path])
    """Files of kustomize's that look like objects, and are parts of them."""
    places: set[Path] = field(default_factory=set[Path])
    """Files that were read, by their absolute path."""
    states: dict[str, list[Manifest]] = field(default_factory=dict[str, list[Manifest]])
    """Documents of helmfiles, by their file."""
    plain: dict[str, list[Body]] = field(default_factory=dict[str, list[Body]])
    """Mappings that are no objects, by their file: others may mean them."""
    templates: list[Path] = field(default_factory=list[Path])
    """Templates of helmfiles and their values, which are not read."""
    bytes: int = 0


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """What there is to look at: a cluster of manifests, and platform files."""

    cluster: Cluster
    platforms: Sequence[PlatformText]


def gather(paths: Sequence[Path]) -> Gathered:
    """Everything at these paths; `-` is stdin. Raises `PreflightError` where there is no such file."""
    found = _Gathered()
    for path in paths:
        if str(path) == STDIN:
            _add(sys.stdin.buffer.read(FILE_LIMIT_BYTES + 1), "stdin", found)
        elif path.is_dir():
            for file in _files(path, path, found):
                _read(file, found, named=False)
        else:
            _read(path, found, named=True)
    _install(found)
    _tell_templates(found)
    cluster = Cluster(
        manifests=found.manifests, fragments=found.fragments, codes=found.codes, sources=found.sources,
        findings=found.findings,
    )  # fmt: skip
    return Gathered(cluster=cluster, platforms=found.platforms)


def read_quotas(path: Path) -> dict[str, float]:
    """Quotas of a cloud account by code: `{"L-DB2E81BA": 64}`, or what `aws service-quotas list-service-quotas` prints.

    Raises `PreflightError`.
    """
    hint = '`aws service-quotas list-service-quotas --service-code ec2 > quotas.json`, or {"L-DB2E81BA": 64}'
    try:
        told: object = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PreflightError(f"{path} cannot be read: {error.strerror}", hint=hint) from None
    except (ValueError, RecursionError) as error:
        raise PreflightError(f"{path} is not JSON: {error}", hint=hint) from None
    listed = mappings_at(told, "Quotas")
    pairs = [(each.get("QuotaCode"), each.get("Value")) for each in listed] or list(mapping_at(told).items())
    found = {str(code): float(value) for code, value in pairs if isinstance(value, int | float)}
    if not found:
        raise PreflightError(f"{path} holds no quotas", hint=hint)
    return found


def digests(paths: Sequence[Path]) -> dict[str, str]:
    """The SHA-256 of each file at these paths, by its name. Raises `PreflightError`."""
    found: dict[str, str] = {}
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                found[file.as_posix()] = _digest(file)
    return found


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise PreflightError(f"{file} cannot be read: {error.strerror}") from None


def _files(folder: Path, root: Path, found: _Gathered) -> Iterator[Path]:
    """The YAML files of a folder, in order. A Helm chart's templates and links out of `root` are passed over, told."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        found.findings.append(UNREADABLE.at(str(folder), 0, f"cannot be read: {error.strerror}"))
        return
    if (folder / "Chart.yaml").is_file() and (folder / "templates").is_dir():
        message = "a Helm chart: its templates are not manifests yet"
        hint = f"`helm template {folder} | hanok preflight -`"
        found.findings.append(TEMPLATE.at(str(folder / "Chart.yaml"), 0, message, hint=hint))
        entries = []
    found.patches |= _patches(folder, found)
    for entry in entries:
        if entry.name.startswith(".") or entry.name in _SKIPPED:
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _files(entry, root, found)
        elif entry.suffix == TEMPLATES and _is_file(entry):
            found.templates.append(entry)
        elif entry.suffix.lower() not in SUFFIXES or not _is_file(entry):
            continue
        elif _leads_out(entry, root):
            message = f"passed over: a link that leads out of {root}"
            found.findings.append(NO_MANIFEST.at(str(entry), 0, message, hint="name the file itself, too"))
        elif entry.resolve() not in found.patches:
            yield entry


def _patches(folder: Path, found: _Gathered) -> set[Path]:
    """The files that a kustomization here patches others with; they are passed over, with a word."""
    file = next((each for name in KUSTOMIZATIONS if (each := folder / name).is_file()), None)
    if file is None:
        return set()
    try:
        body = read_mapping(file.read_text("utf-8"))
    except (OSError, ValueError):
        return set()  # reading it as a manifest says why
    named = [text_at(each, "path") for each in (*mappings_at(body, "patches"), *mappings_at(body, "patchesJson6902"))]
    named += [each for each in list_at(body, "patchesStrategicMerge") if isinstance(each, str) and "\n" not in each]
    patches = {(folder / each).resolve() for each in named if each and _is_file(folder / each)}
    if patches:
        hint = f"`kubectl kustomize {folder} | hanok preflight -`"
        found.findings.append(
            TEMPLATE.at(str(file), 0, "a kustomization: its patches are not manifests yet", hint=hint)
        )
    return patches


def _is_file(path: Path) -> bool:
    """Whether there is such a file; no name that a file says is too odd to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def _leads_out(entry: Path, root: Path) -> bool:
    """Whether a link leads to a file that does not belong to what was named: it may be anybody's."""
    return entry.is_symlink() and not entry.resolve().is_relative_to(root.resolve())


def _read(file: Path, found: _Gathered, *, named: bool) -> None:
    place = file.absolute()
    if place in found.places:  # named beside its folder
        return
    found.places.add(place)
    try:
        with file.open("rb") as opened:
            data = opened.read(FILE_LIMIT_BYTES + 1)
    except OSError as error:
        if named:
            raise PreflightError(
                f"{file} cannot be read: {error.strerror}", hint="name files, folders, or `-`"
            ) from None
        found.findings.append(UNREADABLE.at(str(file), 0, f"cannot be read: {error.strerror}"))
        return
    _add(data, str(file), found, path=file)


def _add(data: bytes, name: str, found: _Gathered, *, path: Path | None = None) -> None:
    found.bytes += len(data)
    text = _text(data, name, found)
    if text is None:
        return
    article = path is not None and path.suffix.lower() in ARTICLES
    fenced = list(blocks(text)) if article else [("yaml", text, 0)]
    parts = [(piece, offset) for language, piece, offset in fenced if language in FENCES]
    others = (each for each in fenced if each[0] not in FENCES)
    found.codes += [Code(file=name, language=each[0], text=each[1], offset=each[2]) for each in others]
    found.sources.append(Source(name=name, parts=parts, digest=sha256(data).hexdigest()))
    for piece, offset in parts:
        for document in documents(piece, name, _teller(name, found), offset=offset):
            if _is_platform(document.value, named=path is not None and path.name == PLATFORM):
                manifest = Manifest(body=document.value, file=name, node=document.node, offset=document.offset)
                found.platforms.append(PlatformText(text=piece, manifest=manifest, before=offset))
            else:
                _sort(document, name, found, article=article)


def _text(data: bytes, name: str, found: _Gathered) -> str | None:
    def refuse(message: str, hint: str) -> None:
        found.findings.append(UNREADABLE.at(name, 0, message, hint=hint))

    if len(data) > FILE_LIMIT_BYTES or found.bytes > TOTAL_LIMIT_BYTES:
        limit, what = (FILE_LIMIT_BYTES, "file") if len(data) > FILE_LIMIT_BYTES else (TOTAL_LIMIT_BYTES, "run")
        refuse(f"is too large: a {what} may have {limit // 2**20} MiB", "look at a part of it")
        return None
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") and b"\0\0" not in data[:4] else "utf-8-sig"
    if b"\0" in data[:4] and encoding == "utf-8-sig":
        refuse("is not UTF-8: it looks like UTF-16 or UTF-32", "save the file as UTF-8")
        return None
    try:
        return data.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        refuse(f"is not UTF-8: a byte in line {line} belongs to no character", "save the file as UTF-8")
        return None


def _is_platform(value: Any, *, named: bool) -> bool:
    """Whether a document is Hanok's own file: it is `named` so, or has models that are served."""
    body = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
    if not body or text_at(body, "kind") or text_at(body, "apiVersion"):
        return False
    return named or any("serve" in model for model in mappings_at(body, "models"))


def _sort(document: Document, name: str, found: _Gathered, *, article: bool) -> None:
    """A document among manifests, fragments, or what is neither."""
    value, node = document.value, document.node
    if not isinstance(value, dict):
        _pass_over(document, name, found, "a list or a single value", grave=_is_listed(value))
        return
    body = cast("dict[str, Any]", value)
    if isinstance(body.get("items"), list) and text_at(body, "kind").endswith("List"):
        for inner, below in zip(cast("list[Any]", body["items"]), _items(node), strict=False):
            if isinstance(inner, dict):
                _sort(Document(value=inner, node=below, offset=document.offset), name, found, article=article)
        return
    manifest = Manifest(body=body, file=name, node=node, offset=document.offset)
    if manifest.kind and manifest.api_version and not _is_tools_own(manifest):
        found.manifests.append(manifest)
        if manifest.kind == "ConfigMap":
            _add_platform(manifest, found)
    elif manifest.kind or manifest.api_version:
        _half(manifest, found)
    elif article or _is_gateways_own(body):
        found.fragments.append(manifest)
    elif Path(name).name in KUSTOMIZATIONS:
        _half(Manifest(body={"kind": "Kustomization", **body}, file=name, node=node, offset=document.offset), found)
    elif is_helmfile(body, name):
        found.states.setdefault(name, []).append(manifest)
    else:
        found.plain.setdefault(name, []).append(body)
        _pass_over(document, name, found, "a mapping without `kind` and `apiVersion`")


def _add_platform(manifest: Manifest, found: _Gathered) -> None:
    """Hanok's own file, where a ConfigMap holds it as `platform.yaml`: its lines are those of the block."""
    text, key = text_at(manifest.body, "data", PLATFORM), ("data", PLATFORM)
    if not text:
        return
    before = manifest.line(*key)  # the text of a block begins below its key
    for document in documents(text, manifest.file, found.findings.append, offset=before):
        if _is_platform(document.value, named=True):
            inner = Manifest(body=document.value, file=manifest.file, node=document.node, offset=document.offset)
            found.platforms.append(PlatformText(text=text, manifest=inner, before=before))


def _is_tools_own(manifest: Manifest) -> bool:
    """A file that tells a tool what to do, and that no API server is given."""
    group = manifest.group
    kubeconfig = (group, manifest.kind) == ("", "Config") and "clusters" in manifest.body
    return kubeconfig or group in _TOOLS or group.endswith(".config.k8s.io")


def _is_gateways_own(body: Body) -> bool:
    """LiteLLM's configuration in a file of its own."""
    return isinstance(body.get("model_list"), list)


def _half(manifest: Manifest, found: _Gathered) -> None:
    if _is_tools_own(manifest) or manifest.kind in ("Kustomization", "Component"):
        folder = Path(manifest.file).parent
        kustomize = manifest.kind in ("Kustomization", "Component")
        hint = f"`kubectl kustomize {folder} | hanok preflight -` looks at what it makes" if kustomize else None
        found.findings.append(NO_MANIFEST.on(manifest, message=f"{manifest.kind} is a tool's own file", hint=hint))
        return
    missing = "apiVersion" if manifest.kind else "kind"
    message = f"an object needs `{missing}`, and has none as text"
    found.findings.append(NO_MANIFEST.on(manifest, message=message, severity="error", hint=f"write its `{missing}`"))


def _is_listed(value: Any) -> bool:
    """Whether this is a bare list of objects, which no API server takes."""
    first = next(iter(cast("list[Any]", value)), None) if isinstance(value, list) else None
    return isinstance(first, dict) and {"apiVersion", "kind"} <= set(cast("dict[str, Any]", first))


def _pass_over(document: Document, name: str, found: _Gathered, what: str, *, grave: bool = False) -> None:
    line = document.node.start_mark.line + 1 + document.offset
    if grave:
        hint = "write objects with `---` between, or as `items` of `kind: List`"
        listed = NO_MANIFEST.at(name, line, "objects in a bare list: `kubectl apply` does not take it", hint=hint)
        found.findings.append(replace(listed, severity="error"))
    elif document.value is not None:
        found.findings.append(NO_MANIFEST.at(name, line, f"passed over: {what}"))


def _items(node: Node) -> list[Node]:
    pairs = cast("list[tuple[Node, Node]]", node.value) if isinstance(node, MappingNode) else []
    found = next((value for name, value in pairs if name.value == "items"), None)
    return cast("list[Node]", found.value) if isinstance(found, SequenceNode) else []


# --- Helmfiles --------------------------------------------------------------------------------------------------------


def _teller(name: str, found: _Gathered) -> Say:
    """Says what is wrong with a document; a helmfile that is a template may bring anything."""

    def say(finding: Finding) -> None:
        if finding.rule is TEMPLATE and is_named(name):
            hint = f"`helmfile -f {name} template | hanok preflight -`"
            message = "this helmfile is a template: what it installs is not known"
            finding = replace(finding, message=message, hint=hint, manifest=unread(name))
        found.findings.append(finding)

    return say


def _install(found: _Gathered) -> None:
    """The releases of all helmfiles, with the values that stand in files that were read, too."""
    if not found.states:
        return
    files = {_resolved(Path(name)): name for name in (*found.plain, *found.states)}
    meant: set[str] = set()

    def read(by: str, name: str) -> Body | None:
        file = files.get(_resolved(Path(by).parent / name))
        if file is None:
            return None
        meant.add(file)
        held = [*found.plain.get(file, ()), *(each.body for each in found.states.get(file, ()))]
        return held[0] if len(held) == 1 else None

    for name, states in found.states.items():
        found.manifests += Helmfile(file=name, documents=states, read=read).releases()
    found.findings = [each for each in found.findings if not (each.file in meant and _is_note(each))]


def _resolved(path: Path) -> str:
    try:
        return str(path.resolve())
    except (OSError, ValueError, RuntimeError):
        return ""


def _is_note(finding: Finding) -> bool:
    return finding.rule is NO_MANIFEST and finding.severity == "info"


def _tell_templates(found: _Gathered) -> None:
    """Said once for all: what they make is not known."""
    if found.templates:
        whole = next((each for each in found.templates if is_named(str(each))), None)
        first = whole or found.templates[0]
        more = f", nor {len(found.templates) - 1} more" if len(found.templates) > 1 else ""
        hint = (
            f"`helmfile -f {whole} template | hanok preflight -`"
            if whole
            else "`helmfile template | hanok preflight -`"
        )
        told = NO_MANIFEST.at(str(first), 0, f"a template of helmfile is not read{more}", hint=hint)
        found.findings.append(replace(told, manifest=unread(str(whole)) if whole else None))
