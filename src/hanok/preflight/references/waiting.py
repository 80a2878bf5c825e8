"""Steps of Flux that wait for what they have applied, and would wait for ever."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from hanok.preflight.case import Case
from hanok.preflight.findings import Finding, Rule
from hanok.preflight.makers import spots
from hanok.preflight.manifests import Manifest, at, text_at

UNUSED_DISK = Rule(
    "HK580",
    "warning",
    "a step that waits for a disk that nobody uses yet",
    "put the claim, with its CronJob, into a folder whose Kustomization has `wait: false`",
)
_CLAIMS = "spec.volumes[].persistentVolumeClaim.claimName"
_PODS = {
    "Pod": _CLAIMS,
    **dict.fromkeys(("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"), f"spec.template.{_CLAIMS}"),
}
"""Where pods that begin at once name their claims; those of a CronJob begin when it is time."""


def check_disks(case: Case) -> Iterator[Finding]:
    """Claims that only a CronJob uses: where disks are made for the first pod, they are Pending till then."""
    steps = [each for each in case.cluster.of("Kustomization") if _waits(each)]
    scheduled = _used(case, {"CronJob": f"spec.jobTemplate.spec.template.{_CLAIMS}"})
    at_once = _used(case, _PODS)
    for claim in case.cluster.of("PersistentVolumeClaim"):
        name = (claim.namespace, claim.name)
        if name not in scheduled or name in at_once or text_at(claim.body, "spec", "volumeName"):
            continue
        for step in (each for each in steps if _holds(each, claim)):
            message = f"Kustomization {step.name} waits until it is bound: not before a pod of the CronJob uses it"
            yield UNUSED_DISK.on(claim, "metadata", "name", message=message)


def _waits(step: Manifest) -> bool:
    return step.group == "kustomize.toolkit.fluxcd.io" and at(step.body, "spec", "wait") is True


def _holds(step: Manifest, each: Manifest) -> bool:
    """Whether its path ends as the object's folder does: how far up the repository is seen is not known."""
    path, folder = PurePosixPath(text_at(step.body, "spec", "path")).parts, PurePosixPath(each.file).parent.parts
    ends = path[-2:] if len(path) > 1 else path
    return not ends or folder[-len(ends) :] == ends


def _used(case: Case, kinds: dict[str, str]) -> set[tuple[str, str]]:
    return {
        (each.namespace, str(claim))
        for kind, place in kinds.items()
        for each in case.cluster.of(kind)
        for _, claim in spots(each.body, place)
    }


CHECKS = (check_disks,)
