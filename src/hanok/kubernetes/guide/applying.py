"""The step that proves the tree and has it applied: by Flux, by Argo CD, or by hand. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from hanok.kubernetes.formats.flat import steps as flat_steps
from hanok.kubernetes.guide.page import TREE, Page, quoted, sh
from hanok.kubernetes.notes import Definitions

_SCP = re.compile(r"^(?P<user>[^/@]+)@(?P<host>[^/:]+):(?P<path>.+)$")
_ARGO = "https://raw.githubusercontent.com/argoproj/argo-cd/stable/manifests/install.yaml"
_KNOWN_HOSTS = ("github.com", "gitlab.com", "bitbucket.org", "ssh.dev.azure.com")
"""Argo CD knows their keys: https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/"""


def steps(page: Page) -> Iterator[str]:
    """Proof, definitions that no chart brings, and the tree itself."""
    yield (
        "It must say `proved`; `unknown` where nothing is missing but schemas of custom kinds, which only a cluster "
        "that has them can give (`kubectl get crds -o yaml > crds.yaml`, then `--crds crds.yaml`):\n"
    )
    yield sh(*_proof(page))
    if page.plan.on_aws:
        more = "aws service-quotas request-service-quota-increase --service-code ec2"
        more += " --quota-code CODE --desired-value VCPUS"
        yield f"More of a quota, by the code that it names, takes a day or two: `{more}`\n"
    if definitions := page.told(Definitions):
        names = " and of ".join(each.name for each in definitions)
        yield f"No chart brings the definitions of {names}:\n"
        yield sh(*(f"kubectl apply --server-side -f {each.url}" for each in definitions))
    yield from {"flux": _flux, "argocd": _argo, "flat": _flat}[page.form](page)


def _proof(page: Page) -> Iterator[str]:
    if page.plan.on_aws:
        yield "aws service-quotas list-service-quotas --service-code ec2 --output json > quotas.json"
        yield f"hanok preflight {TREE} --quotas quotas.json   # new accounts may run no GPUs at all"
    else:
        yield "kubectl get nodes -o yaml > nodes.yaml"
        yield f"hanok preflight {TREE} nodes.yaml             # whether every pod finds a place on them"


# --- GitOps -----------------------------------------------------------------------------------------------------------


def _commit(page: Page) -> str:
    plan, root = page.plan, page.plan.cluster.repository.root
    branch = quoted(plan.cluster.repository.branch)
    if not root:
        git = f"git -C {TREE}"
        told = f"{git} add --all && {git} commit -m 'The platform' && {git} push origin HEAD:{branch}"
        before = "`cluster.repository.path` is not declared, so this folder is the root of the repository."
        return f"{before} Commit and push it:\n\n{sh(told)}"
    file, lock = (quoted(each) for each in (plan.loaded.file.name, f"{plan.loaded.file.stem}.lock"))
    told = f"git add {file} {lock} {TREE} && git commit -m 'The platform' && git push origin HEAD:{branch}"
    return f"This folder is `{root}` of the repository. Commit and push it:\n\n{sh(told)}"


def _flux(page: Page) -> Iterator[str]:
    repository = page.plan.cluster.repository
    path = f"{repository.root or '.'}/clusters/{page.plan.cluster.environment}"
    yield _commit(page)
    url, lines = _url(page), list(_named(page))
    command = f"flux bootstrap git --url={url} --branch={repository.branch} --path={path} \\"
    if _by_key(page):
        yield "Flux writes itself into the repository, by a deploy key that may write; add `deploy-key.pub` there:\n"
        yield sh("ssh-keygen -t ed25519 -N '' -f deploy-key -C flux", "cat deploy-key.pub")
        yield sh(*lines, command, "  --private-key-file=deploy-key", "rm deploy-key")
    else:
        yield "Flux writes itself into the repository, by a token that may write there:\n"
        yield sh(*lines, "GIT_TOKEN=   # yours")
        yield sh(command, '  --username=git --password="$GIT_TOKEN" --token-auth')
    yield sh("git pull   # what it wrote" if repository.root else f"git -C {TREE} pull   # what it wrote")


def _argo(page: Page) -> Iterator[str]:
    yield _commit(page)
    yield "Argo CD, where it is not there yet:\n"
    yield sh("kubectl create namespace argocd", f"kubectl apply -n argocd --server-side --force-conflicts -f {_ARGO}")
    yield from _registered(page)
    yield "The Application that makes all others, in waves:\n"
    yield sh(f"kubectl apply -n argocd -f {TREE}/clusters/{page.plan.cluster.environment}.yaml")
    yield (
        "What comes before what it needs fails, and is tried again until that is there: in a new cluster some "
        "Applications are red for a quarter of an hour.\n"
    )


def _registered(page: Page) -> Iterator[str]:
    secret = "kubectl create secret generic platform-repository -n argocd --from-literal=type=git \\"
    url = page.plan.cluster.repository.url or ""
    literal = f"  --from-literal=url={quoted(url)} \\"
    marked = "kubectl label secret platform-repository -n argocd argocd.argoproj.io/secret-type=repository"
    if _by_key(page):
        yield "It reads the repository by a deploy key; add `deploy-key.pub` there:\n"
        yield sh("ssh-keygen -t ed25519 -N '' -f deploy-key -C argocd", "cat deploy-key.pub")
        yield sh(secret, literal, "  --from-file=sshPrivateKey=deploy-key", marked, "rm deploy-key")
        host = urlsplit(_as_ssh(url)).hostname
        if host not in _KNOWN_HOSTS:
            known = f"ssh-keyscan {host} | argocd cert add-ssh --batch"
            yield f"Argo CD does not know the keys of `{host}`; logged in to it: `{known}`\n"
    else:
        yield "A repository that is not public is read by a token:\n"
        yield sh("GIT_TOKEN=   # yours")
        yield sh(secret, literal, '  --from-literal=username=git --from-literal=password="$GIT_TOKEN"', marked)


def _by_key(page: Page) -> bool:
    url = page.plan.cluster.repository.url or ""
    return url.startswith("ssh://") or bool(_SCP.match(url))


def _url(page: Page) -> str:
    url = page.plan.cluster.repository.url
    return quoted(_as_ssh(url)) if url else '"$REPOSITORY"'


def _named(page: Page) -> Iterator[str]:
    if page.plan.cluster.repository.url is None:
        yield "REPOSITORY=https://git.example.com/acme/platform.git   # yours; or declare cluster.repository.url"


def _as_ssh(url: str) -> str:
    """`git@host:path` as an address, which Flux wants."""
    found = _SCP.match(url)
    return f"ssh://{found['user']}@{found['host']}/{found['path']}" if found else url


# --- By hand ----------------------------------------------------------------------------------------------------------


def _flat(page: Page) -> Iterator[str]:
    yield "The numbers are the order; each stage's charts are in the helmfile:\n"
    init = ["helmfile init --force   # Helm's plugins that it needs"] if page.charts else []
    yield sh(*init, *flat_steps(page.pieces, f"{TREE}/"))
