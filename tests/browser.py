"""A headless Chromium, over the pipe of its debugging protocol."""

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LIMIT_SECONDS = 30  # of an answer
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")


class Browser:
    """One page at a time: `open` a URL, then ask."""

    def __init__(self, write, read):
        self._write, self._read, self._buffer, self._count = write, read, b"", 0
        self.console, self.urls = [], []
        self._session, self._loaded = None, False
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._ask(f"{domain}.enable")

    def open(self, url, width=1280, height=900):
        """Loads a page; `console` and `urls` are its messages and requests from now on."""
        self.console, self.urls, self._loaded = [], [], False
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self._ask("Page.navigate", url=url)
        self.wait_for(lambda: self._loaded)

    def evaluate(self, expression):
        """The value of a JavaScript expression."""
        found = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return found["result"].get("value")

    def wait_for(self, condition):
        """Until a function is true, or a JavaScript expression."""
        end = time.monotonic() + LIMIT_SECONDS
        while not (condition() if callable(condition) else self.evaluate(condition)):
            assert time.monotonic() < end, condition
            self._receive(0.1)

    def picture(self, path):
        """Writes a PNG file of what is seen."""
        data = self._ask("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def _ask(self, method, **params):
        self._count += 1
        message = {"id": self._count, "method": method, "params": params}
        message |= {"sessionId": self._session} if self._session else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < end:
            for answer in self._receive(1):
                if answer.get("id") == self._count:
                    assert "error" not in answer, (method, answer["error"])
                    return answer["result"]
        raise AssertionError(f"no answer to {method}")

    def _receive(self, seconds):
        """What has come; events are noted."""
        if select.select([self._read], [], [], seconds)[0]:
            self._buffer += os.read(self._read, 1 << 20)
        *parts, self._buffer = self._buffer.split(b"\0")
        messages = [json.loads(part) for part in parts]
        for message in messages:
            params = message.get("params", {})
            match message.get("method"):
                case "Page.loadEventFired":
                    self._loaded = True
                case "Network.requestWillBeSent":
                    self.urls.append(params["request"]["url"])
                case "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" | "Log.entryAdded":
                    self.console.append(params)
        return messages


@contextlib.contextmanager
def browsing():
    """Yields a Browser."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The protocol's ends are descriptors 3 and 4.
        line = ["bash", "-c", f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}', "_", CHROMIUM, *FLAGS]
        process = subprocess.Popen(
            [*line, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
            pass_fds=[theirs_in, theirs_out],
            stderr=subprocess.DEVNULL,
        )
        try:
            yield Browser(ours_out, ours_in)
        finally:
            process.kill()
            process.wait()
            for end in (theirs_in, ours_out, ours_in, theirs_out):
                os.close(end)
