"""What of a notebook's HTML may stand in the report: an allow-list, so that nothing in it acts.

Text, tables, equations and pictures that lie in the notebook itself stay. Scripts, event handlers,
style sheets, frames, forms and everything that would be fetched are left out.
"""

import re
from urllib.parse import unquote

import nh3
from bs4 import BeautifulSoup

TEXT = {
    *(
        "a",
        "blockquote",
        "br",
        "code",
        "dd",
        "del",
        "div",
        "dl",
        "dt",
        "em",
        "h1",
        "h2",
        "h3",
        "h4",
    ),
    *("h5", "h6", "hr", "i", "b", "kbd", "li", "ol", "p", "pre", "s", "small", "span", "strong"),
    *("sub", "sup", "ul"),
}
TABLES = {"caption", "col", "colgroup", "table", "tbody", "td", "tfoot", "th", "thead", "tr"}
EQUATIONS = {
    *("math", "mfrac", "mi", "mmultiscripts", "mn", "mo", "mover", "mpadded", "mphantom", "mroot"),
    *("mrow", "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd"),
    *("mtext", "mtr", "munder", "munderover"),
}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
ATTRIBUTES = {
    "*": {"class", "title", "lang", "dir"},
    "a": {"href"},
    "div": {"role", "aria-label", "tabindex"},
    "img": {"src", "alt", "width", "height"},
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {"fence", "form", "stretchy", "separator"},
    "mover": {"accent"},
    "mspace": {"width"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", "style"},
    "th": {"colspan", "rowspan", "scope", "style"},
    "tr": {"style"},
    **{name: {"id"} for name in HEADINGS},
}
PICTURE = re.compile(r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+")


def sanitise(fragment: str) -> str:
    """Leave of an HTML fragment what is on the list; links that lead nowhere become text."""
    clean = nh3.clean(
        fragment,
        tags=TEXT | TABLES | EQUATIONS | {"img"},
        clean_content_tags={"script", "style", "template", "noscript", "svg", "iframe", "object"},
        attributes=ATTRIBUTES,
        attribute_filter=_kept,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties={"text-align"},
        link_rel="noopener noreferrer",
    )
    soup = BeautifulSoup(clean, "html.parser")
    for picture in soup.select("img:not([src])"):
        picture.decompose()
    ids = {node["id"] for node in soup.select("[id]")}
    for link in soup.select("a"):
        target = link.get("href", "")
        inside = target.startswith("#") and unquote(target[1:]) in ids
        if not inside and not re.match(r"(https?|mailto):", target):
            link.unwrap()
    return str(soup)


def _kept(tag: str, attribute: str, value: str) -> str | None:
    """A picture that lies in the fragment keeps its source; no link holds data."""
    if (tag, attribute) == ("img", "src"):
        return value if PICTURE.fullmatch(value) else None
    if (tag, attribute) == ("a", "href") and value.strip().lower().startswith("data:"):
        return None
    return value
