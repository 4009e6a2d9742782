"""The block of the README that says what the committed results show; nothing in it is typed."""

from pathlib import Path

from adlib.host import files
from adlib.study import cards as beyond
from adlib.study.summary import Study
from adlib.study.verdict import conclusions, verdicts

BEGIN = "<!-- `adlib report --readme` writes this from results/ -->"
END = "<!-- end -->"


def block(study: Study) -> str:
    """Markdown: verdicts and scale of every paper, and what goes beyond the papers."""
    if not study.profiles:
        raise ValueError(f"{study.results} holds no results yet. Run the study first.")
    printing = [name for name, paper in study.papers.items() if paper.prints]
    concluded = [conclusions.conclude(study, name, study.profiles) for name in printing]
    names = [name for name in verdicts.VERDICTS if any(one.counts[name] for one in concluded)]
    lines = [
        f"| published numbers of detectors | {' | '.join(names)} |",
        "|---" * (len(names) + 1) + "|",
        *(
            f"| {one.paper.title} | {' | '.join(str(one.counts[name]) for name in names)} |"
            for one in concluded
        ),
        "",
        *(f"- **{one.paper.title}.** {one.scale}" for one in concluded),
        *(f"- **{card.title}.** {card.sentence}" for card in beyond.cards(study, study.profiles)),
    ]
    return "\n".join(lines)


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
