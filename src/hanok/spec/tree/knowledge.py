"""Knowledge: documents, how they become passages, and how they are found and told again."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from hanok.spec.tree.values import HttpUrl, Number, PageUrl, Tree, Whole, as_list, unsaid

DocumentType = Literal["code", "documentation", "chat_logs", "text", "table"]
"""What a document is, by which it is split: told by a source, or by the file's name."""
Strategy = Literal["fixed", "token", "semantic", "markdown", "code"]
IndexType = Literal["FLAT", "IVF_FLAT", "HNSW", "GPU_IVF_FLAT", "SCANN"]
Metric = Literal["COSINE", "IP", "L2"]
Terms = Literal["bigram", "kiwi"]
KnowledgeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
_Whole = Annotated[int, Field(ge=-(2**63), lt=2**63)]
Metadata = dict[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")], str | bool | _Whole | float
]
SourceKind = Literal["path", "url", "sitemap", "git", "uri", "builtin"]
SOURCE_KINDS: tuple[SourceKind, ...] = ("path", "url", "sitemap", "git", "uri", "builtin")
_MACROS = ("@hourly", "@daily", "@weekly", "@monthly")
_CRON = re.compile(r"(\S+\s+){4}\S+")


_ONLY_FOR: dict[str, tuple[SourceKind, ...]] = {
    "ref": ("git",),
    "subfolder": ("git",),
    "options": ("uri",),
    "private": ("url", "sitemap"),
}


def _as_schedule(value: str) -> str:
    """Five fields of cron, or a word for one of the usual; when that is, is checked with all the rest."""
    if value not in _MACROS and not _CRON.fullmatch(value.strip()):
        told = {"words": ", ".join(_MACROS)}
        raise PydanticCustomError(
            "schedule_type", 'must be five fields of cron, as "0 3 * * *", or one of {words}', told
        )
    return value


class Milvus(Tree):
    """Where passages are kept."""

    uri: HttpUrl | None = Field(
        default=None,
        description="A Milvus server, as `http://milvus:19530`; by default Milvus Lite in the state folder.",
    )
    token: SecretStr | None = Field(default=None, description="Its API key, or `user:password`.")
    db: str = Field(default="default", min_length=1, max_length=255, description="The database on that server.")
    timeout_s: Number = Field(default=30.0, gt=0, description="Longest wait for one call to it, in seconds.")


class Source(Tree):
    """Where documents come from: exactly one of `path`, `url`, `sitemap`, `git`, `uri` and `builtin`."""

    path: str | None = Field(default=None, min_length=1, description="A file, folder or glob, relative to this file.")
    url: PageUrl | None = Field(default=None, description="One page on the web.")
    sitemap: PageUrl | None = Field(default=None, description="A sitemap: every page that it lists on its own host.")
    git: str | None = Field(default=None, min_length=1, description="A git repository: its URL, or a folder's path.")
    uri: str | None = Field(
        default=None, pattern=r"^[a-z][a-z0-9+.-]*://.+", description="What `fsspec` reads, as `s3://bucket/prefix`."
    )
    builtin: Literal["handbook"] | None = Field(
        default=None, description="`handbook`: the documentation of this version of Hanok, that comes with it."
    )
    include: list[str] = Field(default=[], description="Globs below the source; by default every format that is known.")
    exclude: list[str] = Field(default=[], description="Globs below the source that are left out.")
    ref: str | None = Field(default=None, description="For `git`: a branch, a tag or a commit; by default its HEAD.")
    subfolder: str = Field(default="", description="For `git`: only what lies below this folder.")
    options: dict[str, str | bool | int | float | SecretStr] = Field(
        default={}, description="For `uri`: what its file system is opened with, as `endpoint_url`."
    )
    private: bool = Field(default=False, description="For `url` and `sitemap`: also addresses of private networks.")
    max_documents: Whole = Field(default=100_000, ge=1, description="The most documents to take from it.")
    type: DocumentType | None = Field(default=None, description="What its documents are; by default by their names.")
    team: str | None = Field(default=None, description="The team that may read them; by default whoever may ask here.")
    metadata: Metadata = Field(default={}, description="Put on every passage, to filter by.")

    @property
    def kind(self) -> SourceKind:
        """Which of the six it is."""
        return next(kind for kind in SOURCE_KINDS if getattr(self, kind) is not None)

    @property
    def place(self) -> str:
        """The value of that one."""
        return str(getattr(self, self.kind))

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [kind for kind in SOURCE_KINDS if getattr(self, kind) is not None]
        if len(given) != 1:
            told = " and ".join(given) or "none of them"
            words = {"kinds": ", ".join(SOURCE_KINDS), "given": told}
            raise PydanticCustomError("source_kind", "must have exactly one of {kinds}, not {given}", words)
        for field, kinds in _ONLY_FOR.items():
            if field in self.model_fields_set and given[0] not in kinds:
                words = {"field": field, "kinds": " and ".join(kinds), "given": given[0]}
                raise PydanticCustomError("source_field", "`{field}` is for {kinds}, not for {given}", words)
        return self


