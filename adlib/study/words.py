"""How numbers, metrics and notes are written, in sentences and tables alike."""

import re

import pandas as pd


def number(value: float) -> str:
    """Three decimals, or none for a whole number above 1; a true minus sign."""
    if pd.isna(value):
        return "–"
    text = f"{value:.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.3f}"
    return text.replace("-", "−")


def signed(value: float, printed: str) -> str:
    """A difference with its sign: whole where the published value is, else three decimals."""
    if pd.isna(value):
        return ""
    if value == 0:
        return "0"
    whole = "." not in printed and float(value).is_integer()
    return (f"{value:+.0f}" if whole else f"{value:+.3f}").replace("-", "−")


def interval(low: float, high: float) -> str:
    """Write `0.612 to 0.740`, or nothing where no interval is known."""
    return "" if pd.isna(low) else f"{low:.3f} to {high:.3f}".replace("-", "−")


def below_chance(metric: str, value: float) -> bool:
    """Whether a metric whose chance level is 0.5 lies below it."""
    halves = metric.endswith("auroc") or "balanced_accuracy" in metric
    return halves and bool(value < 0.5)


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
