"""What a model is made of, from its `config.json`: parameters by part, layers by how they remember, what is quantised.

The idea that makes it simple: every architecture is a count of *parts* (which weigh) and a list of *memories* (which
grow with a conversation or do not). All else in planning looks at these alone. What cannot be told in such terms is
refused with a reason rather than guessed. Formulas: docs/planning.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from hanok.errors import PlanError
from hanok.gpu.weights import AS_WRITTEN, Packing, packing_of

Part = Literal["embedding", "head", "attention", "mlp", "shared", "experts", "other", "vision"]
PARTS: tuple[Part, ...] = ("embedding", "head", "attention", "mlp", "shared", "experts", "other", "vision")
Config = Mapping[str, Any]
MOST_LAYERS = 10_000
_KNOWN_HYBRIDS = ("NemotronH", "Qwen3_5", "Qwen3Next")
_STRANGERS = re.compile(r"mamba|ssm|rwkv|kda|recurrent|compress_ratio|linear_attn|layers_block_type|attn_layer")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Layers that keep keys and values alike. `values` are those of one head of one token in one layer."""

    layers: int
    heads: int
    values: int
    window: int | None = None
    """Tokens that are kept; None for all of them."""


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """A model as planning sees it. Parameters are counts; bytes are bytes."""

    name: str
    architecture: str
    layers: int
    hidden: int
    heads: int
    vocabulary: int
    longest_tokens: int
    parts: Mapping[Part, int]
    memories: Sequence[Memory]
    state_bytes: int = 0
    """Kept for each sequence whatever its length, by layers without attention."""
    index_bytes: int = 0
    """Kept for each token beside keys and values, by sparse attention."""
    experts: int = 0
    chosen: int = 0
    """Experts that each token passes."""
    expert_width: int = 0
    dense_width: int = 0
    latent: bool = False
    """Multi-head latent attention: one compressed head, which every GPU keeps whole."""
    sparse: bool = False
    packing: Packing = AS_WRITTEN

    @property
    def parameters(self) -> int:
        """All of them, without those of draft (MTP) layers, which an engine does not load."""
        return sum(self.parts.values())

    @property
    def active(self) -> float:
        """Parameters that one token is multiplied with."""
        share = self.chosen / self.experts if self.experts else 0.0
        used: tuple[Part, ...] = ("head", "attention", "mlp", "shared", "other")
        return sum(self.parts[part] for part in used) + share * self.parts["experts"]


def read_anatomy(name: str, config: Config, quantization: Config | None = None) -> Anatomy:
    """The anatomy of a Hugging Face `config.json`; `quantization` is that of a `hf_quant_config.json` beside it.

    Raises `PlanError` where something is missing or is not modelled.
    """
    try:
        inner = {**config, **cast("Config", config.get("text_config") or {})}
        reader = _Reader(name, inner, config)
        reader.refuse()
        found = quantization or inner.get("quantization_config") or config.get("quantization_config")
        return reader.anatomy(packing_of(name, cast("Config | None", found), layers=reader.layers))
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        message = f"{name}: config.json is not as configs are ({type(error).__name__}: {error})"
        raise PlanError(message, hint="is it the config.json of a model for transformers?") from error


