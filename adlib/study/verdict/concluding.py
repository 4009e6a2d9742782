"""What a verdict notebook shows of one paper, from the rows of all profiles alone.

Nothing here trains, loads an image or imports torch.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import Image, Markdown, display

from adlib import plots
from adlib.host import paths
from adlib.study import departures, pictures
from adlib.study.papers import known
from adlib.study.summary import COUNT, Study, read
from adlib.study.tables import Table, in_words, listed, number, sentence, signed
from adlib.study.verdict import agreement, conclusions, hours, ledger
from adlib.study.verdict.claims import category_in_words
from adlib.study.verdict.conclusions import Conclusion

MARGIN = agreement.MARGINS["auroc"]


@dataclass(frozen=True)
class Verdict:
    """A paper's conclusion, laid out for a notebook."""

    study: Study
    order: list[str]
    of: Conclusion

    @property
    def heading(self) -> str:
        """Markdown: the verdict in one sentence, the scale, the profiles it was read from."""
        rows = self.study.rows[self.study.rows["paper"] == self.of.paper.name]
        names = [f"`{name}`" for name in self.order if name in set(rows["profile"])]
        several = "profiles" if len(names) > 1 else "profile"
        used = f"Rows: {several} {listed(names, '–')}, the first that has a number decides."
        return f"**{self.of.sentence}** Scale: {self.of.scale} {used}"

    @cached_property
    def methods(self) -> pd.DataFrame:
        """The published numbers of methods; see `Conclusion.rows`."""
        return self.of.rows[self.of.rows["method"] != COUNT]

    def picture(self) -> Image:
        """Published numbers against ours, with what it shows in words beside it."""
        figure = plots.published_against_ours(self.methods, self.of.paper.title, MARGIN)
        content = pictures.png(figure, caption := in_picture(self.of))
        plt.close(figure)  # else a notebook would show it a second time
        return Image(content, alt=caption)

    def claims(self) -> Table:
        """The claim ledger."""
        lines = [
            {
                "id": one.claim.id,
                "claim": f"{one.claim.words} ({one.claim.place})",
                "test": _test(one),
                "outcome": one.outcome,
                "what the rows say": one.text,
                "scale": _scale(one),
                "seeds": one.seeds or "",
                "hours": f"{one.hours:.2f}" if one.hours else "",
                "profile": one.profile,
            }
            for one in self.of.entries
        ]
        rule = (
            f"A claim holds, or does not, only by runs at the paper's scale with {ledger.SEEDS} "
            "seeds or more. Hours are what training and scoring the runs behind a claim took."
        )
        return Table.of(lines, [rule])

    def numbers(self) -> Table:
        """Published numbers with one of ours, by table; every reason once, below."""
        rows = self.of.rows[self.of.rows["ours"].notna()]
        rows = pd.concat([rows[rows["method"] != COUNT], rows[rows["method"] == COUNT]])
        reasons = filter(None, dict.fromkeys(rows["reason"]))
        numbers = {reason: i for i, reason in enumerate(reasons, 1)}
        lines = [
            {
                ("", "table"): row.table_title,
                ("", "data"): self._place(row),
                ("", "method"): "fact about the data" if row.method == COUNT else row.method,
                ("", "metric"): in_words(row.metric.removeprefix("n_")),
                ("published", "value"): row.printed,
                ("ours", "value"): number(row.ours),
                ("ours", "seeds"): "–" if pd.isna(row.seeds) else f"{row.seeds:.0f}",
                ("ours", "profile"): row.profile,
                ("", "difference"): signed(row.difference, row.printed),
                ("", "verdict"): row.verdict + (f" [{numbers[row.reason]}]" if row.reason else ""),
            }
            for row in rows.itertuples()
        ]
        notes = [f"[{i}] {sentence(reason)}" for reason, i in numbers.items()]
        table = Table.of(lines, [*notes, *self._absent()])
        if lines:
            columns = pd.MultiIndex.from_tuples(table.frame.columns)
            table = Table(table.frame.set_axis(columns, axis=1), table.notes)
        return table

    def _place(self, row) -> str:
        return f"{self.of.paper.title_of(row.dataset)} {category_in_words(row.category)}".strip()

    def _absent(self) -> list[str]:
        """Published numbers without one of ours, by what stands in the way."""
        rows = self.of.rows[self.of.rows["ours"].isna()]
        reasons = rows["reason"].where(rows["reason"] != "", rows["verdict"])
        counts = Counter(reasons).most_common()
        return [
            f"{n} more {'has' if n == 1 else 'have'} no number of ours: {reason.rstrip('.')}."
            for reason, n in counts
        ]

    def departures(self) -> Table:
        """Where runs differ from what the paper says or its authors' code does."""
        lines, unknown = [], set()
        for name in self.order:
            rows = self.study.rows[
                (self.study.rows["profile"] == name)
                & (self.study.rows["paper"] == self.of.paper.name)
            ]
            for one in departures.departures(rows, self.study.records(name), self.study.papers):
                unknown |= set(one["unknown"])
                lines += [{"profile": name, **row} for row in one["rows"]]
        order = ("setting", "published", "source")
        merged: dict[tuple, list[str]] = {}
        for line in lines:
            told = f"{line['here']} ({line['profile']})"
            merged.setdefault(tuple(line[key] for key in order), []).append(told)
        made = [
            {"setting": key[0].replace("_", " "), "published": key[1], "here": "; ".join(told)}
            | {"source": key[2]}
            for key, told in merged.items()
        ]
        notes = [f"The paper says nothing of the settings of {listed(sorted(unknown))}."]
        return Table.of(made, notes if unknown else [])

    def limitations(self) -> Markdown:
        """What limits the conclusion, from the rows and from `paper.toml`."""
        return _bullets("## Limitations", self._limits())

    def _limits(self) -> Iterable[str]:
        paper, entries = self.of.paper, self.of.entries
        ours = self.methods[self.methods["ours"].notna()]
        if few := [one for one in entries if 0 < one.seeds < ledger.SEEDS]:
            yield (
                f"{len(few)} of {len(entries)} claims rest on fewer than {ledger.SEEDS} seeds, so "
                "how far two trainings differ is not known for them."
            )
        stands_in = [one.claim.id for one in entries if "in place of" in one.scale]
        if stands_in:
            yield f"Other data stand in for the paper's in {listed(stands_in)}."
        doubted = int((self.methods["doubt"] != "").sum())
        if doubted:
            yield (
                f"{doubted} of {len(self.methods)} published numbers are no target: the paper "
                "quotes them from elsewhere, or no scores can give them."
            )
        if len(ours) and (means := int((ours["comparable"] != "").sum())):
            yield f"{means} of {len(ours)} numbers of ours are of another setting or method."
        for method, why in paper.not_run.items():
            yield f"{method} is not run: {why}."
        for settings in paper.methods.values():
            if settings.get("differs"):
                yield sentence(settings["differs"])

    def cost(self) -> Table:
        """Hours spent, and estimated for the paper's full scale."""
        lines = [
            {
                ("", "method"): row.method,
                ("spent", "runs"): row.runs,
                ("spent", "CPU-hours"): f"{row.cpu_hours:.2f}",
                ("spent", "GPU-hours"): f"{row.gpu_hours:.2f}",
                ("full scale", "runs"): row.needed,
                ("full scale", "CPU-hours"): _hours(row.full_cpu_hours),
                ("full scale", "GPU-hours"): _hours(row.full_gpu_hours),
            }
            for row in self.of.cost.itertuples()
        ]
        table = Table.of(lines, [" ".join(hours.METHOD.split())])
        if lines:
            columns = pd.MultiIndex.from_tuples(table.frame.columns)
            table = Table(table.frame.set_axis(columns, axis=1), table.notes)
        return table

    def seen(self) -> Markdown:
        """What we see: the verdict, the claims, the facts, and what would decide the rest."""
        entries, counts = self.of.entries, Counter(one.outcome for one in self.of.entries)
        said = [f"Of {len(entries)} claims: {_counts(counts)}."] if entries else []
        for one in entries:
            if one.outcome != ledger.NOT_RUN:
                nothing = ", which decides nothing" * (one.outcome == ledger.TOY)
                said.append(f"`{one.claim.id}`, {one.outcome}{nothing}: {one.text}")
        if self.of.facts:
            facts = f"{self.of.facts.total()} printed facts about the data"
            said.append(f"Of {facts}: {_counts(self.of.facts)}.")
        verdict = f"**Verdict.** {self.of.sentence} {self.of.scale}"
        return _bullets(
            "## What we see", said, verdict, f"**What would decide it.** {self.of.unknown}"
        )