class Parsing(Tree):
    """How files become text. What goes beyond is refused, one by one, with a reason."""

    max_file_mib: Number = Field(default=50.0, gt=0, le=4096, description="Largest file, in MiB.")
    max_text_mib: Number = Field(default=20.0, gt=0, le=1024, description="Longest text of one document, in MiB.")
    timeout_s: Number = Field(default=60.0, gt=0, description="Longest time for one file, in seconds.")
    memory_mib: Number = Field(default=1024.0, ge=256, description="What parsing one file may take, in MiB.")


class Split(Tree):
    """A rule: which documents are cut into passages how. The first that fits a document holds."""

    type: DocumentType | None = Field(default=None, description="Documents of this type only.")
    path: str | None = Field(default=None, min_length=1, description="Documents whose path fits this glob only.")
    strategy: Strategy = Field(
        default="token",
        description="`fixed`: characters; `token`: tokens; `semantic`: where the meaning changes; `markdown`: "
        "sections; `code`: definitions.",
    )
    size: Whole | None = Field(
        default=None, ge=16, le=32_768, description="Longest passage: characters, or tokens for `token`."
    )
    overlap: Whole | None = Field(default=None, ge=0, description="What neighbours share, in the same unit.")
    headings: bool = Field(default=True, description="Put the path of headings before each passage.")

    @model_validator(mode="after")
    def _overlap_within_size(self) -> Self:
        if self.size is not None and self.overlap is not None and self.overlap * 2 > self.size:
            raise PydanticCustomError("split_overlap", "`overlap` must be at most half of `size`")
        return self


SPLITS = (
    Split(type="code", strategy="fixed", size=2000, overlap=400),
    Split(type="documentation", strategy="semantic"),
    Split(type="chat_logs", strategy="fixed", size=500, overlap=100),
    Split(strategy="token", size=512, overlap=50),
)
"""What holds where no declared rule does."""


class Embedding(Tree):
    """How passages become vectors."""

    model: str | None = Field(default=None, description="A model of type `embedding`; by default the first declared.")
    batch: Whole = Field(default=16, ge=1, le=512, description="Passages in one call.")
    concurrency: Whole = Field(default=2, ge=1, le=64, description="Calls at once while ingesting.")
    dimensions: Whole | None = Field(default=None, ge=2, le=32_768, description="Asked of models that can shorten.")
    query_prefix: str = Field(default="", description="Put before questions, where a model wants it, as `query: `.")
    passage_prefix: str = Field(default="", description="Put before passages, where a model wants it.")


class Index(Tree):
    """How Milvus finds what is near."""

    type: IndexType = Field(default="HNSW", description="The index of vectors. Milvus Lite builds the first three.")
    metric: Metric = Field(default="COSINE", description="What near means.")
    m: Whole = Field(default=16, ge=2, le=2048, description="For HNSW: links of a node.")
    ef_construction: Whole = Field(default=256, ge=8, le=4096, description="For HNSW: candidates while building.")
    nlist: Whole = Field(default=1024, ge=1, le=65_536, description="For the IVF family and SCANN: number of clusters.")
    terms: Terms = Field(
        default="bigram",
        description="What words are looked up by: `bigram` pairs of characters in Korean, Chinese and Japanese, and "
        "stems of words else; `kiwi` Korean morphemes.",
    )


