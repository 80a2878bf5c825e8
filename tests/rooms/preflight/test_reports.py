"""What machines read of a report: SARIF, JUnit's XML, GitHub's lines, and plain JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from hanok.preflight import Report
from hanok.preflight.reports import github, junit, plain, sarif
from tests.rooms.preflight.told import NOTE, RULES, SEATLESS, deployments, doubts, images, notes, report_on, seats

TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
SARIF: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "required": ["tool", "results"],
                "properties": {
                    "tool": {
                        "required": ["driver"],
                        "properties": {
                            "driver": {
                                "required": ["name", "version", "rules"],
                                "properties": {
                                    "rules": {
                                        "uniqueItems": True,
                                        "items": {
                                            "required": ["id", "help"],
                                            "properties": {
                                                "shortDescription": TEXT,
                                                "fullDescription": TEXT,
                                                "help": {**TEXT, "required": ["text", "markdown"]},
                                                "defaultConfiguration": {"properties": {"level": LEVEL}},
                                            },
                                        },
                                    }
                                },
                            }
                        },
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "results": {
                        "items": {
                            "required": ["ruleId", "ruleIndex", "level", "message", "locations", "partialFingerprints"],
                            "properties": {
                                "level": LEVEL,
                                "message": TEXT,
                                "partialFingerprints": {"additionalProperties": {"type": "string"}},
                                "suppressions": {
                                    "items": {
                                        "required": ["kind"],
                                        "properties": {"kind": {"enum": ["inSource", "external"]}},
                                    }
                                },
                                "locations": {
                                    "items": {
                                        "properties": {
                                            "physicalLocation": {
                                                "required": ["artifactLocation", "region"],
                                                "properties": {
                                                    "artifactLocation": {"required": ["uri"]},
                                                    "region": {"properties": {"startLine": {"minimum": 1}}},
                                                },
                                            }
                                        }
                                    }
                                },
                            },
                        }
                    },
                },
            },
        },
    },
}
"""The parts of SARIF's own schema that code scanning needs (OASIS, sarif-schema-2.1.0.json)."""


def log(report: Report) -> dict[str, Any]:
    found = sarif(report, rules=RULES, page=lambda rule: f"# {rule}\n", version="1.2.3")
    jsonschema.validate(found, SARIF)
    return json.loads(json.dumps(found))


def results(report: Report) -> list[dict[str, Any]]:
    return log(report)["runs"][0]["results"]


def test_a_sarif_log_tells_the_tool_its_rules_and_where_each_finding_is(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments("api"))
    (run,) = log(report)["runs"]
    driver = run["tool"]["driver"]
    assert (driver["version"], [each["id"] for each in driver["rules"]]) == ("1.2.3", [*RULES])
    assert driver["rules"][0]["help"]["markdown"] == "# HK901\n"
    assert run["properties"]["verdict"] == "refuted"
    (seat,) = [each for each in run["results"] if each["ruleId"] == SEATLESS.id]
    assert driver["rules"][seat["ruleIndex"]]["id"] == SEATLESS.id
    place = seat["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "all.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 15},
    }
    assert seat["level"] == "error"
    assert [each["level"] for each in run["results"] if each["ruleId"] == NOTE.id] == ["note"]


def test_fingerprints_stay_when_lines_move_and_differ_between_places(tmp_path: Path) -> None:
    text = deployments("a", "b")
    before = results(report_on(tmp_path, text))
    after = results(report_on(tmp_path, f"# a line\n\n{text.replace('replicas: 2', 'replicas: 3')}"))
    prints = [each["partialFingerprints"]["hanok/v1"] for each in before]
    assert prints == [each["partialFingerprints"]["hanok/v1"] for each in after]
    assert len(set(prints)) == len(prints)
    lines = [each["locations"][0]["physicalLocation"]["region"]["startLine"] for each in (before[0], after[0])]
    assert lines[1] == lines[0] + 2


def test_what_a_file_accepts_is_suppressed_in_source_with_the_reason(tmp_path: Path) -> None:
    text = deployments("a").replace("  # four of them", "  # hanok: ignore HK901 the pool comes on Monday")
    found = [each for each in results(report_on(tmp_path, text)) if each["ruleId"] == SEATLESS.id]
    assert [each["suppressions"] for each in found] == [
        [{"kind": "inSource", "justification": "the pool comes on Monday"}]
    ]


