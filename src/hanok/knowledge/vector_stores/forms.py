"""OpenAI's objects (https://platform.openai.com/docs/api-reference/vector-stores)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hanok.knowledge.values import Found, Hit
from hanok.knowledge.vector_stores.entries import Attached, Chunking, Counts, FileBatch, VectorStore


def store_form(store: VectorStore, counts: Counts, *, now: float) -> dict[str, Any]:
    """A vector store."""
    status = "expired" if store.has_expired(now) else "in_progress" if counts.in_progress else "completed"
    days = store.expires_days
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_at,
        "name": store.name,
        "description": store.description,
        "usage_bytes": counts.usage_bytes,
        "file_counts": counts_form(counts),
        "status": status,
        "expires_after": None if days is None else {"anchor": "last_active_at", "days": days},
        "expires_at": store.expires_at,
        "last_active_at": store.last_active_at,
        "metadata": dict(store.metadata or {}),
    }


def counts_form(counts: Counts) -> dict[str, int]:
    """How many files there are in each state."""
    return {
        "in_progress": counts.in_progress,
        "completed": counts.completed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "total": counts.total,
    }


def file_form(file: Attached) -> dict[str, Any]:
    """A file in a vector store."""
    error = None if file.error_code is None else {"code": file.error_code, "message": file.error_message}
    return {
        "id": file.file_id,
        "object": "vector_store.file",
        "usage_bytes": file.usage_bytes,
        "created_at": file.created_at,
        "vector_store_id": file.store,
        "status": file.status,
        "last_error": error,
        "attributes": dict(file.attributes),
        "chunking_strategy": _chunking_form(file.chunking),
    }


def _chunking_form(chunking: Chunking | None) -> dict[str, Any]:
    if chunking is None:
        return {"type": "other"}
    told = {"max_chunk_size_tokens": chunking.size, "chunk_overlap_tokens": chunking.overlap}
    return {"type": "static", "static": told}


def batch_form(batch: FileBatch, counts: Counts) -> dict[str, Any]:
    """Files that were attached together."""
    status = "in_progress" if counts.in_progress else "completed"
    if counts.total and counts.failed == counts.total:
        status = "failed"
    return {
        "id": batch.id,
        "object": "vector_store.files_batch",
        "created_at": batch.created_at,
        "vector_store_id": batch.store,
        "status": "cancelled" if batch.cancelled_at is not None else status,
        "file_counts": counts_form(counts),
    }


def page_form(forms: Sequence[dict[str, Any]], *, more: bool) -> dict[str, Any]:
    """A page of them."""
    first, last = (forms[0]["id"], forms[-1]["id"]) if forms else (None, None)
    return {"object": "list", "data": forms, "first_id": first, "last_id": last, "has_more": more}


def results_form(found: Found, least: float) -> dict[str, Any]:
    """What was found, without what scores less than `least`."""
    return {
        "object": "vector_store.search_results.page",
        "search_query": [found.looked_for],
        "data": [_result_form(hit) for hit in found.hits if hit.score >= least],
        "has_more": False,
        "next_page": None,
    }


def _result_form(hit: Hit) -> dict[str, Any]:
    return {
        "file_id": hit.document,
        "filename": hit.path,
        "score": round(hit.score, 6),
        "attributes": dict(hit.metadata),
        "content": [{"type": "text", "text": hit.text}],
    }


def content_form(hits: Iterable[Hit]) -> dict[str, Any]:
    """A file's text in its passages."""
    return {
        "object": "vector_store.file_content.page",
        "data": [{"type": "text", "text": hit.text} for hit in hits],
        "has_more": False,
        "next_page": None,
    }
