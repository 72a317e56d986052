"""A headless Chromium that tests steer by its own protocol over a pipe: pages, real keys and clicks, screenshots."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
KEYS = {"Enter": 13, "Escape": 27, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}
KEYS |= {"End": 35, "Home": 36} | {letter: ord(letter.upper()) for letter in "arujk"}


class Browser:
    """Commands go to file descriptor 3, answers come from 4, each a JSON text that a zero byte ends."""

    def __init__(self, profile: Path) -> None:
        command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        pipes = 'exec "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1'
        self._process = subprocess.Popen(
            ["sh", "-c", pipes, "sh", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._heard, self._kept = b"", []
        self._number = 0
        self._session: str | None = None
        target = self("Target.createTarget", url="about:blank")["targetId"]
        self._session = self("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self("Page.enable")

    def __call__(self, method: str, **params: Any) -> dict:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        answer = self._next(lambda heard: heard.get("id") == self._number)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self, wanted: Any) -> dict:
        """The first message that is wanted, of those heard earlier too; the others are kept."""
        for index, message in enumerate(self._kept):
            if wanted(message):
                return self._kept.pop(index)
        while not wanted(message := self._read()):
            self._kept.append(message)
        return message

    def _read(self) -> dict:
        while b"\0" not in self._heard:
            more = self._process.stdout.read1(1 << 20)
            assert more, f"{CHROMIUM} ended with {self._process.wait()}"
            self._heard += more
        text, _, self._heard = self._heard.partition(b"\0")
        return json.loads(text)

    def open(self, page: Path, width: int, height: int = 900, scheme: str = "light") -> None:
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        self("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        self._kept.clear()
        self("Page.navigate", url=page.as_uri())
        self._next(lambda heard: heard.get("method") == "Page.loadEventFired")

    def run(self, expression: str) -> Any:
        answer = self("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def comes_true(self, expression: str) -> bool:
        """Whether it does within ten seconds: what answers an event runs after it."""
        look = f"const look = () => ({expression}) ? done(true) : requestAnimationFrame(look)"
        promise = f"new Promise(done => {{ {look}; setTimeout(() => done(false), 10000); look(); }})"
        return self("Runtime.evaluate", expression=promise, awaitPromise=True, returnByValue=True)["result"]["value"]

    def press(self, key: str) -> None:
        text = {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
        self("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        box = self.run(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({element(selector)}.getBoundingClientRect())")
        for kind in ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def saved_by(self, selector: str, folder: Path) -> Path:
        """The file that a click downloads into an empty folder."""
        folder.mkdir()
        self("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.click(selector)
        until = time.monotonic() + 20
        while not (files := [path for path in folder.iterdir() if path.suffix != ".crdownload"]):
            assert time.monotonic() < until, "nothing was downloaded within 20 seconds"
            time.sleep(0.05)
        return files[0]

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self("Page.captureScreenshot", format="png")["data"]))
        return path

    def close(self) -> None:
        with self._process:  # closes the pipes and waits
            self("Browser.close")


def element(selector: str) -> str:
    return f"document.querySelector({json.dumps(selector)})"