def test_names_of_files_become_uris(tmp_path: Path) -> None:
    report = report_on(tmp_path, deployments("a"), {"scheduling": [seats]})
    named = [replace(report.findings[0], file=name) for name in ("a b/ü#.yaml", "/etc/x.yaml", "")]
    found = [each["locations"] for each in results(replace(report, findings=named))]
    uris = [each[0]["physicalLocation"]["artifactLocation"] if each else None for each in found]
    assert uris == [
        {"uri": "a%20b/%C3%BC%23.yaml", "uriBaseId": "%SRCROOT%"},
        {"uri": "file:///etc/x.yaml"},
        None,
    ]


def suites(report: Report) -> dict[str, Any]:
    root = ElementTree.fromstring(junit(report))
    cases = list(root.iter("testcase"))
    assert int(root.attrib["tests"]) == len(cases)
    assert int(root.attrib["failures"]) == len(list(root.iter("failure")))
    assert int(root.attrib["skipped"]) == len(list(root.iter("skipped")))
    return {each.attrib["name"]: each for each in root}


def test_junit_has_a_suite_for_each_layer_and_a_case_for_each_object(tmp_path: Path) -> None:
    found = suites(report_on(tmp_path, deployments("a", "b")))
    assert [*found] == ["files", "scheduling", "memory", "consistency"]
    assert [each.attrib["name"] for each in found["files"]] == ["all.yaml"]
    assert [each.attrib["name"] for each in found["memory"]] == ["Deployment shop/a", "Deployment shop/b"]


def test_in_junit_errors_fail_open_findings_skip_and_the_rest_is_output(tmp_path: Path) -> None:
    found = suites(report_on(tmp_path, deployments("a")))
    kinds = {name: [child.tag for case in suite for child in case] for name, suite in found.items()}
    assert kinds == {"files": [], "scheduling": ["failure"], "memory": ["skipped"], "consistency": ["system-out"]}
    failure = found["scheduling"][0][0]
    assert failure.attrib == {"type": "HK901", "message": "cannot be scheduled: no node has 4 GPUs"}
    assert "all.yaml:15 error HK901" in (failure.text or "")
    assert "HK902" in (found["consistency"][0][0].text or "")


def test_in_junit_warnings_fail_where_they_refute(tmp_path: Path) -> None:
    found = suites(report_on(tmp_path, deployments("a"), {"consistency": [images, notes]}, strict=True))
    assert [child.tag for child in found["consistency"][0]] == ["failure", "system-out"]


def test_junit_is_xml_whatever_stands_in_a_manifest(tmp_path: Path) -> None:
    text = deployments("x").replace("shop/x:latest", "']]>&<!--\"'").replace("name: x", 'name: "<a&b>\\x01\\uFFFE"')
    found = suites(report_on(tmp_path, text))
    assert found["scheduling"][0].attrib["name"].startswith("Deployment shop/<a&b>")


def test_githubs_lines_are_commands_with_escaped_values(tmp_path: Path) -> None:
    said = github(
        report_on(tmp_path, deployments("a"), {"scheduling": [seats], "memory": [doubts, notes]})
    ).splitlines()
    assert said == [
        "::warning file=all.yaml,line=1,title=HK904 a model that is not known::Deployment shop/a: the model"
        " `shop/secret` is not known%0A→ give its `config.json`",
        "::notice file=all.yaml,line=1,title=HK903 a note::Deployment shop/a: is a Deployment%0A→ nothing to do",
        "::error file=all.yaml,line=15,title=HK901 no seat::Deployment shop/a: cannot be scheduled: no node has 4"
        " GPUs%0A→ add an instance type with more GPUs to the pool",
        "hanok preflight: refuted",
    ]


@pytest.mark.parametrize("text", ["a%b", "one\ntwo\r", "a,b:c"])
def test_no_message_ends_githubs_command_early(tmp_path: Path, text: str) -> None:
    report = report_on(tmp_path, deployments("a"), {"scheduling": [seats]})
    odd = replace(report.findings[0], message=text, file=text)
    command, last = github(replace(report, findings=[odd])).splitlines()
    properties, message = command.split("::", 2)[1:]
    assert properties.count(",") == 2
    assert message.startswith(
        "Deployment shop/a: " + text.replace("%", "%25").replace("\n", "%0A").replace("\r", "%0D")
    )
    assert last == "hanok preflight: refuted"


def test_plain_json_has_what_every_reader_needs(tmp_path: Path) -> None:
    found = plain(report_on(tmp_path, deployments("a")))
    assert found["verdict"] == "refuted"
    assert {"rule", "severity", "file", "line", "object", "message", "hint"} <= set(found["findings"][0])
    assert [each["layer"] for each in found["claims"]] == ["files", "scheduling", "memory", "consistency"]
