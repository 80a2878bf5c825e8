"""Layer 1, schemas: built-in and custom kinds, versions that come and go, and where schemas come from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hanok.cli.app import app
from hanok.errors import PreflightError
from hanok.preflight.schema.load import load_builtins, load_custom
from tests.rooms.preflight.conftest import Look, ids, look_by, only

look = look_by("HK1")

POD = """
apiVersion: v1
kind: Pod
metadata:
  name: worker
spec:
  containers:
    - name: worker
      image: registry.example.org/worker:1
"""


def definition(schema: str, *, kind: str = "Model", version: str = "v1", more: str = "") -> str:
    """A definition of a custom kind whose `spec` has this schema."""
    indented = "\n".join(f"                {line}" for line in schema.strip().splitlines())
    return f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: {kind.lower()}s.example.org
spec:
  group: example.org
  scope: Namespaced
  names:
    kind: {kind}
    plural: {kind.lower()}s
  versions:
    - name: {version}
      served: true
      storage: true{more}
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
{indented}
"""


def model(spec: str, *, kind: str = "Model", version: str = "v1") -> str:
    indented = "\n".join(f"  {line}" for line in spec.strip().splitlines())
    return f"\n---\napiVersion: example.org/{version}\nkind: {kind}\nmetadata:\n  name: llama\nspec:\n{indented}\n"


def test_a_field_that_does_not_exist_is_told_with_the_nearest_one(look: Look) -> None:
    found = only(look(POD + "      imagePullPolicies: Always\n"), "HK101")
    assert found.message == "spec.containers[0].imagePullPolicies: there is no such field"
    assert found.hint == "`imagePullPolicy` is meant, perhaps"
    assert found.line == 10


def test_a_field_at_the_wrong_height_is_told_where_it_stands(look: Look) -> None:
    assert (
        only(look(POD + "      nodeSelector: {a: b}\n"), "HK101").hint
        == "`nodeSelector` stands further up, under `spec`"
    )
    found = only(look(POD + "      limits: {cpu: 1}\n"), "HK101")
    assert found.hint == "`limits` stands under `resources`"


@pytest.mark.parametrize(
    ("text", "rule", "message"),
    [
        ("      args: --port 80\n", "HK103", "must be a list, and is the text"),
        ("      env: [{name: PORT, value: 80}]\n", "HK103", "must be text, and is the number 80"),
        ("      stdin: 'true'\n", "HK103", "must be true or false"),
        ("      imagePullPolicy: always\n", "HK104", '"always" is none of "Always"'),
        ("      ports: [{containerPort: 80800}]\n", "HK104", "80800 is too large: at most 65535"),
        ("      resources: {limits: {memory: 4 GB}}\n", "HK104", '"4 GB" is not a quantity'),
        ("      env: [{value: a}]\n", "HK102", "spec.containers[0].env[0].name: required and missing"),
    ],
)
def test_each_fault_of_a_built_in_kind_is_one_finding(look: Look, text: str, rule: str, message: str) -> None:
    report = look(POD + text)
    assert ids(report) == [rule]
    assert message in report.findings[0].message


def test_quantities_and_ports_may_be_numbers_or_text_and_nulls_are_nothing(look: Look) -> None:
    text = """
      resources: {limits: {cpu: 1.5, memory: 1e9, nvidia.com/gpu: "1"}}
      livenessProbe: {httpGet: {path: /, port: 80}}
      readinessProbe: {httpGet: {path: /, port: http}}
      args:
      stdin: null
"""
    assert ids(look(POD + text)) == []


def test_an_object_of_a_kind_that_is_defined_among_the_manifests_is_held_to_its_definition(look: Look) -> None:
    schema = """
size: {type: string, enum: [8b, 70b]}
replicas: {type: integer, minimum: 1, format: int32}
port: {x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}
tags: {type: object, additionalProperties: {type: string, maxLength: 3}}
free: {type: object, x-kubernetes-preserve-unknown-fields: true, properties: {known: {type: boolean}}}
note: {type: string, nullable: true}
"""
    good = """
size: 8b
replicas: 2
port: http
tags: {a: abc}
free: {anything: [1, {b: c}], known: true}
note: null
"""
    assert ids(look(definition(schema) + model(good))) == []
    bad = """
size: 7b
replicas: 0
port: [80]
tags: {a: abcd}
free: {known: 1}
sizes: 8b
"""
    report = look(definition(schema) + model(bad))
    assert {each.path: each.rule.id for each in report.findings} == {
        "spec.size": "HK104", "spec.replicas": "HK104", "spec.port": "HK103", "spec.tags.a": "HK104",
        "spec.free.known": "HK103", "spec.sizes": "HK101",
    }  # fmt: skip


