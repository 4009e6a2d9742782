"""Notebooks as HTML fragments: code folded, pictures as files, equations as MathML, offline."""

import base64
import re
from collections.abc import Iterator
from functools import partial
from html import escape
from pathlib import Path

import nbformat
from latex2mathml.converter import convert as to_mathml
from nbconvert.filters import ansi2html
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from adlib.host.paths import without_folders
from adlib.study.site.pictures import Pictures
from adlib.study.site.sanitise import sanitise

# The first that an output has is shown; no widgets and no JavaScript, which fetch their libraries.
IMAGES = ("image/png", "image/jpeg")


def page(path: Path, pictures: Pictures, root: str) -> str:
    """An executed notebook as an HTML fragment.

    Args:
        path: of the notebook.
        pictures: takes those of its outputs.
        root: from the page to the site's folder, "" or "../" some times.
    """
    return sanitise("\n".join(_parts(_read(path), pictures, root)))


def _parts(notebook: nbformat.NotebookNode, pictures: Pictures, root: str) -> Iterator[str]:
    heading, code = "the notebook", []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            yield from _folded(code)
            heading = ([heading, *re.findall(r"^#+\s+(.+)", cell.source, re.MULTILINE)])[-1]
            yield markdown(cell.source, cell.get("attachments"))
        elif cell.cell_type == "code":
            code += [cell.source] if cell.source.strip() else []
            if cell.outputs:
                yield from _folded(code)
            for output in cell.outputs:
                yield _output(output, partial(_image, pictures, root, heading))
    yield from _folded(code)


def _folded(code: list[str]) -> Iterator[str]:
    """Code up to here as one block that opens on demand; empties the list."""
    if code:
        source = without_folders("\n\n".join(code))
        lines = source.count("\n") + 1
        code.clear()
        yield f"<details><summary>Code, {lines} line{'s' * (lines > 1)}</summary>"
        yield f"<pre><code>{escape(source)}</code></pre></details>"


def _output(output: nbformat.NotebookNode, image) -> str:
    """One output; of several forms the first of HTML, picture, Markdown, LaTeX and text."""
    if output.output_type == "stream":
        return f'<pre class="said">{ansi2html(without_folders(output.text))}</pre>'
    if output.output_type == "error":
        return f"<pre>{ansi2html(without_folders(chr(10).join(output.traceback)))}</pre>"
    for kind, content in output.get("data", {}).items():
        if kind in IMAGES:
            return image(content, output.metadata.get(kind, {}).get("alt", ""))
    data = output.get("data", {})
    if "text/html" in data:
        region = '<div class="scroll" role="region" tabindex="0" aria-label="table">'
        return f"{region}{data['text/html']}</div>"
    if "text/markdown" in data:
        return markdown(data["text/markdown"])
    if "text/latex" in data:
        return mathml(data["text/latex"].strip().strip("$"), "block")
    return f"<pre>{ansi2html(without_folders(data.get('text/plain', '')))}</pre>"


def _image(pictures: Pictures, root: str, heading: str, content: str, alt: str) -> str:
    """A picture of an output; it shows what its notebook says of it, else what stands above it."""
    try:
        one = pictures.add(base64.b64decode(content), alt or f"Picture under “{heading}”")
    except ValueError as error:
        return f"<p>{escape(str(error))}</p>"
    size = f'width="{one.width}" height="{one.height}"'
    return f'<p><img src="{root}{one.path}" alt="{escape(one.alt)}" {size} loading="lazy"></p>'


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


def markdown(source: str, attachments: dict | None = None) -> str:
    """Markdown with equations as HTML with MathML."""
    renderer = _Renderer(escape=False, attachments=attachments or {}, embed_images=False)
    return MarkdownWithMath(renderer=renderer).render(source)


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


def _read(path: Path) -> nbformat.NotebookNode:
    # without the check against the schema, which takes longer than all the rest
    return nbformat.v4.reads(path.read_text(encoding="utf-8"))
