"""What a notebook holds may not act on the reader of the report."""

import http.server
import os
import re
import shutil
import signal
import subprocess
import threading

import pandas as pd
import pytest
from bs4 import BeautifulSoup

from adlib.study.site.sanitise import sanitise

PIXEL = (
    "data:image/png;base64,"
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
RUN = "new Image().src='URL'"  # JavaScript that fetches
PAYLOADS = [
    f"<script>{RUN}</script>",
    "<script src=URL></script>",
    f'<img src=x onerror="{RUN}">',
    "<img src=URL>",
    "<img srcset='URL 1x'>",
    "<picture><source srcset=URL><img src=x></picture>",
    f'<svg onload="{RUN}"></svg>',
    "<svg><image href=URL /></svg>",
    "<svg><use href='URL#a' /></svg>",
    f"<svg><script>{RUN}</script></svg>",
    f'<svg><animate onbegin="{RUN}" attributeName=x dur=1s /></svg>',
    "<svg><foreignObject><iframe src=URL></iframe></foreignObject></svg>",
    "<iframe src=URL></iframe>",
    f'<iframe srcdoc="<script>{RUN}</script>"></iframe>',
    "<object data=URL></object>",
    "<embed src=URL>",
    "<video src=URL autoplay></video>",
    "<video poster=URL></video>",
    "<audio src=URL autoplay></audio>",
    f'<video><source onerror="{RUN}" src=x></video>',
    "<link rel=stylesheet href=URL>",
    "<link rel=prefetch href=URL>",
    "<style>@import 'URL';</style>",
    "<style>body { background: url(URL) }</style>",
    "<div style='background-image: url(URL)'>a</div>",
    "<td style='background: url(URL)'>a</td>",
    "<meta http-equiv=refresh content='0; url=URL'>",
    "<base href=URL>",
    f'<body onload="{RUN}">',
    "<body background=URL>",
    f'<details open ontoggle="{RUN}">a</details>',
    f'<input autofocus onfocus="{RUN}">',
    f'<div tabindex=0 autofocus onfocus="{RUN}">a</div>',
    f'<marquee onstart="{RUN}">a</marquee>',
    "<form action=URL><input type=submit autofocus></form>",
    f'<a href="javascript:{RUN}">a</a>',
    f'<a href="data:text/html,<script>{RUN}</script>">a</a>',
    f'<math><mi xlink:href="javascript:{RUN}">a</mi></math>',
    f"<math><annotation-xml encoding='text/html'><script>{RUN}</script></annotation-xml></math>",
    f'<p style="animation: x" onanimationstart="{RUN}">a</p>',
    "<img src='../../../../etc/passwd'>",
    "<img src='files/../secret.webp'>",
    "<style>#T_a { background: url(URL) } #T_a td { color: red; }</style><table id=T_a></table>",
    "<style>@import 'URL'; #T_a{border:url(URL)}</style><table id=T_a></table>",
    "<td style='border: u\\72l(URL)'>a</td>",
    f"<img src=\"data:image/svg+xml,<svg onload=&quot;{RUN}&quot; xmlns='a'/>\">",
    f'<noscript><p title="</noscript><img src=x onerror={RUN}>"></noscript>',
    f'<template><img src=x onerror="{RUN}"></template>',
    f'<math><mtext><table><mglyph><style><!--</style><img title="--><img src=x onerror={RUN}>">',
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_nothing_that_acts_is_left(payload):
    """Catches an element or attribute that acts and is not taken out."""
    clean = sanitise(payload.replace("URL", "http://127.0.0.1/x"))
    assert not re.search(r"<(?!/?(p|a|details|div|td|math|mi|mtext|table)\b)[a-z]", clean), clean
    assert not re.search(r"<[^>]*\s(on\w+|src|srcset|href|background|poster|data)=", clean), clean
    assert "url(" not in clean


def test_what_a_notebook_shows_stays():
    """Catches a report without tables, equations, pictures or links."""
    kept = (
        '<h2 id="a-b">Title</h2><p><em>a</em> <code>b</code></p>'
        '<table class="dataframe"><thead><tr style="text-align:right"><th scope="row">x</th></tr>'
        '</thead><tbody><tr><td colspan="2">1</td></tr></tbody></table>'
        f'<img alt="a picture" src="{PIXEL}"/>'
        '<math display="block"><mfrac><mi>a</mi><mn>2</mn></mfrac></math>'
    )
    kept += "<details><summary>Code</summary><pre>x</pre></details>"
    kept += '<img alt="taken out" src="../files/0123456789abcdef.webp"/>'
    clean = sanitise(kept + '<a href="#a-b">there</a><a href="https://example.org">out</a>')
    for part in re.findall(r"<[a-z][^>]*>", kept):
        assert part in clean or part.replace(":right", ": right") in clean, part
    assert 'href="#a-b"' in clean and 'href="https://example.org"' in clean
    assert sanitise('<a href="#nowhere">text</a><a href="file.ipynb">b</a>') == "textb"


def test_what_a_style_sheet_says_of_a_table_goes_to_its_cells():
    """Catches a table of pandas without its alignment and spanners, or with colours of its own."""
    columns = pd.MultiIndex.from_tuples([("", "method"), ("ours", "value"), ("ours", "seeds")])
    frame = pd.DataFrame([["A", "0.5", 1], ["B", "0.6", 3]], columns=columns)
    style = frame.style.hide(axis="index").set_properties(**{"text-align": "left", "color": "red"})
    style.set_table_styles([{"selector": "th", "props": "font-weight: bold; background: #fff"}])
    page = BeautifulSoup(sanitise(style.to_html()), "html.parser")
    assert [th.get_text() for th in page.select("th[scope=colgroup]")] == ["ours"]
    assert page.select_one("th[scope=colgroup]")["colspan"] == "2"
    assert {cell["style"] for cell in page.select("td")} == {"text-align:left"}
    assert {cell["style"] for cell in page.select("th")} == {"font-weight:bold"}
    assert "{" not in page.text and not page.select("style, [id]")


def test_a_style_sheet_reaches_one_table_alone():
    """Catches rules for the dark, for the page, or for another part of it, taken over."""
    sheet = "@media (x) { #T_a { opacity: .1 } } body { opacity: .2 } .n { opacity: .3 } "
    sheet += "#T_a td:hover { opacity: .4 } #T_a td.n { opacity: 1 }"
    page = f"<style>{sheet}</style><table id='T_a'><tr><td class='n'>1</td></tr></table><p>t</p>"
    clean = BeautifulSoup(sanitise(page), "html.parser")
    assert [(node.name, node["style"]) for node in clean.select("[style]")] == [("td", "opacity:1")]


def opened(tmp_path, fragments):
    """Numbers of the fragments that fetched something when a browser opened them in one page.

    The page itself fetches `loaded` after four seconds, so a browser that runs nothing is an error.
    """
    asked, loaded = set(), threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path[1:]
            loaded.set() if name == "loaded" else asked.add(name)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_port}"
    frames = ""
    for i, fragment in enumerate(fragments):
        content = fragment.replace("URL", f"{host}/{i}")
        (tmp_path / f"{i}.html").write_text(f"<!DOCTYPE html><div>{content}</div>", "utf-8")
        frames += f'<iframe src="{i}.html"></iframe>'
    told = f"<script>setTimeout(() => new Image().src = '{host}/loaded', 4000)</script>"
    (tmp_path / "all.html").write_text(f"<!DOCTYPE html>{told}{frames}", "utf-8")
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-port=0",
    ]
    command += [f"--user-data-dir={tmp_path / 'profile'}", (tmp_path / "all.html").as_uri()]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    browser = subprocess.Popen(command, start_new_session=True, **quiet)
    try:
        assert loaded.wait(60), "the browser has not opened the page"
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
        server.shutdown()
    return {int(name) for name in asked if name.isdigit()}


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_fetches_nothing(tmp_path):
    """Catches what an allow-list misses and a browser does; as they came, most payloads fetch."""
    for name in ("raw", "clean"):
        (tmp_path / name).mkdir()
    assert len(opened(tmp_path / "raw", PAYLOADS)) > len(PAYLOADS) / 2
    assert opened(tmp_path / "clean", [sanitise(payload) for payload in PAYLOADS]) == set()
