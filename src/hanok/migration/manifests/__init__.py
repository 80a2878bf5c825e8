"""Manifests of a cluster as the source of a platform: what runs there already, in Hanok's form."""

from hanok.migration.manifests.translate import translate_manifests

__all__ = ["translate_manifests"]