def test_items_of_a_list_that_keeps_unknown_fields_keep_them_too(look: Look) -> None:
    schema = "volumes: {type: array, x-kubernetes-preserve-unknown-fields: true, items: {type: object}}"
    assert ids(look(definition(schema) + model("volumes: [{name: data, emptyDir: {}}]"))) == []


def test_a_null_that_is_not_allowed_is_as_if_it_were_not_there(look: Look) -> None:
    schema = "size: {type: string}\ncount: {type: integer, default: 3, maximum: 2}"
    assert ids(look(definition(schema) + model("size: null\ncount: 1"))) == []
    report = look(definition(schema) + model("size: a\ncount: null"))
    assert only(report, "HK104").message == "spec.count: 3 is too large: at most 2"


def test_lists_that_are_sets_or_maps_hold_nothing_twice(look: Look) -> None:
    schema = """
ports:
  type: array
  x-kubernetes-list-type: map
  x-kubernetes-list-map-keys: [port, protocol]
  items: {type: object, properties: {port: {type: integer}, protocol: {type: string, default: TCP}}}
"""
    assert ids(look(definition(schema) + model("ports: [{port: 80}, {port: 80, protocol: UDP}]"))) == []
    found = only(look(definition(schema) + model("ports: [{port: 80}, {port: 80, protocol: TCP}]")), "HK106")
    assert found.message == 'spec.ports[1]: the same port and protocol as item 0: {"port": 80, "protocol": "TCP"}'


def test_several_forms_make_one_message(look: Look) -> None:
    schema = """
where:
  type: object
  properties: {path: {type: string}, url: {type: string}}
  oneOf: [{required: [path]}, {required: [url]}]
"""
    assert ids(look(definition(schema) + model("where: {path: /a}"))) == []
    assert only(look(definition(schema) + model("where: {}")), "HK102").message == "spec.where: needs one of path, url"
    found = only(look(definition(schema) + model("where: {path: a, url: b}")), "HK104")
    assert found.message == "spec.where: only one of path, url may stand here"


def test_metadata_of_custom_objects_is_known_too(look: Look) -> None:
    text = definition("size: {type: string}") + model("size: a").replace("name: llama", "name: llama\n  lables: {a: b}")
    assert only(look(text), "HK101").hint == "`labels` is meant, perhaps"


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        ("^[a-z]+$", "abc", "abc\\n"),
        ("^(?i)abort$", "Abort", "aborted"),
        ("^a\\\\z", "a", "ab"),
        ("^[[a]+$", "[a", "b"),
    ],
)
def test_patterns_mean_what_they_mean_to_the_api_server(look: Look, pattern: str, good: str, bad: str) -> None:
    schema = f'size: {{type: string, pattern: "{pattern}"}}'
    assert ids(look(definition(schema) + model(f'size: "{good}"'))) == []
    assert ids(look(definition(schema) + model(f'size: "{bad}"'))) == ["HK104"]


def test_a_pattern_that_cannot_be_read_refuses_nothing(look: Look) -> None:
    assert ids(look(definition(r'size: {type: string, pattern: "^\\p{Greek}+$"}') + model("size: a"))) == []


@pytest.mark.parametrize(
    ("known", "good", "bad"),
    [
        ("date-time", "2026-11-01T12:00:00Z", "yesterday"),
        ("date", "2026-11-01", "2026-13-01"),
        ("duration", "1h30m", "an hour"),
        ("ipv4", "10.0.0.1", "10.0.0.256"),
        ("ipv6", "fd00::1", "10.0.0.1"),
        ("cidr", "10.0.0.7/16", "10.0.0.0"),
        ("uri", "https://example.org/a", "example"),
        ("byte", "aGVsbG8=", "a"),
        ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123"),
        ("unheard-of", "anything", None),
    ],
)
def test_formats_that_the_api_server_knows_are_held(look: Look, known: str, good: str, bad: str | None) -> None:
    schema = f"size: {{type: string, format: {known}}}"
    assert ids(look(definition(schema) + model(f'size: "{good}"'))) == []
    if bad is not None:
        assert ids(look(definition(schema) + model(f'size: "{bad}"'))) == ["HK104"]


def test_a_kind_without_a_schema_is_open_once_for_all_of_its_objects(look: Look) -> None:
    report = look(model("a: 1") + model("a: 2") + model("a: 3", kind="Other"))
    assert [(each.rule.id, each.object) for each in report.findings] == [
        ("HK107", "Model default/llama"),
        ("HK107", "Other default/llama"),
    ]
    assert "no schema of `example.org/v1 Model`; objects here: 2" in report.findings[0].message
    assert report.verdict == "unknown"


