"""The READMEs: what they name is there, what they show to type works, and the door stays short."""

import argparse
import re
import shlex
from pathlib import Path

import pandas as pd
import pytest
import torch
from data_trees import two_folder_tree
from detectors import SMALL, TRANSDUCTIVE

from adlib import cli, data, deploy, models
from adlib.data import synthetic
from adlib.deploy import image_folders
from adlib.host import paths
from adlib.models import base
from adlib.models.training import Budget
from adlib.study.lab import reading_order

HOME = paths.home()
FOLDERS = [
    *("", "notebooks", "results"),
    *("adlib/data", "adlib/models", "adlib/deploy", "adlib/study"),
]
TEXTS = {f"{folder}/README.md".lstrip("/"): HOME / folder / "README.md" for folder in FOLDERS}
WORDS = 700  # of the door, with the block that `adlib report --readme` writes
ONCE = ["--once", "--interval", "0.1"]  # so that a watch ends by itself
REPORT = "results/report/"  # as long as no report was built, there is nothing to link to


@pytest.fixture(params=TEXTS)
def text(request):
    """One README: its folder and what it says."""
    file = TEXTS[request.param]
    return file.parent, file.read_text(encoding="utf-8")


def fenced(text, language):
    """The code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.M | re.S)


def prose(text):
    """What stands outside of the code blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def typed(text):
    """All that a reader may type: lines of code blocks, and code in sentences."""
    lines = [line for block in fenced(text, r"\w*") for line in block.splitlines()]
    return [*lines, *re.findall(r"`([^`\n]+)`", prose(text))]


def words(text):
    """What stands between white space, without code blocks, comments and pictures."""
    return len(re.sub(r"<!--.*?-->|!\[.*?\]\(.*?\)", "", prose(text), flags=re.S).split())


def anchors(text):
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_all_are_known():
    """Catches a README that none of these tests reads."""
    found = HOME.glob("adlib/**/README.md")
    assert set(found) <= set(TEXTS.values())


def test_links_lead_somewhere(text):
    """Catches a link, or a picture, whose file or heading has moved; no address is asked."""
    folder, said = text
    found = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", prose(said))
    links = [link for pair in found for link in pair if link and "://" not in link]
    for link in links:
        name, _, anchor = link.partition("#")
        file = folder / name if name else folder / "README.md"
        if name.startswith(REPORT) and not (HOME / REPORT / "index.html").is_file():
            continue
        assert file.exists(), link
        assert not anchor or anchor in anchors(file.read_text(encoding="utf-8")), link
    assert all("alt=" in tag for tag in re.findall(r"<img [^>]*>", said))


def test_files_that_are_named_are_there(text):
    """Catches a module or script that was renamed; names with a placeholder are left out."""
    folder, said = text
    for code in typed(said):
        for name in re.findall(r"(?<![\w<>*/.])[\w./-]+\.(?:py|sh|md|yaml)\b(?![\w>])", code):
            assert (HOME / name).is_file() or (folder / name).is_file(), name


def test_commands_and_options_are_there(text):
    """Catches a command, an option, a target of make or a variable that is gone."""
    makefile = (HOME / "Makefile").read_text(encoding="utf-8")
    sources = [*HOME.glob("adlib/**/*.py"), HOME / "Makefile", HOME / "Snakefile"]
    code = "".join(file.read_text(encoding="utf-8") for file in sources)
    for line in typed(text[1]):
        for command in re.findall(r"(?:^|&& |-m )adlib ([a-z][^#&]*)", line):
            check_command(command.split())
        for target in re.findall(r"(?:^|&& )make ([a-z]\w*)", line):
            assert re.search(rf"^{target}:", makefile, re.M), line
        for variable in re.findall(r"ADLIB_[A-Z_]+", line):
            assert variable in code, line


def check_command(given):
    """Walk the parser down the words of a command; every option must be one of the last parser."""
    parser = cli._parser()
    while given and (inner := sub_commands(parser)):
        assert given[0] in inner, given
        parser, given = inner[given[0]], given[1:]
    for word in given:
        option = word.partition("=")[0]
        assert not option.startswith("--") or option in parser._option_string_actions, given


def sub_commands(parser):
    """{name: parser} of the commands below one."""
    every = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return next((dict(action.choices) for action in every), {})


def test_a_wrong_command_is_found():
    """Would catch a check of commands that lets everything pass."""
    for wrong in ("fit parts", "train parts --targets x", "data fetch", "runs pack --scores"):
        with pytest.raises(AssertionError):
            check_command(wrong.split())


def test_the_door_is_short():
    """Catches a README that grows back into a book."""
    assert words(TEXTS["README.md"].read_text(encoding="utf-8")) <= WORDS
    assert words("one `two`\n| three |\n<!-- no -->\n![no no](no.png)\n```\nno\n```\n") == 5


@pytest.fixture
def parts(tmp_path, monkeypatch):
    """A working directory with folders of images as the READMEs name them."""
    monkeypatch.chdir(tmp_path)
    images, _, rows = synthetic.generate("texture", 32, 40, 4, 4)
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2)
    test = torch.tensor([row[3] == "test" for row in rows])
    for name, part in {"normal": ~test, "today": test, "incoming": test}.items():
        image_folders.write(tmp_path / "parts" / name, pixels[part])
    train, small = deploy.train, {"method": "AutoEncoder", "side": 32, "steps": 2}

    def quickly(normal, abnormal=None, method="", target="", **named):
        return train(normal, abnormal, target=target, **named | small)

    monkeypatch.setattr(deploy, "train", quickly)
    return tmp_path


