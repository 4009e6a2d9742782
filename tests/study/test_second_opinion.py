"""Two programs that share no code agree on the committed numbers and verdicts."""

import ast
import csv
from pathlib import Path

import second_opinion

from adlib.host import paths
from adlib.study import summary, verdicts


def test_the_second_judge_shares_nothing():
    """Catches an import that would make one program of the two."""
    source = Path(second_opinion.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {alias.name for node in imports for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not any(name.startswith(("adlib", "sklearn", "scipy")) for name in names)
    assert source.count("\n") <= 150


def test_committed_numbers_are_those_of_another_program(capsys):
    """Catches a committed number that its scores do not give, by whatever function of ours."""
    for profile in sorted((paths.home() / "results").glob("*/runs.tar.xz")):
        wrong, compared = second_opinion.check(profile.parent)
        assert wrong == [] and compared >= 20


def test_verdicts_are_those_of_another_program():
    """Catches a verdict that is not what its stated rule gives for a number of one seed."""
    study = summary.read(paths.home() / "results")
    compared = 0
    for profile in study.profiles:
        rows = verdicts.compare(study, profile)
        rows = rows[rows["verdict"].isin([verdicts.REPRODUCED, verdicts.NOT_REPRODUCED])]
        for row in rows[rows["seeds"] == 1].itertuples():
            path = paths.home() / "results" / profile / row.paper / f"{row.table}.csv"
            with path.open(encoding="utf-8", newline="") as file:
                raw = [
                    line
                    for line in csv.DictReader(file)
                    if (line["category"], line["method"]) == (row.category, row.method)
                    and (line["metric"], line["dataset"]) == (row.metric, row.dataset)
                    and not line["variant"] and line["form"] != "deployable"
                ]  # fmt: skip
            if len(raw) != 1:  # a mean over categories
                continue
            ends = raw[0]["low"] or raw[0]["value"], raw[0]["high"] or raw[0]["value"]
            reproduced = second_opinion.meets(row.printed, *map(float, ends))
            assert reproduced == (row.verdict == verdicts.REPRODUCED), row
            compared += 1
    assert compared >= 10
