"""Knowledge: Milvus, the jobs that bring documents into it, and what an article's code says of the collection.

A job that embeds becomes a knowledge base with the job's source. Its name is the collection's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from hanok.migration.manifests.code import Findings, read_codes, split_rule, strategy_of
from hanok.migration.manifests.keys import Given, Keys, given
from hanok.migration.manifests.releases import release_of
from hanok.migration.manifests.told import Block, Draft, Path, Told, as_model, as_word
from hanok.preflight import Case, Manifest
from hanok.preflight.charts import Chart, charts
from hanok.preflight.consistency.embeddings import known
from hanok.preflight.consistency.environment import environment
from hanok.preflight.manifests import mapping_at, text_at
from hanok.preflight.workloads import Container, Workload
from hanok.spec.checks import quoted

_MODEL = re.compile(r"(?:[A-Z]+_)?EMBED(?:DING|DINGS)?_MODEL(?:_NAME|_ID)?")
_STORE = re.compile(r"(?:MILVUS|VECTOR_DB|VECTOR_STORE|VECTORSTORE)_(?:HOST|URI|URL|ADDRESS)")
_COLLECTION = re.compile(r"(?:[A-Z]+_)?COLLECTION(?:_NAME)?")
_ADDRESS = re.compile(r"(?:OPENAI|EMBEDDING|EMBEDDINGS|TEI)_(?:API_BASE|BASE_URL|API_URL|URL|ENDPOINT)")
_BUCKETS = {"S3_BUCKET": "s3", "GCS_BUCKET": "gs", "GS_BUCKET": "gs"}
_LINK = re.compile(r"(?:SOURCE|DOCS|DOCUMENTS|SITEMAP)_(?:URL|URI)|SITEMAP")
_GIT = re.compile(r"(?:GIT_)?REPO(?:SITORY)?(?:_URL)?|GIT_URL")
_FOLDER = re.compile(r"(?:SOURCE|DOCS|DOCUMENTS|DOCUMENT|DATA|INPUT)_(?:PATH|DIR|FOLDER|DIRECTORY)")
_LOGIN = re.compile(r"://[^/\s@]+@")
_STAND_IN = "https://127.0.0.1:9/documents"
_OPENAI = "https://api.openai.com/v1"
_MILVUS_PORT = 19530
_JOB = "what a job does with documents is Hanok's own work: `hanok knowledge ingest`"


def read_knowledge(case: Case, draft: Draft, told: Told, keys: Keys) -> None:
    """Milvus, and every job that brings documents."""
    _read_milvus(case, draft, told)
    codes = read_codes(case.cluster)
    for workload in case.workloads:
        for container in workload.containers if workload.finite else ():
            job = _Job(case, workload, container, codes.get(workload.manifest.file), told, keys)
            if job.model and (job.has_source or job.store):
                job.read(draft)
    for code in codes.values():
        for name, line in code.collections.items():
            if not any(each["name"] == as_word(name, "documents") for each in draft.knowledge.values()):
                message = "a collection that no job here fills: declare a knowledge base with its sources"
                told.in_code("left", code.file, line, f"collection {name}", message)


def _read_milvus(case: Case, draft: Draft, told: Told) -> None:
    for manifest in case.cluster.of("Milvus", group="milvus.io"):
        told.take(manifest)
        uri = f"http://{manifest.name}-milvus.{manifest.namespace}:{_MILVUS_PORT}"
        if "milvus" in draft.rest:
            told.left(manifest, (), "a platform has one Milvus: the first was taken")
            continue
        draft.rest["milvus"] = {"uri": uri}
        told.changed(manifest, ("metadata", "name"), f"its Service is {manifest.name}-milvus", "milvus.uri")
        for key in mapping_at(manifest.body, "spec"):
            told.left(manifest, ("spec", key), "the server itself stays with its operator")
    for chart in charts(case.cluster):
        if chart.name == "milvus":
            told.take(chart.manifest)
            if "milvus" not in draft.rest:
                draft.rest["milvus"] = {"uri": _chart_address(chart)}
                told.changed(chart.manifest, chart.place, "its Service is named after the release", "milvus.uri")
            told.leave_rest(
                chart.manifest,
                chart.place,
                chart.values,
                dict.fromkeys(chart.values, "the server itself stays with its chart"),
            )


def _chart_address(chart: Chart) -> str:
    """The Service of Milvus' own chart: its release's name, with the chart's behind it where that is not in it."""
    release, space = release_of(chart)
    name = release if "milvus" in release else f"{release}-milvus"
    return f"http://{text_at(chart.values, 'fullnameOverride') or name}.{space}.svc:{_MILVUS_PORT}"


