"""Layer 1, rules in CEL: what Kubernetes adds to the language, what rules see, and what cannot be asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.rooms.preflight.conftest import Look, ids, only
from tests.rooms.preflight.test_schema_kinds import definition, model


def ruled(rule: str, *, form: str = "", **more: object) -> str:
    """A definition whose spec's field `it` has this rule."""
    told = {"rule": rule, **more}
    text = form or "x-kubernetes-preserve-unknown-fields: true"
    return definition(f"it: {{{text}, x-kubernetes-validations: [{json.dumps(told)}]}}")


TRUE = [
    ('self.find("[0-9]+") == "12"', '"a12b3"'),
    ('self.findAll("[0-9]") == ["1", "2", "3"]', '"a12b3"'),
    ('self.findAll("[0-9]", 1) == ["1"]', '"a12b3"'),
    ('self.indexOf("b") == 3 && self.lastIndexOf("2") == 2', '"a12b3"'),
    ("self.indexOf(2) == 1 && self.lastIndexOf(2) == 2", "[1, 2, 2]"),
    ('self.split(",").map(x, x.trim()).join("-") == "a-b"', '"a, b"'),
    ('self.substring(1, 3) == "12" && self.replace("a", "c") == "c12b3"', '"a12b3"'),
    ('self.lowerAscii() == "ab" && self.upperAscii() == "AB"', '"aB"'),
    ('matches(self, "^a[0-9]+$") && self.matches("^a")', '"a12"'),
    ("self.isSorted() && self.sum() == 6 && self.min() == 1 && self.max() == 3", "[1, 2, 3]"),
    ("!self.isSorted()", "[2, 1]"),
    ('quantity(self).isLessThan(quantity("2Gi")) && isQuantity(self)', '"1500Mi"'),
    ('quantity(self) == quantity("1Gi") && quantity(self).compareTo(quantity("1G")) == 1', '"1024Mi"'),
    ('quantity(self).add(quantity("500m")) == quantity("1500m") && quantity(self).asInteger() == 1', '"1"'),
    ("!isQuantity(self) && !isIP(self) && !isCIDR(self) && !isURL(self)", '"a b"'),
    ("isIP(self) && ip(self).family() == 4 && ip(self).isLoopback()", '"127.0.0.1"'),
    ('cidr(self).containsIP("10.1.2.3") && cidr(self).containsCIDR("10.1.0.0/16")', '"10.0.0.0/8"'),
    ('cidr(self).prefixLength() == 8 && cidr(self).masked() == cidr("10.0.0.0/8")', '"10.1.0.0/8"'),
    (
        'isURL(self) && url(self).getScheme() == "https" && url(self).getHostname() == "a.org"',
        '"https://a.org:8443/b?c=d"',
    ),
    ('url(self).getHost() == "a.org:8443" && url(self).getPort() == "8443"', '"https://a.org:8443/b?c=d"'),
    ('url(self).getEscapedPath() == "/b" && url(self).getQuery()["c"] == ["d"]', '"https://a.org:8443/b?c=d"'),
    ("!format.dns1123Label().validate(self).hasValue()", '"a-b"'),
    ("format.dns1123Label().validate(self).hasValue()", '"a_b"'),
    ('format.named("dns1123Label").hasValue() && !format.named("unheard").hasValue()', '"a"'),
    ('"%s is %d".format([self, 3]) == "a is 3"', '"a"'),
    ("dyn(self) == 1 && type(self) == int", "1"),
    ("self.all(k, self[k] > 0) && size(self) == 2", "{a: 1, b: 2}"),
    ("math.greatest(self) == 3 && sets.contains(self, [1])", "[1, 3]"),
]


@pytest.mark.parametrize(("rule", "value"), TRUE)
def test_kubernetes_own_functions_are_there(look: Look, rule: str, value: str) -> None:
    report = look(ruled(rule) + model(f"it: {value}"))
    assert [each.message for each in report.findings] == []
    assert ids(look(ruled(f"!({rule})") + model(f"it: {value}"))) == ["HK105"]


