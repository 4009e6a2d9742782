"""The block of the README that says what the committed results show; nothing in it is typed."""

import json
from collections import Counter
from pathlib import Path

from adlib.host import files
from adlib.study import verdicts
from adlib.study.site import facts, findings, scoreboard
from adlib.study.site.claims import ASKED
from adlib.study.summary import COUNT, Study

BEGIN = "<!-- `adlib report --readme` writes this from results/ -->"
END = "<!-- end -->"


def block(study: Study) -> str:
    """Markdown: counts of verdicts by paper, findings that are about no one claim, and cost."""
    if not study.profiles:
        raise ValueError(f"{study.results} holds no results yet. Run the study first.")
    compared = {name: verdicts.compare(study, name) for name in study.profiles}
    rows = scoreboard.nearest(compared)
    rows = rows[rows["method"] != COUNT]
    names = [name for name in verdicts.VERDICTS if name in set(rows["verdict"])]
    lines = [
        f"| published numbers of detectors | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
    ]
    for title, group in rows.groupby("paper_title", sort=False):
        counts = Counter(group["verdict"])
        lines.append(f"| {title} | {' | '.join(str(counts[name]) for name in names)} |")
    lines.append("")
    for name, several in findings.findings(study, compared).items():
        said = [one for one in several if not one.claim] if name != ASKED else []
        lines += [f"- *{name}.* **{one.head}** {one.text}{_origin(one)}" for one in said]
    costs = [_cost(study, name) for name in study.profiles]
    return "\n".join([*lines, "", *costs, *speeds(study.results / "bench")])


def speeds(folder: Path) -> list[str]:
    """A sentence a device on the training steps that `make bench` measured there."""
    sentences = []
    for file in sorted(folder.glob("*.json")):
        every = json.loads(file.read_text(encoding="utf-8"))
        entries = [entry for entry in every if "times_plain" in entry]
        if not entries:  # of a machine on which no plain loop was measured
            continue
        first, ratios = entries[0], [entry["times_plain"] for entry in entries]
        graphed = sum(entry["graphed"] == "yes" for entry in entries)
        sentences.append(
            f"On {first.get('gpu') or first['processor']} ({first['precision']}) a plain PyTorch "
            f"loop of the same networks takes {min(ratios):.1f} to {max(ratios):.1f} times as long "
            f"as a training step of ours: {len(entries)} cases, {graphed} of them CUDA graphs "
            f"(`results/bench/{file.name}`)."
        )
    return sentences


def _cost(study: Study, name: str) -> str:
    """How long the notebooks of a profile took, one after another, and where its runs were made."""
    of = facts.of(study, name)
    where = "; ".join(of["devices"])
    return (
        f"Profile `{name}`: {of['done']} notebooks in {of['minutes']:.0f} minutes, runs on {where}."
    )


def _origin(one: findings.Finding) -> str:
    parts = [one.caution, f"profile {one.profile}" if one.profile else ""]
    told = ", ".join(filter(None, parts))
    return f" ({told})" if told else ""


def update(readme: Path, study: Study) -> bool:
    """Write the block between its markers; return whether anything has changed.

    Raises:
        ValueError: the markers are not there, once each and in order.
    """
    text = readme.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"{readme}: the block stands between {BEGIN} and {END}, once each")
    new = f"{before}{BEGIN}\n\n{block(study)}\n\n{END}{after}"
    if new != text:
        files.write_text(readme, new)
    return new != text
