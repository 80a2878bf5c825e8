"""Which addresses may be asked."""

from __future__ import annotations

from hanok.web.addresses import refusal_of

METADATA = ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "fd20:ce::254"]
NOWHERE = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1", "fe80::1", "fe80::1%eth0"]
NOWHERE += ["169.254.0.1", "::ffff:169.254.1.1", "64:ff9b::169.254.169.254", "2002:a00:1::1", "2001:0:a00:1::", "x"]
NOWHERE += ["64:ff9b:1::a00:1", "::169.254.169.254"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "192.168.0.1", "127.0.0.1", "127.9.9.9", "::1", "fc00::1", "100.64.0.1"]
PRIVATE += ["::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "::10.0.0.1", "fec0::1", "192.0.2.1", "2001:db8::1", "198.18.0.1"]
PUBLIC = ["93.184.216.34", "2606:4700::1111", "::ffff:93.184.216.34", "64:ff9b::93.184.216.34"]


def test_addresses_are_judged_also_those_that_stand_for_others() -> None:
    assert [each for each in PUBLIC if refusal_of(each, private=False)] == []
    assert [each for each in PRIVATE if not refusal_of(each, private=False)] == []
    assert [each for each in PRIVATE if refusal_of(each, private=True)] == []
    assert [each for each in METADATA + NOWHERE if not refusal_of(each, private=True)] == []
