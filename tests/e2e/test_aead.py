"""Each end takes the library that protects its packets by itself, or as MPQUIC_AEAD says, and both
understand each other.

    lan1 --- edge === wan1 === hub --- inet
"""
import pytest
from conftest import ROOT
from lab import Lab
from traffic import ping
from tunnel import Site, Tunnel, reachable

EXAMPLES = ROOT / "deploy" / "examples" / "edge-six"


@pytest.fixture(scope="module")
def site(build, lab_name):
    with Lab(lab_name, build=build, wans=1, profiles=["bare"]) as lab:
        lab.certificates = Site(lab)
        yield lab


def start(site, monkeypatch, end, wish):
    if wish is None:
        monkeypatch.delenv("MPQUIC_AEAD", raising=False)
    else:
        monkeypatch.setenv("MPQUIC_AEAD", wish)
    config = EXAMPLES / ("server" if end == "hub" else "client") / "1.yaml"
    tunnel = Tunnel(site, end, config, site.certificates.etc[end])
    tunnel.log.unlink(missing_ok=True)
    return tunnel.start()


@pytest.mark.parametrize("edge,hub", [(None, None), ("gnutls", None), (None, "gnutls"),
                                      ("gnutls", "gnutls"), ("rot13", "")])
def test_ends_understand_each_other(site, monkeypatch, edge, hub):
    ends = [start(site, monkeypatch, "hub", hub), start(site, monkeypatch, "edge", edge)]
    try:
        reachable(site, "edge", "10.200.1.2", ends=ends)
        assert ping(site, "edge", "10.200.1.2", 50, 0.01, ["-s", "1400"]).received == 50
        for end, wish in zip(ends, (hub, edge)):
            said = end.wait_line(r"aead: (ipsec-mb|gnutls)").group(1)
            s = end.status()
            assert s["aead"] == said and f"  AEAD          {said}\n" in end.ask("status").stdout
            assert wish != "gnutls" or said == "gnutls"
            assert s["drops"]["undecryptable"] == 0
            assert ("aead: MPQUIC_AEAD=rot13: not built in" in end.text()) == (wish == "rot13")
    finally:
        for end in ends:
            end.stop()
