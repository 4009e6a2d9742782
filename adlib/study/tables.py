"""Tables as a reader sees them: how numbers are written, and tables with spanners and footnotes.

Notebooks show them in JupyterLab, and the site takes them from there; both bring their own colours.
"""

import hashlib
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

NUMERIC = r"[-−+]?[\d.,]+(( to | × )[-−+]?[\d.,]+)?"


@dataclass(frozen=True)
class Table:
    """A table with its footnotes; columns that are pairs stand under spanners."""

    frame: pd.DataFrame
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, lines: Iterable[dict], notes: Iterable[str] = ()) -> "Table":
        """One line a dictionary; of notes that are equal or empty each is kept once."""
        return cls(pd.DataFrame(list(lines)), list(dict.fromkeys(filter(None, notes))))

    @classmethod
    def wide(cls, rows: pd.DataFrame, metrics: Iterable[str], notes: Iterable[str] = ()) -> "Table":
        """One line a method, one column a metric, both in the order that they come in.

        Args:
            rows: `method`, `metric`, `value`, each pair once; other metrics are left out.
            metrics: of the columns.
            notes: see `of`.
        """
        values = rows.set_index(["method", "metric"])["value"]
        shown = [metric for metric in metrics if (rows["metric"] == metric).any()]
        lines = [
            {"method": method}
            | {in_words(metric): number(values.get((method, metric), np.nan)) for metric in shown}
            for method in dict.fromkeys(rows["method"])
        ]
        return cls.of(lines, notes)

    @property
    def styler(self) -> Styler:
        """Texts to the left, numbers to the right, and no colours; equal tables give equal HTML."""
        name = hashlib.sha256(repr(self).encode()).hexdigest()[:8]
        style = Styler(self.frame, uuid=name, cell_ids=False, escape="html", precision=3)
        style = style.hide(axis="index").format_index(escape="html", axis="columns")
        texts = [i for i, name in enumerate(self.frame) if not _numeric(self.frame[name])]
        left = ["th", *(f"td.col{i}" for i in texts)]
        return style.set_table_styles(
            [{"selector": one, "props": "text-align: left"} for one in left]
        )

    def _repr_html_(self) -> str:
        notes = "".join(f"<p><small>{escape(note)}</small></p>" for note in self.notes)
        return self.styler.to_html() + notes

    def __repr__(self) -> str:
        return "\n".join([self.frame.to_string(index=False), *self.notes])


def _numeric(column: pd.Series) -> bool:
    texts = [str(value) for value in column if value not in ("", "–")]
    return bool(texts) and all(re.fullmatch(NUMERIC, text) for text in texts)


def number(value: float) -> str:
    """Three decimals, or none for a whole number above 1; a true minus sign."""
    if pd.isna(value):
        return "–"
    text = f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"
    return text.replace("-", "−")


def signed(value: float, printed: str) -> str:
    """A difference with its sign: whole where the published value is, else three decimals."""
    if pd.isna(value):
        return ""
    if value == 0:
        return "0"
    whole = "." not in printed and float(value).is_integer()
    return (f"{value:+.0f}" if whole else f"{value:+.3f}").replace("-", "−")


def points(value: float, low: float = math.nan, high: float = math.nan) -> str:
    """Points of 100 with their sign and one decimal, and in brackets their interval if known."""
    one = f"{value:+.1f}"
    text = one if math.isnan(low) else f"{one} ({low:+.1f} to {high:+.1f})"
    return text.replace("-0.0", "+0.0").replace("-", "−")


def interval(low: float, high: float) -> str:
    """Write `0.612 to 0.740`, or nothing where no interval is known."""
    return "" if pd.isna(low) else f"{low:.3f} to {high:.3f}".replace("-", "−")


def below_chance(metric: str, value: float) -> bool:
    """Whether a metric whose chance level is 0.5 lies below it."""
    return halves(metric) and bool(value < 0.5)


def halves(metric: str) -> bool:
    """Whether a metric gives 0.5 to scores that know nothing."""
    return metric.endswith("auroc") or "balanced_accuracy" in metric


def in_words(metric: str) -> str:
    """Write `max_balanced_accuracy` without underscores, and short names as the field does."""
    short = {"auroc": "auROC", "aupro": "AUPRO", "aupimo": "AUPIMO", "zfn": "ZFN", "f1": "F1"}
    for plain, written in short.items():
        metric = metric.replace(plain, written)
    metric = re.sub(r"(?<!_per)_(s|ms|mb|j|points)(?=_|$)", _unit, metric)
    return metric.replace("_", " ")


def _unit(found: re.Match) -> str:
    """A unit at a name's end or before more words, in brackets."""
    return f" ({found[1].upper() if found[1] in ('mb', 'j') else found[1]})"


def sentence(text: str) -> str:
    """A note with a capital and a full stop; a first word that is no plain word stays as it is."""
    first = text.partition(" ")[0].rstrip(",;:.")
    if first.isalpha() and first.islower():
        text = text[0].upper() + text[1:]
    return text and text.rstrip(".") + "."


def listed(names: Iterable[str], nothing: str = "") -> str:
    """Write `a, b and c`."""
    *before, last = list(names) or [nothing]
    return f"{', '.join(before)} and {last}" if before else last


def counted(n: int, what: str) -> str:
    """Write `1 value`, `2 values`."""
    return f"{n:,} {what}{'s' * (n != 1)}"
