"""What who applies a tree must do, or know: components say it, the guide and the terminal show it by kind. Pure.

Equal ones are told once: two components that use one role, or one secret, ask for it together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a role may do: a statement of an IAM policy."""

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    only: tuple[str, str, str] | None = None
    """A condition: IAM's operator, the key, its value."""

    def form(self) -> dict[str, object]:
        """As IAM takes it."""
        told: dict[str, object] = {"Effect": "Allow", "Action": list(self.actions), "Resource": list(self.resources)}
        if self.only:
            operator, key, value = self.only
            told["Condition"] = {operator: {key: [value]}}
        return told


@dataclass(frozen=True, kw_only=True)
class Role:
    """An IAM role to make, for the ServiceAccounts `NAMESPACE/NAME`.

    `annotated`: they name it themselves, so that the cluster's OIDC provider vouches for them; else an EKS Pod
    Identity association gives it to them. `why` is in words: `read s3://documents/`. `policies` are ARNs of AWS' own.
    """

    name: str
    accounts: tuple[str, ...]
    why: str
    grants: tuple[Grant, ...]
    annotated: bool
    policies: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        how = "trusted by" if self.annotated else "bound by a Pod Identity association to"
        return f"make the IAM role `{self.name}`, {how} the ServiceAccount {' and '.join(self.accounts)}, to {self.why}"


@dataclass(frozen=True, kw_only=True)
class Value:
    """A value to put into the secret store: its name there, whole; and what it is, or how it is made.

    `made` is it as a shell writes it, where it can be made up. `later`: it is a key of Hanok's own, made when that
    runs; what stands behind `hanok keys create`.
    """

    name: str
    what: str = ""
    made: str = ""
    later: str = ""

    @property
    def message(self) -> str:
        return f"put `{self.name}` into the secret store" + (f" ({self.what})" if self.what else "")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket to make, private, in the cluster's region."""

    name: str

    @property
    def message(self) -> str:
        return f"make the S3 bucket `{self.name}`, private, in the cluster's region"


@dataclass(frozen=True, kw_only=True)
class AddOn:
    """What a cluster must have that no chart of the tree brings: by the name that EKS has for it, with its values."""

    name: str
    values: str = ""

    @property
    def message(self) -> str:
        return f"have {self.name} run" + (f", with `{self.values}`" if self.values else "")


@dataclass(frozen=True, kw_only=True)
class Definitions:
    """Kinds that must be there before, and that no chart of the tree brings."""

    name: str
    url: str

    @property
    def message(self) -> str:
        return f"apply the definitions of {self.name}"


@dataclass(frozen=True, kw_only=True)
class Step:
    """What has a step of its own in the guide, with commands; `shown` stands in that and nowhere else."""

    message: str
    shown: str


@dataclass(frozen=True)
class After:
    """What to do once it runs."""

    message: str


@dataclass(frozen=True)
class Known:
    """Nothing to do: how it is, for who wants it otherwise."""

    message: str


Told = str | Role | Value | Bucket | AddOn | Definitions | Step | After | Known
"""A plain text is what to do before the tree is applied, and has no commands."""


@dataclass(frozen=True, kw_only=True)
class Note:
    """Something that who applies the tree must know or do."""

    component: str
    told: Told

    @property
    def message(self) -> str:
        return self.told if isinstance(self.told, str) else self.told.message

    @property
    def mark(self) -> str:
        """What stands in the guide of it, and of no other."""
        match self.told:
            case Role() | Value():
                return f"`{self.told.name}`"
            case Bucket():
                return f"s3 mb s3://{self.told.name}\n"
            case AddOn():
                return self.told.name
            case Definitions():
                return self.told.url
            case Step():
                return self.told.shown
            case _:
                return self.message


def told_once(notes: Iterable[Note]) -> list[Note]:
    """Each once, in their order; roles of one name are one role."""
    found: dict[str, Note] = {}
    for each in notes:
        before = found.get(each.mark)
        if before is None:
            found[each.mark] = each
        elif isinstance(before.told, Role) and isinstance(each.told, Role):
            found[each.mark] = replace(before, told=_joined(before.told, each.told))
    return list(found.values())


def _joined(one: Role, other: Role) -> Role:
    return replace(
        one,
        accounts=tuple(dict.fromkeys((*one.accounts, *other.accounts))),
        why=" and ".join(dict.fromkeys((one.why, other.why))),
        grants=tuple(dict.fromkeys((*one.grants, *other.grants))),
        policies=tuple(dict.fromkeys((*one.policies, *other.policies))),
    )