def test_the_lines_for_a_shell(parts):
    """Catches lines that a reader copies and that fail."""
    (lines,) = fenced(TEXTS["README.md"].read_text(encoding="utf-8"), "sh")
    first, *commands = [shlex.split(line, comments=True) for line in lines.splitlines()]
    assert first == [".", ".venv/bin/activate"] and len(commands) == 4
    for program, *given in commands:
        assert program == "adlib"
        assert cli.main([*given, *(ONCE if given[0] == "watch" else [])]) == 0
    assert {"parts.safetensors", "most_anomalous.png", "parts.onnx", "today.html"} <= {
        file.name for file in parts.iterdir()
    }
    assert len(pd.read_csv("decisions.csv")) == 8
    assert len(Path("decisions.jsonl").read_text(encoding="utf-8").splitlines()) == 8


def test_the_lines_for_python(parts):
    """Catches lines of the door for one's own images that fail."""
    (lines,) = fenced(TEXTS["adlib/deploy/README.md"].read_text(encoding="utf-8"), "python")
    exec(lines, {})
    assert (parts / "most_anomalous.png").is_file()
    assert len(pd.read_csv("decisions.csv")) == 8


def test_the_lines_for_a_folder(tmp_path, monkeypatch, capsys):
    """Catches lines on measuring a detector that fail, or give other shapes than they say."""
    folder = two_folder_tree(tmp_path / "parts", 12, 4)
    monkeypatch.chdir(tmp_path)
    (lines,) = fenced(TEXTS["adlib/data/README.md"].read_text(encoding="utf-8"), "python")
    exec(lines.replace("/path/to/my/parts", folder.as_posix()), {})
    assert re.search(r"\(?\[\d+, 3, 128, 128\]\)?", capsys.readouterr().out)
    lines, _ = fenced(TEXTS["adlib/models/README.md"].read_text(encoding="utf-8"), "python")
    names = {}
    small = lines.replace("/path/to/my/parts", folder.as_posix()).replace("width=8", "width=2")
    exec(re.sub(r"steps=\d+, batch=\d+", "steps=1, batch=2", small), names)
    assert len(names["maps"]) == len(names["scores"])
    assert (tmp_path / "my_detector.safetensors").is_file()


def test_the_detector_to_copy(monkeypatch):
    """Catches an example of a detector that the base class does not take."""
    monkeypatch.setattr(base, "REGISTRY", dict(base.REGISTRY))
    _, lines = fenced(TEXTS["adlib/models/README.md"].read_text(encoding="utf-8"), "python")
    exec(lines, {"__name__": "small"})
    detector = models.build("Small", side=32, width=4)
    split = data.one_class(data.load("synthetic", "texture"), seed=0)
    history = detector.fit(split, Budget(steps=20, batch=8), seed=0, device="cpu")
    assert history["loss"].iloc[-5:].mean() < history["loss"].iloc[:5].mean()
    assert detector.score(split.pixels("test", side=32)).shape == (48,)


def test_every_data_set_has_a_true_line():
    """Catches a set without a line, and a licence, a folder or a way to get it that is another."""
    said = TEXTS["adlib/data/README.md"].read_text(encoding="utf-8")
    cells = [
        [cell.strip() for cell in row.split("|")] for row in re.findall(r"^\| `.*$", said, re.M)
    ]
    lines = {name.strip("`"): rest for _, name, *rest, _ in cells}
    assert set(lines) == set(data.names())
    for name, (_, folder, way, licence) in lines.items():
        about = data.info(name)
        assert licence in (about.licence.partition(":")[0], "yours"), name
        assert all(place.split("/{")[0] in folder for place in about.lies_in), name
        program = bool(about.archive or about.torchvision)
        packaged = set(about.packaged) == set(about.modes)
        expected = "program" if program else "package" if packaged else "by hand"
        assert way == {"ir_mnist": "from the digits", "folder": "yours"}.get(name, expected)


def test_every_detector_has_a_true_line():
    """Catches a detector without a line, and one that learns from other images than it says."""
    said = TEXTS["adlib/models/README.md"].read_text(encoding="utf-8")
    lines = dict(re.findall(r"^\| `(\w+)` \|.*\| (yes)? ?\|$", said, re.M))
    small = SMALL | TRANSDUCTIVE
    assert {name: told == "yes" for name, told in lines.items()} == {
        name: bool(models.build(name, **small[name]).uses_abnormal) for name in models.REGISTRY
    }


def test_every_notebook_has_a_line_and_a_picture():
    """Catches a notebook that readers do not find, a line of one that is gone, an old thumbnail."""
    folder = HOME / "notebooks"
    there = {f"{file.parent.name}/{file.stem}" for file in folder.glob("*/*.ipynb")}
    order = reading_order.read(folder)
    assert sorted(order) == sorted(there), "a line a notebook in notebooks/README.md, once"
    assert order[0] == "beyond/00_start_here"
    said = TEXTS["notebooks/README.md"].read_text(encoding="utf-8")
    for name in order:
        file = reading_order.thumbnail(folder, name)
        shown = f'src="{file.relative_to(folder).as_posix()}"' in said
        assert shown == file.is_file(), f"{name}: run `adlib report --readme`, and show it"
        paper, _, notebook = name.partition("/")
        left = any((HOME / "results" / reading_order.PROFILE / paper).glob(f"{notebook}__*.png"))
        assert file.is_file() >= left, f"{name}: run `adlib report --readme`"
    for paper in {name.partition("/")[0] for name in order if name.endswith("/verdict")}:
        assert [n for n in order if n.startswith(f"{paper}/")][-1] == f"{paper}/verdict"
