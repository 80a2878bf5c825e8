"""Hanok itself in the cluster: its platform.yaml, its gateways, its ingests, the recipe of its image."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from hanok.errors import SpecError
from hanok.kubernetes.load import load_texts
from hanok.kubernetes.rewriting import rewrite
from hanok.spec.load import load, parse
from hanok.spec.written import as_written
from tests.conftest import open_house
from tests.rooms.kubernetes.rendering import CHAT, Made, faults, made

URL = "gateway: {url: 'https://ai.example.com'}\n"
TEXTS = {"prompts/research.md": "Look things up.", "api/orders.json": "{}"}
PLATFORM = (
    CHAT
    + """\
  - name: gpt
    serve: {engine: openai, url: "https://api.openai.com/v1", key: "${env:OPENAI_API_KEY}"}
    cache: true
  - {name: embed, type: embedding, serve: {engine: sentence-encoder}}
gateway: {drain_s: 90, url: "https://ai.example.com"}
teams: [{name: search}]
knowledge:
  - {name: docs, sources: [{path: docs/**/*.md}, {uri: "s3://acme-handbook/2026"}], schedule: "0 3 * * *"}
prompts: [{name: research, file: prompts/research.md}]
tools: [{name: orders, type: openapi, spec: api/orders.json}]
agents:
  - {name: clerk, model: gpt, prompt: research, tools: [orders], knowledge: docs}
  - {name: own, model: gpt, pattern: graph, graph: "flows.mine:build"}
