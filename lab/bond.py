"""One session over several WANs: an edge and a hub of the laboratory, by deploy/examples/bond."""
import json
import re

from lab import wait_until
from tunnel import Tunnel, client_keys, server_keys, write_config

NUMBER = 20  # of the tunnel, as the six have 1 to 6
HUB = f"10.200.{NUMBER}.2"


def path(lab, i, **more):
    """An entry of multipath_paths: WAN i."""
    return dict(name=f"wan{i}", bind_ip=f"if:{lab.wan_interface(i)}") | more


def write_bond(file, lab, entries, **more):
    keys = client_keys(NUMBER, lab.hub4, bind_ip=None, tun_name="mpqb", multipath_enabled=True)
    text = write_config(file, **keys | more).read_text() + "multipath_paths:\n"
    for entry in entries:
        text += "  - {" + ", ".join(f"{k}: {json.dumps(v)}" for k, v in entry.items()) + "}\n"
    file.write_text(text)
    return file


def plug(lab, i, there=True):
    """The modem of WAN i is put in, or pulled out: its interface has no carrier."""
    interface = lab.wan_interface(i)
    lab.exec("edge", "ip", "link", "set", interface, "up" if there else "down")
    if there:  # what DHCP would bring back
        lab.exec("edge", "ip", "route", "replace", "default", "via", f"10.150.{i}.1", "dev",
                 interface, "metric", str(100 + i))


class Bond:
    """Both ends. entries: the edge's paths, by default one for each WAN."""

    def __init__(self, lab, site, entries=None, hub_keys={}, **more):
        self.lab = lab
        entries = entries or [path(lab, i) for i in lab.each_wan()]
        self.edge = Tunnel(lab, "edge", write_bond(lab.state / "bond.yaml", lab, entries, **more),
                           site.etc["edge"])
        self.hub = Tunnel(lab, "hub", write_config(
            lab.state / "bond-hub.yaml", **server_keys(NUMBER, tun_name="mpqb") | hub_keys),
            site.etc["hub"])
        for end in (self.edge, self.hub):
            end.log.unlink(missing_ok=True)

    def start(self):
        self.hub.start()
        self.edge.start()
        return self

    def stop(self):
        return [end.stop() for end in (self.edge, self.hub) if end.running()]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind=None, *_):
        codes = self.stop()
        assert kind or not any(codes), f"{codes}: {self.said()}"

    def said(self):
        return self.edge.text() + "\n" + self.hub.text()

    def paths(self):
        """What status tells of each path, by name."""
        return {p["name"]: p for p in self.edge.status()["paths"]}

    def wait_states(self, timeout=60, **wanted):
        """Wait until each path that is named is in a state that the pattern fits."""
        def there():
            seen = self.paths()
            return all(re.fullmatch(v, seen[k]["state"]) for k, v in wanted.items())
        wait_until(there, timeout, f"{wanted}:\n{self.said()}", interval=0.2)
