"""What makes a run another run: what its numbers depend on, not where its code stands."""

import importlib
import sys

import pytest

from adlib import data, models
from adlib.models import losses, training
from adlib.models.training import Budget
from adlib.study import identity

NETWORK = "WIDTH = 3\n\ndef network(x):\n    return x * WIDTH\n\ndef unused():\n    return 1\n"
METHOD = '''"""A method."""
from adlib_toy.parts import network

def step(x: int) -> int:
    """One step."""
    return network(x)  # the network
'''


@pytest.fixture
def fingerprint(tmp_path, monkeypatch):
    """Write a package of the given files and give the fingerprint of its `step`."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(identity, "__package__", "adlib_toy.study")

    def made(files, home="method"):
        folder = tmp_path / "adlib_toy"
        for name, text in {"__init__": "", **files}.items():
            path = folder / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        for name in [name for name in sys.modules if name.startswith("adlib_toy")]:
            del sys.modules[name]
        importlib.invalidate_caches()
        identity._source.cache_clear()
        identity._module.cache_clear()
        return identity.code_fingerprint(importlib.import_module(f"adlib_toy.{home}").step)

    yield made
    identity._source.cache_clear()
    identity._module.cache_clear()


def test_a_move_keeps_a_run(fingerprint):
    """Would catch runs that are thrown away because a module was moved, renamed or tidied."""
    first = fingerprint({"parts": NETWORK, "method": METHOD})
    moved = METHOD.replace("adlib_toy.parts", "adlib_toy.rooms.networks")
    rooms = {"rooms/__init__": "", "rooms/networks": NETWORK}
    assert fingerprint({**rooms, "method": moved}) == first
    assert fingerprint({"parts": NETWORK, "other": METHOD}, "other") == first
    as_module = "from adlib_toy import parts as p\n\ndef step(x):\n    return p.network(x)\n"
    assert fingerprint({"parts": NETWORK, "method": as_module}) == first
    under_another_name = (
        "import os\nfrom adlib_toy.parts import network as n\n\ndef step(x):\n    return n(x)\n"
    )
    assert fingerprint({"parts": NETWORK, "method": under_another_name}) == first
    one_file = NETWORK + "\ndef step(x):\n    return network(x)\n"
    assert fingerprint({"method": one_file}) == first


def test_what_acts_makes_another_run(fingerprint):
    """Would catch a changed network, constant or step that keeps the numbers of the old one."""
    texts = [
        {"parts": NETWORK, "method": METHOD},
        {"parts": NETWORK.replace("x * WIDTH", "x + WIDTH"), "method": METHOD},
        {"parts": NETWORK.replace("WIDTH = 3", "WIDTH = 4"), "method": METHOD},
        {"parts": NETWORK, "method": METHOD.replace("network(x)  #", "2 * network(x)  #")},
    ]
    assert len({fingerprint(files) for files in texts}) == 4
    unused = NETWORK.replace("return 1", "return 2")
    assert fingerprint({"parts": unused, "method": METHOD}) == fingerprint(texts[0])


def used(root):
    """Definitions of the package that the fingerprint of a detector holds."""
    seen = set()
    original = identity._Module.definition

    def spy(self, name):
        seen.add((self.name, name))
        return original(self, name)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(identity._Module, "definition", spy)
        identity.code_fingerprint(root, training.train, training.score_parts)
    return seen


def test_a_detector_holds_its_loss_and_no_other_detector():
    """Would catch a loss that is not looked at, and one detector's change that retrains all."""
    found = used(models.CBiGAN)
    assert (losses.__name__, "gradient_penalty") in found
    assert ("adlib.networks.residual", "Critic") in found
    assert ("adlib.models.training", "_steps") in found
    assert not any(module.endswith(("ganomaly", "pyramid")) for module, _ in found)
    kept = identity.code_fingerprint(models.CBiGAN)
    assert kept != identity.code_fingerprint(models.AutoEncoder)


def test_how_often_weights_are_kept_is_no_other_run():
    """Would catch a training that is made again because snapshots were asked for."""
    split = data.one_class(data.load("synthetic", "object"), seed=0)
    detector = models.CBiGAN(side=32, channels=1, width=2)
    plain, kept = (identity.describe(detector, split, Budget(4, snapshots=n), 0) for n in (0, 2))
    assert plain == kept