cluster: {account: "123456789012", entry: {certificate: "arn:aws:acm:us-east-1:123456789012:certificate/1"}}
"""
)


@cache
def whole() -> Made:
    return made(PLATFORM, texts=TEXTS)


def config(tree: Made) -> dict[str, Any]:
    return yaml.safe_load(tree.one("ConfigMap", "hanok-config")["data"]["platform.yaml"])


def refused(text: str, **more: Any) -> list[tuple[int, str]]:
    with pytest.raises(SpecError) as error:
        made(text, **more)
    return [(each.line, each.path) for each in error.value.problems]


def test_preflight_finds_nothing_in_it(tmp_path: Path) -> None:
    assert faults(whole(), tmp_path) == []


def test_engines_of_one_machine_give_way_to_those_of_the_cluster_and_all_else_stays() -> None:
    written = CHAT.replace("flags: {max-model-len: 16384}}", "max_in_flight: 64, tags: [big]}")
    [model] = config(made(written))["models"]
    serve = model["serve"] if isinstance(model["serve"], list) else [model["serve"]]
    assert all(re.fullmatch(r"http://chat.*\.models\.svc:8000/v1", each.pop("url")) for each in serve)
    assert {tuple(each) for each in serve} == {("engine", "max_in_flight", "tags")}
    assert {(each["engine"], each["max_in_flight"], *each["tags"]) for each in serve} == {("openai", 64, "big")}
    assert not {"deploy", "scale"} & model.keys()


def test_the_clusters_file_holds_together_and_knows_the_clusters_databases() -> None:
    text = rewrite(whole().plan)
    names = re.findall(r"\$\{env:([A-Z_]+)\}", text)
    known = {"HANOK_DATABASE": "postgresql://a@b/c"}
    filled = {name: known.get(name, "redis://x") for name in names}
    platform = parse(text, Path("/etc/hanok/platform.yaml"), filled, lenient=True).platform
    assert platform.ledger.database == platform.runs.database
    assert platform.ledger.redis and platform.cache.redis and platform.cache.store == "redis"
    assert platform.milvus.uri == "http://milvus-milvus.knowledge.svc:19530"
    assert (platform.gateway.host, platform.gateway.port, platform.state) == ("0.0.0.0", 4242, "/var/lib/hanok")
    assert platform.cluster is not None
    assert platform.cluster.model_dump(exclude_unset=True) == {"kubernetes": "1.36"}
    assert not platform.knowledge[0].on_start and platform.knowledge[0].schedule is None
    assert platform.knowledge[0].sources[0].path == "/srv/platform/docs/**/*.md"


def test_runs_stay_in_the_redis_that_the_file_names_whose_address_is_a_secret() -> None:
    tree = made("models: [{name: echo, serve: {engine: echo}}]\nagents: [{name: helper}]\n"
                "runs: {database: \"${env:RUNS_URL:-redis://:pw@runs.example:6379/0}\"}\ncluster: {}\n")  # fmt: skip
    assert config(tree)["runs"] == {"database": "${env:RUNS_URL}"}
    [container] = tree.one("StatefulSet", "hanok")["spec"]["template"]["spec"]["containers"]
    [found] = [each for each in container["env"] if each["name"] == "RUNS_URL"]
    assert found["valueFrom"]["secretKeyRef"]["key"] == "RUNS_URL"


def test_a_house_starts_from_it(tmp_path: Path) -> None:
    tree = made("models: [{name: echo, serve: {engine: echo}}]\nledger: {redis: \"${env:R:-redis://r}\"}\n"
                "cluster: {observe: {collector: false}}\n")  # fmt: skip
    file = tmp_path / "platform.yaml"
    text = rewrite(tree.plan).replace("/var/lib/hanok", str(tmp_path / "state"))
    file.write_text(re.sub(r"ledger:\n(  .*\n)+", "", text))  # neither database is here
    assert load(file, {}).platform.gateway.host == "0.0.0.0"
    with open_house(file) as running:
        assert running.house.door.draining is False


def test_variables_come_from_the_store_and_databases_from_their_own_secrets() -> None:
    [container] = whole().one("StatefulSet", "hanok")["spec"]["template"]["spec"]["containers"]
    found = {each["name"]: each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each}
    assert found == {
        "OPENAI_API_KEY": {"name": "hanok-variables", "key": "OPENAI_API_KEY"},
        "HANOK_DATABASE": {"name": "hanok-postgres-app", "key": "uri"},
        "HANOK_REDIS": {"name": "hanok-redis", "key": "url"},
        "HANOK_CACHE": {"name": "hanok-cache", "key": "url"},
    }


def test_a_gateway_lets_streams_end_and_keeps_its_disk() -> None:
    spec = whole().one("StatefulSet", "hanok")["spec"]
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > 90
    assert spec["volumeClaimTemplates"][0]["metadata"]["name"] == "state"
    assert spec["persistentVolumeClaimRetentionPolicy"]["whenScaled"] == "Retain"
    assert "replicas" not in spec
    scaler = whole().one("HorizontalPodAutoscaler", "hanok")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (2, 6)


def test_there_are_as_many_gateways_as_the_agent_wants_that_wants_most() -> None:
    scales = (
        "agents: [{name: a, scale: {min: 4, max: 20, target_cpu: 80}}, {name: b, scale: {max: 9, target_cpu: 55}}]\n"
    )
    here = made(CHAT + scales)
    scaler = here.one("HorizontalPodAutoscaler", "hanok")["spec"]
    assert (scaler["minReplicas"], scaler["maxReplicas"]) == (4, 20)
    assert scaler["metrics"][0]["resource"]["target"]["averageUtilization"] == 55
    told = "gateways lead the runs of a, b: by `cluster.hanok` and the agents' `scale` there are 4 to 20"
    assert any(each.message.startswith(told) for each in here.rendered.notes)


def test_pods_start_anew_for_what_takes_effect_at_the_start_alone() -> None:
    def mark(text: str) -> str:
        template = made(text).one("StatefulSet", "hanok")["spec"]["template"]
        return template["metadata"]["annotations"]["hanok.dev/start"]

    assert mark(CHAT) == mark(CHAT + "budgets: [{of: team, name: a, usd: 5, per: month}]\nteams: [{name: a}]\n")
    assert mark(CHAT) != mark(CHAT + "ledger: {database: 'postgresql://db.example.com/x'}\n")


def test_texts_are_where_they_are_beside_the_file_and_their_change_is_noticed() -> None:
    volume = whole().one("StatefulSet", "hanok")["spec"]["template"]["spec"]["volumes"][0]
    items = volume["projected"]["sources"][1]["configMap"]["items"]
    texts = whole().one("ConfigMap", "hanok-texts")["data"]
    assert {each["path"]: texts[each["key"]] for each in items} == TEXTS
    other = made(PLATFORM, texts={**TEXTS, "prompts/research.md": "Look twice."})
    assert rewrite(other.plan) != rewrite(whole().plan)


def test_ingests_are_jobs_of_which_one_at_a_time_has_the_disk() -> None:
    daily = whole().one("CronJob", "ingest-docs")["spec"]
    assert (daily["schedule"], daily["timeZone"], daily["concurrencyPolicy"]) == ("0 3 * * *", "Etc/UTC", "Forbid")
    [first] = whole().all("Job")
    assert first["metadata"]["name"].startswith("ingest-docs-")
    args = first["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args == ["knowledge", "ingest", "docs", "--file", "/etc/hanok/platform.yaml", "--json"]
    assert whole().one("PersistentVolumeClaim", "ingest-docs")["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_ingests_reach_the_engine_that_makes_their_vectors_and_so_do_gateways() -> None:
    served = "serve: {engine: sentence-encoder}, deploy: {weights: Qwen/Qwen3-Embedding-0.6B, gpu: [g6.xlarge]}}"
    tree = made(PLATFORM.replace("serve: {engine: sentence-encoder}}", served), texts=TEXTS)
    reader = tree.one("NetworkPolicy", "embed")["spec"]["ingress"][0]["from"][0]
    let_in = reader["podSelector"]["matchLabels"].items()
    assert reader["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "hanok"}
    pods = [
        tree.one("CronJob", "ingest-docs")["spec"]["jobTemplate"]["spec"],
        *(each["spec"] for each in tree.all("Job")),
    ]
    pods.append(tree.one("StatefulSet", "hanok")["spec"])
    assert len(pods) == 3
    assert all(let_in <= each["template"]["metadata"]["labels"].items() for each in pods)


def test_a_first_ingest_is_tried_for_longer_than_an_engine_takes_to_come_up() -> None:
    """Kubernetes starts a pod that failed again after 10 s, then after twice as long, up to 300 s; each is a try."""
    [first] = whole().all("Job")
    tries = first["spec"]["backoffLimit"]
    assert sum(min(10 * 2**each, 300) for each in range(tries)) > 30 * 60


def test_another_recipe_is_another_job_and_nothing_else_is() -> None:
    def job(text: str) -> str:
        return made(text, texts=TEXTS).all("Job")[0]["metadata"]["name"]

    name = whole().all("Job")[0]["metadata"]["name"]
    assert job(PLATFORM.replace("drain_s: 90", "drain_s: 10")) == name
    assert job(PLATFORM.replace("schedule:", "split: [{strategy: markdown}], schedule:")) != name


def test_other_pods_are_another_job_because_those_of_one_that_is_there_cannot_be_changed() -> None:
    def job(text: str) -> str:
        return made(text, texts=TEXTS).all("Job")[0]["metadata"]["name"]

    assert (
        job(PLATFORM.replace("cluster: {", "cluster: {hanok: {memory_gib: 4}, "))
        != whole().all("Job")[0]["metadata"]["name"]
    )


def test_nobody_waits_for_ingests_nor_for_disks_that_nothing_has_used_yet() -> None:
    steps = {each["spec"]["path"]: each["spec"]["wait"] for each in whole().all("Kustomization")}
    assert [path for path, wait in steps.items() if not wait] == ["./apps/ingestion"]
    stands = {path.rpartition("/")[0] for path, each in whole().objects() if "ingest-docs" in each["metadata"]["name"]}
    assert stands == {"apps/ingestion"}


def test_the_recipe_installs_what_this_platform_needs_as_nobody() -> None:
    files = whole().files
    assert "hanok[agents,local,postgres,rag,redis,s3]==0.1.0" in files["image/requirements.in"]
    lines = [line for line in files["image/Containerfile"].splitlines() if not line.startswith("#")]
    steps = [line.split()[0] for line in lines if re.match(r"[A-Z]+ ", line)]
    assert set(steps) <= {"ARG", "FROM", "COPY", "RUN", "ENV", "USER", "WORKDIR", "EXPOSE", "ENTRYPOINT", "CMD"}
    assert all(re.search(r":\d+\.\d+\.\d+-", line) for line in lines if line.startswith("FROM"))
    assert lines.index("USER 10001:10001") < lines.index('ENTRYPOINT ["hanok"]')
    assert "--require-hashes" in files["image/Containerfile"]
    assert {"COPY docs /srv/platform/docs", "COPY flows/mine.py /srv/platform/flows/mine.py"} <= set(lines)
    assert {"*", "!docs", "!flows/mine.py"} <= set(files["image/.containerignore"].splitlines())


def test_the_recipe_takes_a_wheel_beside_it_wherever_the_tree_lies_and_compiles_what_the_base_has_not() -> None:
    files = whole().files
    assert {"!**/image/requirements.txt", "!**/image/*.whl"} <= set(files["image/.containerignore"].splitlines())
    assert "--find-links /tmp/image" in files["image/Containerfile"]
    assert "compileall" in files["image/Containerfile"]


def test_commands_in_a_pod_find_the_platform_file() -> None:
    spec = whole().one("StatefulSet", "hanok")["spec"]["template"]["spec"]
    assert spec["containers"][0]["workingDir"] == "/etc/hanok"


@pytest.mark.parametrize(
    ("more", "place"),
    [
        ("  - {name: near, serve: {engine: openai, url: 'http://localhost:11434/v1'}}\n", "models[1].serve.url"),
        ("knowledge: [{name: a, sources: {path: /srv/docs}}]\n", "knowledge[0].sources.path"),
        ("knowledge: [{name: a, sources: {git: ./repository}}]\n", "knowledge[0].sources.git"),
        ("  - {name: small, serve: {engine: llamacpp, model: ../m.gguf}}\n", "models[1].serve.model"),
        ("cluster: {entry: {expose: public}}\n", "cluster.entry.expose"),
        ("cluster: {entry: {issuer: letters}}\n", "cluster.entry.issuer"),
        (URL + "cluster: {entry: {acme: {email: a@b.io}}}\n", "cluster.entry.acme"),
        (URL + "cluster: {target: kubernetes, entry: {acme: {email: a@b.io, zone: Z1}}}\n", "cluster.entry.acme.zone"),
        (URL + "cluster: {entry: {certificate: 'arn:x', acme: {email: a@b.io, zone: Z1}}}\n", "cluster.entry.acme"),
        ("cluster: {target: kubernetes, postgres: {backup_bucket: backups}}\n", "cluster.postgres.backup_bucket"),
        ("cluster: {secrets: {store: vault}}\n", "cluster.secrets.store"),
    ],
)  # fmt: skip
def test_what_a_cluster_cannot_be_given_is_refused_by_its_line(more: str, place: str) -> None:
    more = more.replace("a, sources", "a, embed: {model: e}, sources")
    embedder = "  - {name: e, type: embedding, serve: {engine: openai, url: 'https://e.example.com/v1'}}\n"
    head, more = (CHAT + more, "") if more.startswith("  - ") else (CHAT + embedder, more)
    assert refused(head + more) == [(len((head + more).splitlines()), place)]


def test_an_address_may_be_another_in_the_cluster_by_a_variable() -> None:
    near = '  - {name: near, serve: {engine: openai, url: "${env:NEAR:-http://localhost:11434/v1}"}}\n'
    assert refused(CHAT + near)
    tree = made(CHAT + near + "cluster: {hanok: {variables: {NEAR: 'http://near.example.com/v1'}}}\n")
    [container] = tree.one("StatefulSet", "hanok")["spec"]["template"]["spec"]["containers"]
    assert {"name": "NEAR", "value": "http://near.example.com/v1"} in container["env"]


def test_texts_that_are_too_long_for_a_cluster_are_refused_by_their_line() -> None:
    assert refused(PLATFORM, texts={**TEXTS, "api/orders.json": "x" * 2**20}) == [(15, "tools[0].spec")]


def test_texts_are_read_from_beside_the_file_and_from_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "told.md").write_text("Be kind.")
    text = "models: [{name: e, serve: {engine: echo}}]\nprompts:\n- {name: a, file: told.md}\n"
    file = tmp_path / "platform.yaml"

    def found(text: str) -> dict[str, str]:
        return load_texts(parse(text, file, {}, lenient=True), as_written(text, file))

    assert found(text) == {"told.md": "Be kind."}
    with pytest.raises(SpecError) as error:
        found(text + "- {name: b, file: ../secret.md}\n- {name: c, file: gone.md}\n")
    assert [(each.line, each.path) for each in error.value.problems] == [(4, "prompts[1].file"), (5, "prompts[2].file")]


def test_pods_are_given_the_variables_that_they_read_and_no_others() -> None:
    spans = (
        "telemetry: {export: {to: langfuse, url: 'https://l.example.com', public_key: pk, secret_key: \"${env:SK}\"}}\n"
    )
    tree = made(CHAT + spans)
    assert "SK" not in str(tree.one("StatefulSet", "hanok")) + str(tree.one("ConfigMap", "hanok-config")["data"])
    assert not [each for each in tree.all("ExternalSecret") if each["metadata"]["name"] == "hanok-variables"]