class Retrieve(Tree):
    """How passages are found."""

    k: Whole = Field(default=5, ge=1, le=100, description="Passages to give.")
    fetch_k: Whole = Field(default=20, ge=1, le=1000, description="Candidates to choose them from.")
    lexical_weight: Number = Field(default=2.0, ge=0, description="What the words count in the order.")
    dense_weight: Number = Field(default=1.0, ge=0, description="What the meaning counts.")
    mmr_lambda: Number = Field(
        default=1.0,
        ge=0,
        le=1,
        description="1 takes the best, lower ones avoid passages that say the same (MMR); copies stand last anyway.",
    )
    ef: Whole = Field(default=64, ge=1, le=32_768, description="For HNSW: candidates while searching.")
    nprobe: Whole = Field(default=16, ge=1, le=65_536, description="For the IVF family: clusters to look into.")
    expand: Literal["none", "neighbours", "section"] = Field(
        default="none", description="Give more of the document around each passage: its neighbours, or its section."
    )
    expand_characters: Whole = Field(default=2000, ge=1, description="Longest text after that, in characters.")
    rerank: str | None = Field(default=None, description="A model of type `rerank` or `chat` that orders candidates.")
    rewrite: str | None = Field(default=None, description="A chat model that writes the question anew before looking.")

    @model_validator(mode="after")
    def _enough_candidates(self) -> Self:
        if self.fetch_k < self.k:
            raise PydanticCustomError("retrieve_fetch_k", "`fetch_k` must be at least `k`")
        if not self.lexical_weight and not self.dense_weight:
            raise PydanticCustomError("retrieve_weights", "one of `lexical_weight` and `dense_weight` must be above 0")
        return self


class Answering(Tree):
    """How passages become an answer."""

    model: str | None = Field(default=None, description="A chat model; by default the first declared.")
    instructions: str = Field(default="", max_length=20_000, description="Told to the model besides its task.")
    max_tokens: Whole = Field(default=512, ge=1, description="Longest answer, in tokens.")
    min_relevance: Number = Field(
        default=0.25, ge=0, le=1, description="How near the nearest passage must be, else there is no information."
    )
    list_sources: bool = Field(default=True, description="List the cited passages below the text of an answer.")


class Recipe(Tree):
    """What happens to documents, wherever they come from."""

    parse: Parsing = Field(default=unsaid(Parsing), description="How files become text.")
    split: Annotated[list[Split], BeforeValidator(as_list)] = Field(
        default=[], description="How text becomes passages, before the rules that hold for everyone."
    )
    embed: Embedding = Field(default=unsaid(Embedding), description="How passages become vectors.")
    index: Index = Field(default=unsaid(Index), description="How Milvus finds what is near.")
    retrieve: Retrieve = Field(default=unsaid(Retrieve), description="How passages are found.")

    @property
    def splits(self) -> tuple[Split, ...]:
        """Every rule, in the order in which they are tried; the last fits all."""
        return (*self.split, *SPLITS)


class Knowledge(Recipe):
    """A knowledge base: documents to ask."""

    name: KnowledgeName = Field(description="What it is asked by. Unique.")
    description: str = Field(default="", max_length=2000, description="What is in it, for people and agents.")
    sources: Annotated[list[Source], BeforeValidator(as_list)] = Field(
        min_length=1, description="Where its documents come from."
    )
    answer: Answering = Field(default=unsaid(Answering), description="How passages become an answer.")
    schedule: Annotated[str, AfterValidator(_as_schedule)] | None = Field(
        default=None, description='When it is ingested again, in UTC: cron as `"0 3 * * *"`, or `@daily`.'
    )
    on_start: bool = Field(
        default=True, description="Ingest when the platform starts and nothing is in it yet, or its block has changed."
    )


class VectorStores(Recipe):
    """What callers make for themselves at `/v1/vector_stores`."""

    tenant_limit: Whole = Field(default=100, ge=0, description="The most of them for one team, or one key.")
    passages_limit: Whole = Field(default=1_000_000, ge=1, description="The most passages for one team, or one key.")
