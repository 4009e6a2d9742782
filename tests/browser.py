"""A headless Chromium and the programs that it needs, for tests of what a user sees."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request

# Of Debian's packages chromium, chromium-driver and util-linux.
PROGRAMS = ("chromium", "chromedriver", "setpriv")
LACKING = [name for name in PROGRAMS if not shutil.which(name)]
OPTIONS = ["--headless=new", "--window-size=1400,1000", "--no-proxy-server"]
OPTIONS += ["--no-sandbox", "--disable-dev-shm-usage"]  # for root, and for containers
OPTIONS += ["--remote-debugging-pipe"]  # ends with ChromeDriver, however that ends
OPTIONS += ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]  # no other host
# WebDriver's words for an element that is not there, not yet, or behind another one.
ABSENT = {"no such element", "stale element reference", "element not interactable"}
ABSENT |= {"element click intercepted"}
HANGS = 600  # seconds that no slow machine needs


class Absent(Exception):
    """An element that is not on the page, or not yet."""


def wait(condition, state):
    """Wait until a condition holds, and give its value; what hangs fails and says `state()`."""
    end = time.monotonic() + HANGS
    while True:
        with contextlib.suppress(Absent):
            if value := condition():
                return value
        assert time.monotonic() < end, f"after {HANGS} seconds: {state()}"
        time.sleep(0.2)


def ask(address, method="GET", body=None):
    """What an address on this machine answers, read from JSON."""
    content = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(address, content, headers, method=method)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=HANGS) as answer:
        return json.load(answer)


@contextlib.contextmanager
def program(command, log, announced, variables):
    """Run a program until the block ends; gives the match of what it announces in its log."""

    def found():
        assert process.poll() is None, f"{command} has ended: {log.read_text()}"
        return re.search(announced, log.read_text())

    with log.open("w") as printed:
        # Ends with this process, however that ends.
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "TERM", *command],
            env=os.environ | variables,
            stdout=printed,
            stderr=subprocess.STDOUT,
        )
    try:
        yield wait(found, log.read_text)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Browser:
    """Chromium, driven through the ChromeDriver on `port` by the W3C WebDriver protocol."""

    def __init__(self, port):
        self.address = f"http://127.0.0.1:{port}/session"
        options = {"args": OPTIONS, "binary": shutil.which("chromium")}
        wanted = {"capabilities": {"alwaysMatch": {"goog:chromeOptions": options}}}
        self.address += "/" + self.send("", wanted)["sessionId"]

    def send(self, command, body):
        try:
            return ask(self.address + command, "POST", body)["value"]
        except urllib.error.HTTPError as refused:
            value = json.load(refused)["value"]
            kind = Absent if value["error"] in ABSENT else AssertionError
            raise kind(f"{command}: {value['error']}: {value['message']}") from None

    def open(self, address):
        self.send("/url", {"url": address})

    def run(self, script):
        """What a script gives on the page."""
        return self.send("/execute/sync", {"script": script, "args": []})

    def click(self, xpath):
        """Click with the mouse. Raises Absent."""
        [element] = self.send("/element", {"using": "xpath", "value": xpath}).values()
        self.send(f"/element/{element}/click", {})

    def close(self):
        ask(self.address, "DELETE")