def in_picture(of: Conclusion) -> str:
    """What the picture of a paper's numbers shows, for those who do not see it."""
    rows = of.rows[of.rows["method"] != COUNT]
    ours = rows[rows["ours"].notna()]
    told = f": {_counts(Counter(ours['verdict']))}" if len(ours) else ""
    text = f"{of.paper.title}, published against ours, {len(ours)} of {len(rows)} numbers"
    return f"{text}{told}."


def judge(paper: str, parameters: Mapping[str, Any]) -> Verdict:
    """Open a verdict notebook: set the style of its pictures and show the verdict.

    Args:
        paper: folder of the paper.
        parameters: what the cell `parameters` set, mostly `globals()`: `profile` ("" for all),
            `results` ("" for the checkout's) and `notebooks` (likewise).

    Raises:
        ValueError: no such paper, a profile without results, or no results.
        FileNotFoundError: no such folder.
    """
    folders = [parameters[name] for name in ("results", "notebooks")]
    results = Path(folders[0]) if folders[0] else paths.results_root()
    study = read(results, Path(folders[1]) if folders[1] else None, go_on=True)
    known(paper, study.papers, "papers")
    order = [name for name in study.profiles if name not in ledger.SILENT]
    if profile := parameters["profile"]:
        known(profile, order, f"{results}: profiles")
        order = [profile]
    opened = Verdict(study, order, conclusions.conclude(study, paper, order))
    plots.style()
    display(Markdown(opened.heading))
    return opened


def _test(one: ledger.Entry) -> str:
    return " ".join(filter(None, [sentence(one.claim.reading), sentence(one.test)]))


def _scale(one: ledger.Entry) -> str:
    only = "only " * (one.outcome == ledger.TOY)
    return f"{only}{one.scale}" if one.scale else "the paper's" * bool(one.profile)


def _counts(counts: Counter) -> str:
    """Write `toy scale 5, not run 3`."""
    return ", ".join(f"{name} {n}" for name, n in counts.most_common())


def _hours(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def _bullets(title: str, said: Iterable[str], *after: str) -> Markdown:
    lines = [f"- {one}" for one in said] or ["- Nothing that the rows tell."]
    return Markdown("\n".join([title, "", *lines, *(f"\n{text}" for text in after)]))
