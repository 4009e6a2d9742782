"""Two programs that share no code agree on the committed numbers and verdicts."""

import ast
import csv
from pathlib import Path

import numpy as np
import second_opinion

from adlib.host import paths
from adlib.study import summary
from adlib.study.verdict import agreement, verdicts


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
    """Catches a verdict that is not what its stated rule gives for the committed values."""
    study = summary.read(paths.home() / "results")
    compared = 0
    for profile in study.profiles:
        rows = verdicts.compare(study, profile)
        for row in rows[rows["verdict"].isin(agreement.OUTCOMES)].itertuples():
            path = paths.home() / "results" / profile / row.paper / f"{row.table}.csv"
            with path.open(encoding="utf-8", newline="") as file:
                raw = [
                    float(line["value"])
                    for line in csv.DictReader(file)
                    if (line["category"], line["method"]) == (row.category, row.method)
                    and (line["metric"], line["dataset"]) == (row.metric, row.dataset)
                    and not line["variant"] and line["form"] == row.form
                ]  # fmt: skip
            if row.method == "-":  # images are counted, not trained on
                expected = "agrees" if raw[0] == float(row.printed) else "differs"
            elif row.evaluation:
                expected = "cannot tell"
            else:
                expected = second_opinion.outcome(row.printed, raw)
            assert row.verdict == expected, row
            compared += 1
    assert compared >= 10


def test_the_rules_of_both_programs_agree():
    """Catches a slip in either program, on numbers that the committed results do not hold yet."""
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(2000):
        spread = rng.choice([0.002, 0.01, 0.03])
        values = np.round(rng.normal(0.8, spread, rng.integers(1, 11)), 4)
        published = f"{rng.normal(0.8, 0.04):.{rng.integers(1, 4)}f}"
        ours = agreement.compare(
            float(published), values, 0.03, verdicts.half_unit(published)
        ).outcome
        assert ours == second_opinion.outcome(published, values)
        seen.add(ours)
    assert seen == set(agreement.OUTCOMES)