class _Job:
    """One container that embeds documents and ends."""

    def __init__(
        self, case: Case, workload: Workload, container: Container, code: Findings | None, told: Told, keys: Keys
    ) -> None:
        self._workload, self._container, self._code, self._told, self._keys = workload, container, code, told, keys
        self._manifest = workload.manifest
        variables = environment(case.cluster, workload, container).variables
        self._values = {name: each.value for name, each in variables.items() if each.value}
        self._places = {name: (each.manifest, each.path) for name, each in variables.items()}
        self._given = given(container.body, container.path)
        self.model = self._value(_MODEL)[1]
        self.store = self._value(_STORE)[1]
        self.has_source = any(True for _ in self._sources())

    def _value(self, pattern: re.Pattern[str]) -> tuple[str, str]:
        """The first variable that is called so, and its value; empty where there is none."""
        return next(((name, value) for name, value in self._values.items() if pattern.fullmatch(name)), ("", ""))

    def _carried(self, name: str, to: str, message: str = "") -> None:
        manifest, path = self._places.get(name, (self._manifest, self._container.path))
        self._told.carried(manifest, path, to, message)

    def read(self, draft: Draft) -> None:
        told, manifest = self._told, self._manifest
        told.take(manifest)
        name = self._name()
        block: Block = {"name": name, "sources": self._take_sources()}
        block["embed"] = {"model": self._embedder(draft)} | self._size()
        block |= self._split()
        block |= self._from_code()
        if manifest.kind == "CronJob" and (schedule := text_at(manifest.body, "spec", "schedule")):
            block["schedule"] = schedule
            told.carried(manifest, ("spec", "schedule"), f"knowledge[{name}].schedule", self._zone())
        draft.add("knowledge", block, manifest, self._container.path)
        told.changed(manifest, self._container.path, _JOB, f"knowledge[{name}]")
        self._take_store(draft)
        self._leave_variables()

    def _zone(self) -> str:
        zone = text_at(self._manifest.body, "spec", "timeZone")
        return f"in UTC: {zone} is not carried over" if zone else ""

    def _name(self) -> str:
        """What the variables call the collection, else the only one in the article's code, else the job's name."""
        key, written = self._value(_COLLECTION)
        if written:
            self._carried(key, "knowledge[].name")
        elif self._code and len(self._code.collections) == 1:
            written, line = next(iter(self._code.collections.items()))
            self._told.in_code("carried", self._code.file, line, f"collection {written}", "", "knowledge[].name")
        return as_word(written or self._manifest.name, "documents")

    def _sources(self) -> Iterator[tuple[str, Block]]:
        values = self._values
        for name, value in values.items():
            if name in _BUCKETS:
                prefix = values.get(name.replace("BUCKET", "PREFIX"), "").strip("/")
                scheme = "" if "://" in value else f"{_BUCKETS[name]}://"
                yield name, {"uri": scheme + "/".join(part for part in (value.rstrip("/"), prefix) if part)}
            elif _LINK.fullmatch(name):
                yield name, _link(value)
            elif _GIT.fullmatch(name):
                yield name, {"git": value}
            elif _FOLDER.fullmatch(name):
                yield name, {"path": value}

    def _take_sources(self) -> list[Block]:
        found = list(self._sources())
        remote = [each for each in found if "path" not in each[1]]
        chosen = remote or found  # beside a bucket a folder is where the job keeps what it fetched
        for name, source in chosen:
            for key in (each for each in source if _LOGIN.search(source[each])):
                manifest, path = self._places[name]
                to = "knowledge[].sources"
                source[key] = self._keys.hide(source[key], name, self._told, manifest, path, to=to, stand_in=_STAND_IN)
            self._carried(name, "knowledge[].sources", "read with s3fs, gcsfs, …" if "uri" in source else "")
        if not chosen:
            message = "nothing says where its documents come from: put them into the folder `documents`"
            self._told.changed(self._manifest, self._container.path, message, "knowledge[].sources")
        return [source for _, source in chosen] or [{"path": "documents"}]

    def _embedder(self, draft: Draft) -> str:
        """The model that makes vectors: one that is there, or a new one."""
        key, written = self._value(_MODEL)
        name = as_model(written)
        self._carried(key, "knowledge[].embed.model", name)
        there = draft.models.get(name)
        if there is not None and there.get("type") == "embedding":
            return name
        same = (each for each in draft.models.values() if each.get("type") == "embedding" and _asks(each, written))
        if (other := next(same, None)) is not None:
            return str(other["name"])
        endpoint = self._endpoint(written)
        block: Block = {"name": name, "type": "embedding", "serve": endpoint}
        return draft.add("models", block, *self._places[key])

    def _endpoint(self, model: str) -> Block:
        key, url = self._value(_ADDRESS)
        secret = self._given.get("OPENAI_API_KEY") or self._given.get("EMBEDDING_API_KEY")
        if url:
            self._carried(key, "models[].serve[].url")
        elif secret is None and not model.startswith("text-embedding-"):
            url = self._keys.variables.refer("EMBEDDING_URL", "http://127.0.0.1:9")
            message = f"nothing says where {model} is asked: set EMBEDDING_URL"
            self._told.changed(self._manifest, self._container.path, message, "models[].serve[].url")
        endpoint: Block = {"engine": "openai", "url": url or _OPENAI, "model": model}
        if secret is not None:
            endpoint["key"] = self._keys.carry(secret, self._told, self._manifest, to="models[].serve[].key")
        elif not url:
            endpoint["key"] = self._keys.variables.refer("OPENAI_API_KEY")
        return endpoint

    def _size(self) -> Block:
        """`dimensions`, where the collection is smaller than the model's vectors, and the model can shorten them."""
        said = self._code.dimensions if self._code else None
        model = known(self.model)
        if self._code is None or said is None or model is None or said.value == model.size:
            return {}
        file, path = self._code.file, f"dim={said.value}"
        if model.shorter and said.value < model.size:
            message = f"{model.name} makes vectors of {model.size}; it is asked for {said.value}, the collection's size"
            self._told.in_code("changed", file, said.line, path, message, "knowledge[].embed.dimensions")
            return {"dimensions": said.value}
        message = f"{model.name} makes vectors of {model.size}: Hanok makes the collection anew with that size"
        self._told.in_code("wrong", file, said.line, path, message, "knowledge[].embed")
        return {}

    def _split(self) -> Block:
        size, overlap = (_whole(self._values.get(name)) for name in ("CHUNK_SIZE", "CHUNK_OVERLAP"))
        names = ("CHUNK_STRATEGY", "CHUNKING_STRATEGY", "SPLIT_STRATEGY")
        strategy = next((found for name in names if (found := strategy_of(self._values.get(name, "")))), None)
        rule = split_rule(strategy, size, overlap)
        for name in ("CHUNK_SIZE", "CHUNK_OVERLAP", *names):
            if name in self._values and rule:
                self._carried(name, "knowledge[].split")
        return {"split": [rule]} if rule else {}

    def _from_code(self) -> Mapping[str, Block]:
        """What the article's code says of the collection, the chunks and the searches."""
        if self._code is None:
            return {}
        said = {"split": self._code.split, "index": self._code.index, "retrieve": self._code.retrieve}
        found = {key: each for key, each in said.items() if each is not None and each.value}
        for key, each in found.items():
            message = "as the article's code says"
            self._told.in_code("carried", self._code.file, each.line, key, message, f"knowledge[].{key}")
        return {key: each.value for key, each in found.items()}

    def _take_store(self, draft: Draft) -> None:
        key, store = self._value(_STORE)
        if not store:
            return
        manifest, path = self._places[key]
        if "milvus" in draft.rest:
            own = text_at(draft.rest, "milvus", "uri")
            message = f"Hanok asks {own}" if store.split(":")[0] not in own else ""
            self._told.carried(manifest, path, "milvus.uri", message)
            return
        port = self._values.get("MILVUS_PORT", str(_MILVUS_PORT))
        address = store if "://" in store else f"http://{store}" + ("" if ":" in store else f":{port}")
        draft.rest["milvus"] = {"uri": address}
        self._told.carried(manifest, path, "milvus.uri")

    def _leave_variables(self) -> None:
        for name, each in self._given.items():
            notes = (note for note in self._told.notes if note.file == self._manifest.file)
            if not any(self._manifest.title in note.path and note.path.endswith(_suffix(each)) for note in notes):
                self._told.left(self._manifest, each.path, f"{name}: a variable of the job's own program")


def _suffix(each: Given) -> str:
    return f"env[{each.path[-1]}].value" if each.text is not None else f"env[{each.path[-1]}]"


def _link(value: str) -> Block:
    if value.startswith(("http://", "https://")):
        return {"sitemap": value} if value.endswith(".xml") else {"url": value}
    return {"uri": value} if "://" in value else {"path": value}


def _whole(value: str | None) -> int | None:
    return int(value) if value is not None and re.fullmatch(r"\d{1,9}", value) else None


def _asks(model: Block, name: str) -> bool:
    serve = model.get("serve")
    return isinstance(serve, dict) and mapping_at(serve).get("model") == name


def base_for(collection: str, draft: Draft, told: Told, manifest: Manifest, path: Path) -> str:
    """The knowledge base for a collection that an agent searches; a new one where no job fills it."""
    name = as_word(collection, "documents")
    if name in draft.knowledge:
        return name
    block: Block = {"name": name, "sources": [{"path": "documents"}]}
    message = f"no job here fills {quoted(collection)}: put its documents into the folder `documents`"
    told.changed(manifest, path, message, f"knowledge[{name}].sources")
    return draft.add("knowledge", block, manifest, path)
