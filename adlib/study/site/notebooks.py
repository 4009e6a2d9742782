"""Notebooks as HTML fragments: code hidden, pictures embedded, equations as MathML, offline."""

import re
from functools import lru_cache
from html import escape
from pathlib import Path

import nbformat
from jinja2 import pass_context
from latex2mathml.converter import convert as to_mathml
from nbconvert.exporters import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from traitlets.config import Config

from adlib.study.site.sanitise import sanitise

TEMPLATES = Path(__file__).with_name("templates")
# no widgets, JavaScript or Mermaid: they fetch their libraries from other hosts
SHOWN = [
    *("text/html", "image/svg+xml", "image/png", "image/jpeg"),
    *("text/markdown", "text/latex", "text/plain"),
]


def page(path: Path) -> str:
    """An executed notebook as an HTML fragment."""
    exporter = _exporter()
    fragment, _ = exporter.from_notebook_node(
        _read(path),
        resources={"metadata": {"path": str(path.parent), "name": path.stem}},
    )
    return sanitise(fragment)


def lead(path: Path | None) -> tuple[str, str]:
    """Title and lead text (HTML) from a notebook's first markdown cell.

    Returns:
        The text of its ``# heading`` and the rest as HTML; two empty strings without one.
    """
    if path is None:
        return "", ""
    first = next((cell.source for cell in _read(path).cells if cell.cell_type == "markdown"), "")
    found = re.match(r"\s*#\s+(.+)", first)
    if not found:
        return "", sanitise(markdown(first))
    return found[1].strip(), sanitise(markdown(first[found.end() :]))


def markdown(source: str) -> str:
    """Markdown with equations as HTML with MathML."""
    return MarkdownWithMath(renderer=_Renderer(escape=False)).render(source)


def mathml(tex: str, display: str = "inline") -> str:
    """One equation as MathML; what the converter does not know stays TeX, in view."""
    # MathML brackets grow by themselves; a raised \big) would shrink
    tex = re.sub(r"\\[bB]igg?[lr]?(?=[^A-Za-z])", "", tex)
    try:
        made = to_mathml(tex.strip(), display=display)
    except Exception:  # its errors have no common ancestor
        made = f"<code>{escape(tex.strip())}</code>"
    return f'<span class="math">{made}</span>' if display == "block" else made


class _Renderer(IPythonRenderer):
    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def inline_math(self, body: str) -> str:
        return mathml(body)

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(rf"\begin{{{name}}}{body}\end{{{name}}}", "block")


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context, source):
        renderer = _Renderer(
            escape=False,
            attachments=context.get("cell", {}).get("attachments", {}),
            embed_images=True,
            path=context["resources"]["metadata"]["path"],
        )
        return MarkdownWithMath(renderer=renderer).render(source)

    def default_filters(self):
        yield from super().default_filters()
        yield "tex2html", lambda tex: mathml(tex.strip().strip("$"), "block")


@lru_cache(maxsize=1)
def _exporter() -> HTMLExporter:
    settings = Config()
    settings.NbConvertBase.display_data_priority = SHOWN
    settings.TemplateExporter.exclude_input = True
    settings.TemplateExporter.exclude_input_prompt = True
    settings.TemplateExporter.exclude_output_prompt = True
    settings.HTMLExporter.embed_images = True
    return _Exporter(
        config=settings,
        template_name="notebook",
        extra_template_basedirs=[str(TEMPLATES)],
    )


def _read(path: Path) -> nbformat.NotebookNode:
    # without the check against the schema, which takes longer than all the rest
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))