def test_a_version_that_the_definition_does_not_have_is_refused_and_the_others_are_named(look: Look) -> None:
    found = only(look(definition("a: {type: integer}") + model("a: 1", version="v1beta1")), "HK108")
    assert found.message == "example.org has Model as v1, not as v1beta1"


def test_a_version_that_is_deprecated_or_not_served_says_so(look: Look) -> None:
    old = definition("a: {type: integer}", more="\n      deprecated: true\n      deprecationWarning: use v2")
    assert only(look(old + model("a: 1")), "HK112").message == "example.org/v1 Model: use v2"
    off = definition("a: {type: integer}").replace("served: true", "served: false")
    assert ids(look(off + model("a: 1"))) == ["HK108"]


HPA = """
apiVersion: autoscaling/v2beta2
kind: HorizontalPodAutoscaler
metadata: {name: web}
spec: {maxReplicas: 3, scaleTargetRef: {kind: Deployment, name: web, apiVersion: apps/v1}}
"""


def test_a_version_of_a_built_in_kind_goes_with_the_version_of_kubernetes(look: Look) -> None:
    assert ids(look(HPA, kubernetes="1.25")) == []
    found = only(look(HPA, kubernetes="1.37"), "HK108")
    assert found.message == (
        "autoscaling/v2beta2 HorizontalPodAutoscaler is not served by Kubernetes 1.37, but by 1.25"
    )
    assert found.hint == "write `apiVersion: autoscaling/v2`"


@pytest.mark.parametrize(
    ("version", "kind", "rule", "said"),
    [
        ("policy/v1beta1", "PodDisruptionBudget", "HK108", "policy/v1"),
        ("batch/v1beta1", "CronJob", "HK108", "batch/v1"),
        ("extensions/v1beta1", "Ingress", "HK108", "networking.k8s.io/v1"),
        ("apps/v1", "Job", "HK109", "batch/v1"),
        ("v1", "Deployment", "HK109", "apps/v1"),
        ("apps/v1", "Deploymnet", "HK109", "Deployment"),
        ("inference.networking.x-k8s.io/v1alpha1", "InferencePool", "HK108", "inference.networking.k8s.io/v1"),
        ("inference.networking.x-k8s.io/v1alpha1", "EndpointPicker", "HK109", "endpointPickerRef"),
        ("karpenter.sh/v1alpha5", "Provisioner", "HK108", "karpenter.sh/v1"),
    ],
)
def test_kinds_that_went_elsewhere_are_refused_with_their_place(
    look: Look, version: str, kind: str, rule: str, said: str
) -> None:
    report = look(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert [each.rule.id for each in report.findings if each.severity == "error"] == [rule]
    found = only(report, rule)
    assert said in found.message + found.hint


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("kubeflow.org/v1", "PyTorchJob"),
        ("kueue.x-k8s.io/v1beta1", "ClusterQueue"),
        ("helm.toolkit.fluxcd.io/v2beta2", "HelmRelease"),
    ],
)
def test_outdated_kinds_are_a_warning_and_stay_open(look: Look, version: str, kind: str) -> None:
    report = look(f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\n")
    assert ids(report) == ["HK112", "HK107"]


def test_a_kind_of_the_same_name_in_another_group_is_not_taken_for_it(look: Look) -> None:
    other = "\n---\napiVersion: other.example.com/v1\nkind: Model\nmetadata: {name: a}\n"
    report = look(definition("a: {type: integer}") + other)
    found = only(report, "HK107")
    assert "Model is known as example.org/v1" in found.message
    assert report.verdict == "unknown"


def test_schemas_that_are_not_installed_leave_the_verdict_open(look: Look) -> None:
    report = look(POD, builtins=None)
    assert only(report, "HK111").hint == 'pip install "hanok[k8s]"'
    assert report.verdict == "unknown"


def test_without_the_language_of_rules_custom_kinds_leave_the_verdict_open(
    look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "hanok.preflight.schema.expressions", None)  # as where the library is missing
    report = look(definition("a: {type: integer}") + model("a: b"))
    assert set(ids(report)) == {"HK103", "HK111"}


def test_an_object_within_an_object_is_one(look: Look) -> None:
    schema = """
inner:
  type: object
  x-kubernetes-embedded-resource: true
  x-kubernetes-preserve-unknown-fields: true
"""
    inner = "inner: {apiVersion: v1, kind: Pod, metadata: {name: a, labels: {a: b}}, spec: {any: thing}}"
    assert ids(look(definition(schema) + model(inner))) == []
    report = look(definition(schema) + model("inner: {kind: Pod, metadata: {lables: {}}}"))
    assert {(each.rule.id, each.path) for each in report.findings} == {
        ("HK102", "spec.inner.apiVersion"), ("HK101", "spec.inner.metadata.lables"),
    }  # fmt: skip


CRD = definition("a: {type: integer}")


def record() -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"a": {"type": "integer"}}}}}
    return {"group": "example.org", "kind": "Model", "version": "v1", "plural": "models", "schema": schema}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("crds/models.yaml", CRD),
        ("crds/deep/models.yml", f"{CRD}\n---\n{definition('b: {{}}', kind='Other')}"),
        ("crds/example.org_model_v1.json", json.dumps(record())),
        ("crds/models.json", json.dumps(record())),
    ],
)
def test_definitions_are_found_in_folders_in_every_form(
    look: Look, tmp_path_factory: pytest.TempPathFactory, name: str, content: str
) -> None:
    folder = tmp_path_factory.mktemp("known")
    (folder / name).parent.mkdir(parents=True)
    (folder / name).write_text(content, "utf-8")
    known = load_custom([folder])
    assert ids(look({"m/a.yaml": model("a: 1")}, custom=known)) == []
    assert ids(look({"m/a.yaml": model("b: 1")}, custom=known)) == ["HK101"]


