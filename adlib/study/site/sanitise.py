"""What of a notebook's HTML may stand in the report: an allow-list, so that nothing in it acts.

Text, tables, equations and pictures that lie in the notebook itself stay. Scripts, event handlers,
style sheets, frames, forms and everything that would be fetched are left out. Of a style sheet
that pandas writes for one table, what makes no colour goes to the cells themselves: colours would
be right in the light or in the dark alone.
"""

import re
from urllib.parse import unquote

import nh3
from bs4 import BeautifulSoup, Tag


def _set(names: str) -> set[str]:
    return set(names.split())


TEXT = _set(
    "a blockquote br code dd del details div dl dt em figcaption figure h1 h2 h3 h4 h5 h6 hr i b "
    "kbd li ol p pre s small span strong sub summary sup ul"
)
TABLES = _set("caption col colgroup table tbody td tfoot th thead tr")
EQUATIONS = _set(
    "math mfrac mi mmultiscripts mn mo mover mpadded mphantom mroot mrow ms mspace msqrt mstyle "
    "msub msubsup msup mtable mtd mtext mtr munder munderover"
)
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
ATTRIBUTES = {
    "*": {"class", "title", "lang", "dir"},
    "a": {"href"},
    "div": {"role", "aria-label", "tabindex"},
    "img": {"src", "alt", "width", "height", "loading"},
    "math": {"display"},
    "mi": {"mathvariant"},
    "mo": {"fence", "form", "stretchy", "separator"},
    "mover": {"accent"},
    "mspace": {"width"},
    "ol": {"start"},
    "td": {"colspan", "rowspan", "style"},
    "th": {"colspan", "rowspan", "scope", "style"},
    **{name: {"style"} for name in ("caption", "table", "tr")},
    **{name: {"id"} for name in HEADINGS},
}
# A picture inside the notebook, or one that the site has taken out of it.
PICTURE = re.compile(
    r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]+|(\.\./)*files/[0-9a-f]{16}\.webp"
)
STYLES = _set(
    "border border-bottom border-left border-right border-top font-style font-weight opacity "
    "padding-left text-align text-decoration vertical-align white-space"
)
LONG = 28  # letters that do not stand in one line
RULE = re.compile(r"([^{}]+)\{([^{}]*)\}")
AT_RULE = re.compile(r"@[^{};]*(;|\{([^{}]*\{[^{}]*\})*[^{}]*\})")


def sanitise(fragment: str) -> str:
    """Leave of an HTML fragment what is on the list; links that lead nowhere become text."""
    clean = nh3.clean(
        _styles_inside(fragment) if "<style" in fragment else fragment,
        tags=TEXT | TABLES | EQUATIONS | {"img"},
        clean_content_tags={"script", "style", "template", "noscript", "svg", "iframe", "object"},
        attributes=ATTRIBUTES,
        attribute_filter=_kept,
        url_schemes={"http", "https", "mailto", "data"},
        filter_style_properties=STYLES,
        link_rel="noopener noreferrer",
    )
    soup = BeautifulSoup(clean, "html.parser")
    for picture in soup.select("img:not([src])"):
        picture.decompose()
    for head in soup.select("th:not([scope])"):
        head["scope"] = "row" if head.find_parent("tbody") else "col"
        if head["scope"] == "col" and int(head.get("colspan", 1)) > 1:
            head["scope"] = "colgroup"  # a spanner
    for cell in soup.select("td"):
        if len(cell.get_text()) > LONG:
            cell["class"] = "text"  # which takes more than one line
    for region in soup.select("div.scroll"):
        above = region.caption or region.find_previous(HEADINGS)
        if above:
            region["aria-label"] = above.get_text(" ", strip=True).rstrip("¶ ")
    ids = {node["id"] for node in soup.select("[id]")}
    for link in soup.select("a"):
        target = link.get("href", "")
        inside = target.startswith("#") and unquote(target[1:]) in ids
        if not inside and not re.match(r"(https?|mailto):", target):
            link.unwrap()
    return str(soup)


def _kept(tag: str, attribute: str, value: str) -> str | None:
    """A picture that lies in the fragment keeps its source; no link holds data, no style calls."""
    if (tag, attribute) == ("img", "src"):
        return value if PICTURE.fullmatch(value) else None
    if (tag, attribute) == ("a", "href") and value.strip().lower().startswith("data:"):
        return None
    if attribute == "style":  # nothing is called, url(...) least of all, also not by an escape
        return ";".join(part for part in value.split(";") if not re.search(r"[\\(@]", part))
    if attribute in ("colspan", "rowspan") and not re.fullmatch(r"\d{1,3}", value):
        return None
    return value


def _styles_inside(fragment: str) -> str:
    """Give what the style sheets of tables say to the elements that they name by an id."""
    soup = BeautifulSoup(fragment, "html.parser")
    by_id = {node["id"]: node for node in soup.select("[id]")}
    for sheet in soup.select("style"):
        for names, said in RULE.findall(AT_RULE.sub("", sheet.get_text())):
            for name in names.split(","):
                for element in _named(by_id, name.strip()):
                    element["style"] = f"{element.get('style', '')};{said.strip()}".lstrip(";")
        sheet.decompose()
    return str(soup)


def _named(by_id: dict[str, Tag], name: str) -> list[Tag]:
    """Elements of a selector that begins with an id and goes on with plain names and classes."""
    found = re.fullmatch(r"#(\w+)((?:\s+[\w.-]+)*)", name)
    if not found or found[1] not in by_id:
        return []
    element = by_id[found[1]]
    return element.select(found[2]) if found[2].strip() else [element]
