"""The README says what the committed results show, and nothing that was typed."""

import subprocess

import pytest
from report_tree import read

from adlib.host import paths
from adlib.study import readme, summary


def _changed(home):
    """Whether tables differ from the committed ones, as after `make study`."""
    command = ["git", "status", "--porcelain", "--", "results"]
    found = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
    return found.returncode == 0 and bool(found.stdout)


def test_the_readme_is_up_to_date():
    """Catches results that changed and a README that did not, or a number typed into its block."""
    home = paths.home()
    if _changed(home):
        pytest.skip("results/ holds numbers of a study on this machine that are not committed")
    text = (home / "README.md").read_text(encoding="utf-8")
    block = readme.block(summary.read(home / "results"))
    assert f"{readme.BEGIN}\n\n{block}\n\n{readme.END}" in text, "run `adlib report --readme`"


def test_only_the_block_is_written(made, tmp_path):
    """Catches text around the markers that is lost, and a README without them that is changed."""
    file = tmp_path / "README.md"
    file.write_text(f"before\n{readme.BEGIN}\n%stale%\n{readme.END}\nafter\n", encoding="utf-8")
    assert readme.update(file, read(made)) and not readme.update(file, read(made))
    text = file.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "%stale%" not in text
    assert "| CBiGAN |" in text
    for broken in ("nothing", f"{readme.END} {readme.BEGIN}", text + text):
        file.write_text(broken, encoding="utf-8")
        with pytest.raises(ValueError, match="once each"):
            readme.update(file, read(made))
        assert file.read_text(encoding="utf-8") == broken


def test_the_block_is_short(made):
    """Catches a door that grows: the whole README has 700 words, its block 260 of them."""
    study = summary.read(paths.home() / "results")
    assert len(readme.block(study).split()) <= 260