def test_a_dump_of_all_definitions_of_a_cluster_is_read(look: Look, tmp_path_factory: pytest.TempPathFactory) -> None:
    items = "\n".join(
        "- " + definition("a: {type: integer}", kind=kind).strip().replace("\n", "\n  ") for kind in ("Other", "Model")
    )
    dump = tmp_path_factory.mktemp("known") / "crds.yaml"
    dump.write_text(f"apiVersion: v1\nitems:\n{items}\nkind: List\nmetadata:\n  resourceVersion: ''\n", "utf-8")
    known = load_custom([dump])
    assert ids(look({"m/a.yaml": model("a: 1")}, custom=known)) == []
    assert ids(look({"m/a.yaml": model("a: b")}, custom=known)) == ["HK103"]


def test_a_file_of_definitions_that_cannot_be_read_leaves_the_verdict_open(
    look: Look, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("known") / "example.org_model_v1.json"
    file.write_text("{", "utf-8")
    report = look({"m/a.yaml": model("a: 1")}, custom=load_custom([file]))
    assert only(report, "HK113").message == "is not JSON"
    assert report.verdict == "unknown"


def test_definitions_that_are_nowhere_are_refused() -> None:
    with pytest.raises(PreflightError, match="there is no such file or folder"):
        load_custom([Path("/nowhere/crds")])


@pytest.mark.parametrize("version", ["1.24", "1.38", "2.0", "latest", ""])
def test_versions_of_kubernetes_that_are_not_known_are_refused(version: str) -> None:
    with pytest.raises(PreflightError, match="schemas of that version are not known"):
        load_builtins(version)


def test_the_command_takes_definitions_and_a_version(tmp_path: Path) -> None:
    (tmp_path / "crds").mkdir()
    (tmp_path / "crds" / "models.yaml").write_text(CRD, "utf-8")
    file = tmp_path / "model.yaml"
    file.write_text(model("b: 1"), "utf-8")
    command = ["preflight", str(file), "--json", "--kubernetes", "v1.34.2"]
    found = json.loads(CliRunner().invoke(app, command).stdout)["findings"]
    assert "HK107" in [each["rule"] for each in found]
    shown = CliRunner().invoke(app, [*command, "--crds", str(tmp_path / "crds")])
    assert shown.exit_code == 1
    assert "HK101" in [each["rule"] for each in json.loads(shown.stdout)["findings"]]


@pytest.mark.parametrize(
    "schema", ["{}", "[]", "text", "{properties: []}", "{type: 7, properties: {spec: 3}, items: a}"]
)
def test_a_definition_of_any_shape_breaks_nothing(look: Look, schema: str) -> None:
    text = definition("a: {}").replace("openAPIV3Schema:", f"openAPIV3Schema: {schema}\n        ignored:")
    assert "HK008" not in ids(look(text + model("a: {b: [1]}")))


def test_a_definition_that_refers_to_others_proves_nothing(look: Look) -> None:
    report = look(definition('where: {$ref: "#/definitions/x"}') + model("where: {path: /a}"))
    assert ids(report) == ["HK110"]
    assert report.verdict == "unknown"