class _Reader:
    """Reads one config; the methods are the parts of a transformer."""

    def __init__(self, name: str, config: Config, outer: Config) -> None:
        self.name, self.config, self.outer = name, config, outer
        named = cast("list[str]", outer.get("architectures") or config.get("architectures") or [])
        self.architecture = str(named[0]) if named else ""
        self.layers = self.whole("num_hidden_layers")
        self.hidden = self.whole("hidden_size")
        self.heads = self.whole("num_attention_heads")
        self.kv_heads = self.whole("num_key_value_heads", default=self.heads)
        self.head_dim = self.whole("head_dim", "attention_head_dim", default=self.hidden // max(1, self.heads))
        self.vocabulary = self.whole("vocab_size")
        self.width = self.whole("intermediate_size", default=0)

    def whole(self, *keys: str, default: int | None = None) -> int:
        """The first of these keys that is there, as a whole number. Raises `PlanError`."""
        for key in keys:
            value = self.config.get(key)
            if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9:
                return value
            if value is not None:
                raise PlanError(f"{self.name}: `{key}` in config.json is {value!r}, not a whole number")
        if default is None:
            hint = "planning needs the config.json of a transformer that makes text"
            raise PlanError(f"{self.name}: config.json has no `{keys[0]}`", hint=hint)
        return default

    def refuse(self) -> None:
        """Raise `PlanError` for what is not modelled."""
        if not self.architecture:
            raise PlanError(f"{self.name}: config.json has no `architectures`", hint="is it a model for transformers?")
        if self.config.get("is_encoder_decoder"):
            raise PlanError(f"{self.name}: {self.architecture} is an encoder with a decoder, which is not modelled")
        if min(self.layers, self.hidden, self.heads, self.kv_heads, self.vocabulary) < 1:
            raise PlanError(f"{self.name}: config.json says 0 layers, heads, words or width")
        strange = [key for key in self.config if _STRANGERS.search(key)]
        if strange and not self.architecture.startswith(_KNOWN_HYBRIDS):
            message = f"{self.name}: how {self.architecture} remembers is not modelled (`{strange[0]}` in config.json)"
            raise PlanError(message, hint="plan a model of another architecture, or measure this one")

    def anatomy(self, packing: Packing) -> Anatomy:
        parts = self.parts()
        experts = self.expert_count()
        return Anatomy(
            name=self.name,
            architecture=self.architecture,
            layers=self.layers,
            hidden=self.hidden,
            heads=self.heads,
            vocabulary=self.vocabulary,
            longest_tokens=self.whole("max_position_embeddings", default=0) or 1_000_000,
            parts=parts,
            memories=self.memories(),
            state_bytes=self.state_bytes(),
            index_bytes=self.index_bytes(),
            experts=experts,
            chosen=self.chosen() if experts else 0,
            expert_width=self.expert_width() if experts else 0,
            dense_width=self.width if parts["mlp"] else 0,
            latent=self.latent,
            sparse=bool(self.config.get("index_topk")),
            packing=packing,
        )

    def parts(self) -> dict[Part, int]:
        """Parameters by part."""
        tied = self.config.get("tie_word_embeddings", self.outer.get("tie_word_embeddings"))
        tied = self.architecture.startswith("Gemma") if tied is None else tied
        words = self.vocabulary * self.hidden
        found: dict[Part, int] = dict.fromkeys(PARTS, 0)
        found["embedding"], found["head"], found["vision"] = 0 if tied else words, words, self.vision()
        blocks = cast("list[dict[str, Any]]", self.config.get("block_configs") or [])
        if pattern := self.pattern():
            return found | self.mixed_parts(pattern)
        if blocks:
            return found | self.uneven_parts(blocks)
        dense, sparse = self.dense_layers(), self.sparse_layers()
        if dense < 0:
            raise ValueError("more layers with experts than layers")
        dense_width = self.whole("dense_intermediate_size", "intermediate_size_mlp", default=self.width)
        rest: dict[Part, int] = {
            "attention": self.attention(),
            "mlp": dense * 3 * self.hidden * dense_width,
            "shared": sparse * 3 * self.hidden * self.shared_width(),
            "experts": sparse * 3 * self.hidden * self.expert_width() * self.expert_count(),
            "other": 2 * self.layers * self.hidden + sparse * self.hidden * self.expert_count(),
        }
        return found | rest

    # Attention

    @property
    def latent(self) -> bool:
        return self.whole("kv_lora_rank", default=0) > 0

    def kinds(self) -> tuple[int, int, int]:
        """Layers with full attention, with a sliding window, and without attention."""
        if pattern := self.pattern():
            return pattern.count("*"), 0, pattern.count("M")
        if named := self.config.get("layer_types"):
            listed = [str(each) for each in _expanded(named)]
            sliding = sum("sliding" in each or "chunked" in each for each in listed)
            linear = sum("linear" in each for each in listed)
            return len(listed) - sliding - linear, sliding, linear
        if marks := _expanded(self.config.get("hybrid_layer_pattern") or []):  # MiMo V2: 1 slides
            return marks.count(0), marks.count(1), 0
        every = self.whole("sliding_window_pattern", "_sliding_window_pattern", default=0)
        if every > 1:
            return self.layers // every, self.layers - self.layers // every, 0
        if self.config.get("sliding_window") and self.config.get("use_sliding_window", True):
            return 0, self.layers, 0
        return self.layers, 0, 0

    def shape(self, *, sliding: bool) -> tuple[int, int, int, int]:
        """Query heads, key-value heads, and the sizes of one head's key and value."""
        prefix = "swa_" if sliding else "global_"
        heads = self.whole("swa_num_attention_heads", default=self.heads) if sliding else self.heads
        kv_key = "swa_num_key_value_heads" if sliding else "num_global_key_value_heads"
        kv_heads = self.whole(kv_key, default=self.kv_heads)
        key = self.whole(f"{prefix}head_dim", default=self.head_dim)
        value = self.whole("swa_v_head_dim" if sliding else "v_head_dim", default=key)
        return heads, kv_heads, key, key if not sliding and self.config.get("global_head_dim") else value

    def attention(self) -> int:
        if self.latent:
            return self.layers * self.latent_attention() + self.indexers() * self.indexer()
        full, sliding, linear = self.kinds()
        found = full * self.plain_attention(sliding=False)
        found += sliding * self.plain_attention(sliding=True) if sliding else 0
        return found + (linear * self.linear_attention() if linear else 0)

    def plain_attention(self, *, sliding: bool) -> int:
        heads, kv_heads, key, value = self.shape(sliding=sliding)
        same = bool(self.config.get("attention_k_eq_v")) and not sliding  # Gemma 4: one projection makes both
        gate = 2 if self.config.get("attn_output_gate") else 1
        return self.hidden * (heads * (key * gate + value) + kv_heads * (key if same else key + value))

    def latent_attention(self) -> int:
        """DeepSeek's: queries and key-values pass a narrow layer first."""
        rank, query_rank = self.whole("kv_lora_rank"), self.whole("q_lora_rank", default=0)
        rope, plain = self.whole("qk_rope_head_dim", default=64), self.whole("qk_nope_head_dim", default=128)
        value = self.whole("v_head_dim", default=128)
        query = self.heads * (plain + rope)
        queries = query_rank * (self.hidden + query) if query_rank else self.hidden * query
        return queries + self.hidden * (rank + rope) + self.heads * (rank * (plain + value) + value * self.hidden)

    def indexers(self) -> int:
        if not self.config.get("index_topk"):
            return 0
        kinds = self.config.get("indexer_types")
        return _expanded(kinds).count("full") if kinds else self.layers

    def indexer(self) -> int:
        heads, size = self.whole("index_n_heads", default=64), self.whole("index_head_dim", default=128)
        return self.whole("q_lora_rank", default=self.hidden) * heads * size + self.hidden * (heads + size)

    def linear_attention(self) -> int:
        """The gated delta rule of Qwen3-Next and Qwen3.5."""
        keys, values = self.linear_widths()
        mixed = 2 * keys + values
        gates = 2 * self.whole("linear_num_value_heads")
        return self.hidden * (mixed + values + gates + values) + mixed * self.whole("linear_conv_kernel_dim", default=4)

    def linear_widths(self) -> tuple[int, int]:
        keys = self.whole("linear_num_key_heads") * self.whole("linear_key_head_dim")
        return keys, self.whole("linear_num_value_heads") * self.whole("linear_value_head_dim")

    def memories(self) -> list[Memory]:
        """Layers by what they keep of each token."""
        if blocks := cast("list[dict[str, Any]]", self.config.get("block_configs") or []):
            groups = [int(each["attention"].get("n_heads_in_group") or 0) for each in blocks]
            sizes = [self.heads // group for group in groups if group]
            return [Memory(layers=sizes.count(each), heads=each, values=2 * self.head_dim) for each in sorted({*sizes})]
        if self.latent:
            values = self.whole("kv_lora_rank") + self.whole("qk_rope_head_dim", default=64)
            return [Memory(layers=self.layers, heads=1, values=values)]
        full, sliding, _ = self.kinds()
        window = self.whole("sliding_window", default=0) or None
        found: list[Memory] = []
        for layers, slides in ((full, False), (sliding, True)):
            _, heads, key, value = self.shape(sliding=slides)
            if layers:
                found.append(Memory(layers=layers, heads=heads, values=key + value, window=window if slides else None))
        return found

    def index_bytes(self) -> int:
        """Sparse attention's own cache: fp8 keys with a scale (DeepSeek V3.2), or 16-bit ones (MiniMax M3)."""
        sparse = cast("Config", self.config.get("sparse_attention_config") or {})
        if sparse.get("use_sparse_attention"):
            return sum(_expanded(sparse.get("sparse_attention_freq") or [])) * int(sparse["sparse_index_dim"]) * 2
        return self.indexers() * (self.whole("index_head_dim", default=128) + 4)

    def state_bytes(self) -> int:
        _, _, linear = self.kinds()
        if not linear:
            return 0
        if self.pattern():
            inner, mixed = self.mamba_widths()
            state, kernel = inner * self.whole("ssm_state_size"), self.whole("conv_kernel", default=4)
            wide = 4 if self.config.get("mamba_ssm_cache_dtype") == "float32" else 2
            return linear * (state * wide + mixed * (kernel - 1) * 2)
        keys, values = self.linear_widths()
        state = values * self.whole("linear_key_head_dim")
        wide = 4 if self.config.get("mamba_ssm_dtype") == "float32" else 2
        return linear * (state * wide + (2 * keys + values) * (self.whole("linear_conv_kernel_dim", default=4) - 1) * 2)

    # Feed-forward layers and experts

    def expert_count(self) -> int:
        return self.whole("n_routed_experts", "num_local_experts", "num_experts", default=0)

    def chosen(self) -> int:
        return self.whole("num_experts_per_tok", "top_k_experts", "num_experts_per_token", "experts_per_token")

    def expert_width(self) -> int:
        return self.whole("moe_intermediate_size", default=self.width)

    def shared_width(self) -> int:
        if wide := self.whole(
            "shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "shared_intermediate_size",
            "share_expert_dim", default=0,
        ):  # fmt: skip
            return wide
        lone = 1 if self.architecture.startswith("Llama4") else 0
        return self.whole("n_shared_experts", "num_shared_experts", default=lone) * self.expert_width()

    def sparse_layers(self) -> int:
        """Layers with experts."""
        if not self.expert_count():
            return 0
        if kinds := self.config.get("mlp_layer_types"):
            return _expanded(kinds).count("sparse")
        frequency = self.config.get("moe_layer_freq")
        if isinstance(frequency, list | dict):
            return sum(1 for each in _expanded(cast("Any", frequency)) if each)
        first = self.whole("first_k_dense_replace", default=0)
        step = self.whole("decoder_sparse_step", "interleave_moe_layer_step", default=1) or 1
        return max(0, (self.layers - first) // step - len(cast("list[int]", self.config.get("mlp_only_layers") or [])))

    def dense_layers(self) -> int:
        if self.config.get("enable_moe_block"):  # Gemma 4: both in every layer
            return self.layers
        return self.layers - self.sparse_layers()

    # Models whose layers differ

    def pattern(self) -> str:
        """Nemotron-H: one letter a layer: M for Mamba 2, * for attention, - for feed-forward, E for experts."""
        return str(self.config.get("hybrid_override_pattern") or "")

    def mamba_widths(self) -> tuple[int, int]:
        """The inner width, and the width that the convolution sees."""
        inner = self.whole("mamba_num_heads") * self.whole("mamba_head_dim")
        return inner, inner + 2 * self.whole("n_groups") * self.whole("ssm_state_size")

    def mixed_parts(self, pattern: str) -> dict[Part, int]:
        inner, mixed = self.mamba_widths()
        mamba = self.hidden * (2 * inner + mixed - inner + self.whole("mamba_num_heads")) + self.hidden * inner
        mamba += mixed * self.whole("conv_kernel", default=4)
        sparse, latent = pattern.count("E"), self.whole("moe_latent_size", default=0)
        around = 2 * self.hidden * latent  # experts that work on a narrower vector
        return {
            "attention": pattern.count("*") * self.plain_attention(sliding=False) + pattern.count("M") * mamba,
            "mlp": pattern.count("-") * 2 * self.hidden * self.width,
            "shared": sparse * (2 * self.hidden * self.shared_width() + around),
            "experts": sparse * 2 * (latent or self.hidden) * self.expert_width() * self.expert_count(),
            "other": self.layers * self.hidden + sparse * self.hidden * self.expert_count(),
        }

    def uneven_parts(self, blocks: Sequence[Mapping[str, Any]]) -> dict[Part, int]:
        """NVIDIA's searched models (Nemotron NAS): each block says its own groups of heads and its own width."""
        attention = mlp = 0
        for block in blocks:
            if group := int(block["attention"].get("n_heads_in_group") or 0):
                attention += 2 * self.hidden * self.head_dim * (self.heads + self.heads // group)
            if wide := float(block["ffn"].get("ffn_mult") or 0):
                mlp += 3 * self.hidden * (-(-int(2 * wide * self.hidden / 3) // 256) * 256)
        return {"attention": attention, "mlp": mlp, "other": 2 * self.layers * self.hidden}

    def vision(self) -> int:
        """An eye's layers, near enough: a plain transformer of the size that its config says."""
        eye = cast("Config", self.outer.get("vision_config") or {})
        sizes = [
            next((value for key in keys if isinstance(value := eye.get(key), int)), 0)
            for keys in (
                ("depth", "num_hidden_layers", "vt_num_hidden_layers"),
                ("hidden_size", "vt_hidden_size"),
                ("intermediate_size", "vt_intermediate_size"),
            )
        ]
        layers, wide, inner = sizes
        return layers * wide * (4 * wide + 2 * inner)


def _expanded(listed: Any) -> list[Any]:
    """A list, which may be written as how often each value comes: `{"full_attention": 5, "sliding_attention": 25}`."""
    if isinstance(listed, dict):
        counts = cast("dict[str, int]", listed)
        if sum(counts.values()) > MOST_LAYERS:
            raise ValueError("more layers than any model has")
        return [int(value) if value.isdigit() else value for value, count in counts.items() for _ in range(count)]
    return list(listed)
