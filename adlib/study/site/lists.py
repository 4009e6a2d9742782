"""Pages that list: scoreboard, rule, notebooks, departures, runs."""

from collections import Counter

import pandas as pd
from markupsafe import Markup

from adlib.host import files
from adlib.study import grids
from adlib.study.engine.execute import TOUR
from adlib.study.papers import MEANS
from adlib.study.profiles import Cell
from adlib.study.site import sections
from adlib.study.site.rendering import Site
from adlib.study.summary import COUNT
from adlib.study.tables import sentence
from adlib.study.verdict import deciding, verdicts
from adlib.study.verdict.conclusions import Conclusion


def write(site: Site, executed: dict[Cell, str], concluded: list[Conclusion]) -> None:
    """Scoreboard, rule, notebooks, departures and runs."""
    study = site.study
    board = pd.concat(rows.assign(profile=name) for name, rows in site.compared.items())
    csv = board.drop(columns=["runs", "values", "others"]).to_csv(index=False, lineterminator="\n")
    files.write_text(site.folder / "files/scoreboard.csv", csv)
    site.render("scoreboard.html", "scoreboard.html.j2", "Scoreboard", **_board(site))
    site.render("rule.html", "rule.html.j2", "The rule of the verdict", **_rule(site))
    papers = dict.fromkeys(paper for paper, _ in site.by_page)
    listed = [_of_paper(site, paper, executed) for paper in papers]
    lead = Markup("One page a notebook: tables, pictures and runs of all profiles.")
    for paper, notebook in site.by_page:
        if notebook == TOUR:
            start = Markup(' Start with <a href="{}/{}.html">{}</a>.')
            lead += start.format(paper, notebook, site.leads[paper, notebook][0])
    site.render_sections("notebooks", "Notebooks", lead, listed)
    lead = "What runs do otherwise than the paper says or its authors' public code does, read off "
    lead += "the run records. What is alike is not listed."
    departed = [sections.of_departures(study, name) for name in study.profiles]
    site.render_sections("departures", "Departures from the papers and their code", lead, departed)
    ran_by = [sections.of_profile(study, name) for name in study.profiles]
    lead = "A profile is a budget and a choice of data."
    site.render_sections("runs", "What was run", lead, [*ran_by, sections.of_cost(concluded)])


def _of_paper(site: Site, paper: str, executed: dict[Cell, str]) -> sections.Section:
    """A paper's notebooks in reading order, its verdict last."""
    known, rows = site.study.papers.get(paper), []
    for (folder, notebook), executions in site.by_page.items():
        if folder == paper:
            title = site.leads[paper, notebook][0]
            pages = [executed[one.cell] for one in executions if one.cell in executed]
            rows.append({
                "notebook": grids.Cell(title, title, link=f"{paper}/{notebook}.html"),
                "profiles": ", ".join(dict.fromkeys(one.cell.profile for one in executions)),
                "executions": len(executions),
                "as it ran": grids.Cell("open", link=pages[0]) if pages else "–",
            })  # fmt: skip
    if (site.folder / paper / "verdict.html").is_file():
        link = grids.Cell("Verdict", "Verdict", link=f"{paper}/verdict.html")
        rows.append(dict.fromkeys(rows[0], "") | {"notebook": link})
    texts = [sentence(known.citation)] if known and known.citation else []
    listed = grids.plain("Notebooks", rows, ["executions"])
    return sections.Section(known.title if known else paper, paper, texts, tables=[listed])


def _board(site: Site) -> dict:
    """What the scoreboard says, and which published or own numbers no scores can give."""
    broken, checked = verdicts.bounds_of_published(site.study)
    once = verdicts.nearest(site.compared)
    heads = {"method": "method", "paper_title": "paper", "category": "category",
             "printed": "balanced accuracy", "printed_auroc": "auROC", "broken": "what is broken",
             "note": "origin"}  # fmt: skip
    rows = broken.replace({"category": MEANS})[list(heads)].rename(columns=heads)
    papers = list(dict.fromkeys(once["paper_title"]))
    names = (papers, verdicts.VERDICTS, site.study.profiles)
    return {
        "tally": {
            "results": Counter(once.loc[once["method"] != COUNT, "verdict"]),
            "facts": Counter(once.loc[once["method"] == COUNT, "verdict"]),
        },
        "board": board(site),
        "filters": dict(zip(("paper", "verdict", "profile"), names, strict=True)),
        "broken": grids.plain("Published rows that break a bound", rows.to_dict("records")),
        "checked": {"rows": len(checked), **checked[["both", "pair"]].sum().to_dict()},
        "ours": verdicts.bounds_of_ours(site.study),
    }


def _rule(site: Site) -> dict:
    """What the page on the rule says; its picture is drawn where there is anything to count."""
    facts = deciding.facts(site.study, site.compared)
    rows = [
        {name: value if name == "seeds" else f"{value:.2f}" for name, value in row.items()}
        for row in facts["chances"]
    ]
    alt = "Published numbers that agree, differ and stay open, for margins from 0 to 0.10"
    drawn = [site.pictures.add(deciding.drawn(facts["moved"]), alt)] if facts["counted"] else []
    table = grids.plain("Probability of each outcome", rows, rows[0] if rows else ())
    return facts | {"chances": table, "curves": drawn}


def board(site: Site) -> list[grids.Table]:
    """The scoreboard: values with a number of ours, one a profile, and those without any."""
    ours = [rows[rows["ours"].notna()].assign(profile=p) for p, rows in site.compared.items()]
    once = verdicts.nearest(site.compared)
    without = once[once["ours"].isna()].assign(profile="")
    return [
        grids.published(
            rows.iloc[(rows["method"] == COUNT).argsort(kind="stable")], caption, name, site.by_page
        )
        for rows, caption, name in (
            (pd.concat(ours), "With a number of ours", "with-ours"),
            (without, "Without a number of ours", "without-ours"),
        )
    ]