def test_a_rule_that_is_broken_is_told_in_its_own_words(look: Look) -> None:
    text = ruled("self > 1", message="must be more than one") + model("it: 1")
    found = only(look(text), "HK105")
    assert found.message == "spec.it: must be more than one"
    assert found.line == text[: text.index("  it: 1")].count("\n") + 1
    assert only(look(ruled("self > 1") + model("it: 1")), "HK105").message == "spec.it: breaks the rule `self > 1`"
    made = ruled("self > 1", message="no", messageExpression="'is ' + string(self)")
    assert only(look(made + model("it: 1")), "HK105").message == "spec.it: is 1"
    failing = ruled("self > 1", message="no", messageExpression="self.missing")
    assert only(look(failing + model("it: 1")), "HK105").message == "spec.it: no"


def test_a_rule_may_say_which_field_it_means(look: Look) -> None:
    found = only(look(ruled("self.a < self.b", fieldPath=".b") + model("it: {a: 2, b: 1}")), "HK105")
    assert found.path == "spec.it.b"


def test_rules_see_defaults_and_escaped_names(look: Look) -> None:
    schema = """
it:
  type: object
  properties:
    count: {type: integer, default: 2}
    namespace: {type: string}
    dash-ed: {type: string}
    a.b/c: {type: string}
  x-kubernetes-validations:
    - rule: self.count == 2 && self.__namespace__ == 'ns'
    - rule: self.dash__dash__ed == 'd' && self.a__dot__b__slash__c == 's'
"""
    assert ids(look(definition(schema) + model("it: {namespace: ns, dash-ed: d, a.b/c: s}"))) == []


@pytest.mark.parametrize(
    ("form", "rule", "value"),
    [
        ("type: string, format: duration", "self < duration('1h') && self >= duration('90s')", "30m"),
        ("type: string, format: date-time", "self > timestamp('2026-01-01T00:00:00Z')", '"2026-11-01T00:00:00Z"'),
        ("type: number", "self / 2.0 == 1.5", "3"),
        ("type: integer", "self % 2 == 1", "3"),
        ("x-kubernetes-int-or-string: true", "type(self) == int ? self > 1 : self.endsWith('%')", "50%"),
    ],
)
def test_values_come_to_rules_in_their_types(look: Look, form: str, rule: str, value: str) -> None:
    assert ids(look(ruled(rule, form=form) + model(f"it: {value}"))) == []


def test_rules_about_a_change_are_not_asked_unless_they_may_be_at_the_beginning(look: Look) -> None:
    assert ids(look(ruled("self == oldSelf") + model("it: 1"))) == []
    optional = ruled("oldSelf.hasValue() || self == 2", optionalOldSelf=True)
    assert ids(look(optional + model("it: 2"))) == []
    assert ids(look(optional + model("it: 1"))) == ["HK105"]


@pytest.mark.parametrize(
    "rule", ["self.unheardOf()", "this is not CEL", "1 / 0 == 1", "(" * 19_000, "1 < 2" + " && 1 < 2" * 3000]
)
def test_a_rule_that_cannot_be_evaluated_leaves_the_verdict_open(look: Look, rule: str) -> None:
    report = look(ruled(rule) + model("it: {a: 1}"))
    assert ids(report) == ["HK110"]
    assert report.verdict == "unknown"


def test_a_rule_that_asks_for_what_is_not_there_is_broken_as_it_is_for_the_api_server(look: Look) -> None:
    found = only(look(ruled("self.b > 1", message="b must be more than one") + model("it: {a: 1}")), "HK105")
    assert found.message == "spec.it: b must be more than one (the rule asks for 'b', which is not there)"


def test_rules_are_not_asked_of_what_is_wrong_already(look: Look) -> None:
    text = ruled("self.size() > 3", form="type: string, maxLength: 2")
    assert ids(look(text + model("it: 7"))) == ["HK103"]


def test_the_language_comes_without_its_prompt() -> None:
    code = (
        "import sys; from hanok.preflight.schema.expressions import Rules; Rules();"
        "assert 'prompt_toolkit' not in sys.modules; from cel import cli; assert cli.__name__ == 'cel.cli'"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
