"""Debian's Chromium as agents and supervisors use it: pages with a tone of their own, and ears.

Run it in a network namespace of its own with one more address on the loopback device (`make test` does): with nothing
but 127.0.0.1 Asterisk has no candidate to offer to a browser.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from playwright.async_api import Browser, BrowserContext, CDPSession, Error, Page, async_playwright

from lab.processes import POLL_S

CHROMIUM = "/usr/bin/chromium"
SCREENSHOTS = Path(__file__).parents[1] / "build/screenshots"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
)
# A microphone that hums, and ears: the strength of a tone in what was heard, against all that was heard.
# __microphone.fails: the error that it answers with; __microphone.unplug(): its tracks end, as those of a headset do.
MICROPHONE = """
(() => {
  const hertz = HERTZ;
  const context = new AudioContext({ sampleRate: 48000 });
  const given = [];
  window.__microphone = {
    fails: "",
    asked: 0,
    unplug() {
      for (const { tone, tracks } of given.splice(0)) {
        tone.stop();
        for (const track of tracks) { track.stop(); track.dispatchEvent(new Event("ended")); }
      }
    },
    plug() {
      this.fails = "";
      navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
    },
  };
  navigator.mediaDevices.getUserMedia = async () => {
    window.__microphone.asked += 1;
    if (window.__microphone.fails) throw new DOMException("for the test", window.__microphone.fails);
    await context.resume();
    const out = context.createMediaStreamDestination();
    const tone = context.createOscillator();
    const gain = context.createGain();
    gain.gain.value = 0.3;
    tone.frequency.value = hertz;
    tone.connect(gain).connect(out);
    tone.start();
    given.push({ tone, tracks: out.stream.getTracks() });
    return out.stream;
  };
  // closed ones are let go, so that a test that measures memory measures the page's
  const peers = new Set();
  const Native = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Native {
    constructor(...given) { super(...given); peers.add(this); }
    close() { peers.delete(this); super.close(); }
  };
  window.__hears = async (wanted, milliseconds) => {
    await context.resume();
    const live = [...peers].filter((peer) => peer.connectionState === "connected");
    const receivers = live.flatMap((peer) => peer.getReceivers());
    const tracks = receivers.map((receiver) => receiver.track).filter((track) => track?.readyState === "live");
    if (tracks.length === 0) return 0;
    const analyser = context.createAnalyser();
    analyser.fftSize = 8192;
    // each by itself: of a stream with several tracks only the first is heard
    const sources = tracks.map((track) => context.createMediaStreamSource(new MediaStream([track])));
    for (const source of sources) source.connect(analyser);
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    for (const source of sources) source.disconnect();
    const power = samples.reduce((sum, x) => sum + x * x, 0) / samples.length;
    if (power < 1e-6) return 0;
    const w = (2 * Math.PI * wanted) / context.sampleRate;
    let re = 0, im = 0;
    samples.forEach((x, n) => { re += x * Math.cos(w * n); im -= x * Math.sin(w * n); });
    return (2 * (re * re + im * im)) / (samples.length * samples.length) / power;
  };
})();
"""
HEARD = 0.5
"""of all power: one tone and little else"""


# Playwright keeps hidden pages as quick as the others
UNTHROTTLED = (
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
)


@asynccontextmanager
async def chromium(*more: str, throttled: bool = False) -> AsyncIterator[Browser]:
    """Runs a Chromium without a window. throttled: it slows hidden pages down, as an agent's own browser does."""
    async with async_playwright() as driver:
        browser = await driver.chromium.launch(
            executable_path=CHROMIUM,
            headless=True,
            args=[*ARGUMENTS, *more],
            ignore_default_args=[*UNTHROTTLED] if throttled else None,
            chromium_sandbox=False,
        )
        try:
            yield browser
        finally:
            await browser.close()


class Seat:
    """One person's page in a browser. `tone`: what its microphone plays, in Hz. `faults`: errors that the page
    reported."""

    def __init__(self, context: BrowserContext, page: Page, origin: str, tone: int) -> None:
        self.context, self.page, self.origin, self.tone = context, page, origin, tone
        self.faults: list[str] = []
        page.on("pageerror", lambda error: self.faults.append(str(error)))
        page.on("console", lambda told: self._console(told))

    def _console(self, told: Any) -> None:
        # an answer of 4xx is the test's own business
        """Notes an error that the page wrote to its console."""
        if told.type == "error" and "Failed to load resource" not in told.text:
            self.faults.append(told.text)

    async def log_in(self, username: str, password: str) -> None:
        """Logs in by the log-in page; returns when that has led to another page."""
        await self.page.goto(f"{self.origin}/login")
        await self.page.get_by_label("Username").fill(username)
        await self.page.get_by_label("Password").fill(password)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(lambda url: "/login" not in url, timeout=20_000)

    async def hears(self, hertz: int, *, within_ms: int = 10_000, each_ms: int = 300) -> None:
        """Waits until this tone is most of what the page plays. Raises AssertionError after `within_ms`. each_ms: how
        long it listens before it looks, 200 at least."""
        end = time.monotonic() + within_ms / 1000
        while await self._share(hertz, each_ms) < HEARD:
            if time.monotonic() > end:
                raise AssertionError(f"{hertz} Hz is not heard")
            await asyncio.sleep(POLL_S)  # without a call the page knows at once

    async def hears_nothing(self, hertz: int, *, for_ms: int = 1500) -> None:
        """Checks that the tone is not played for so long. Raises AssertionError when it is."""
        end = time.monotonic() + for_ms / 1000
        while time.monotonic() < end:
            assert await self._share(hertz, 300) < HEARD, f"{hertz} Hz is heard"
            await asyncio.sleep(POLL_S)

    async def _share(self, hertz: int, each_ms: int) -> float:
        """Returns how much of what the page plays is this tone, from 0 to 1, after so long; 0 without a call."""
        return float(await self.page.evaluate(f"window.__hears({hertz}, {each_ms})"))

    async def heap(self) -> float:
        """Returns the bytes that live in the page's heap after the collector has run."""
        async with self._collected() as session:
            usage = await session.send("Runtime.getHeapUsage")
        return float(usage["usedSize"])

    async def nodes(self) -> int:
        """Returns how many nodes the browser keeps for the page, shown or not, after the collector has run."""
        async with self._collected() as session:
            counters = await session.send("Memory.getDOMCounters")
        return int(counters["nodes"])

    async def kept(self, kind: str) -> int:
        """Returns how many objects of this class of the page are kept, e.g. RTCPeerConnection, after the collector has
        run."""
        async with self._collected() as session:
            prototype = (await session.send("Runtime.evaluate", {"expression": f"{kind}.prototype"}))["result"]
            found = await session.send("Runtime.queryObjects", {"prototypeObjectId": prototype["objectId"]})
            counted = await session.send(
                "Runtime.callFunctionOn",
                {
                    "objectId": found["objects"]["objectId"],
                    "functionDeclaration": "function () { return this.length; }",
                },
            )
        return int(counted["result"]["value"])

    @asynccontextmanager
    async def _collected(self) -> AsyncIterator[CDPSession]:
        """Opens the DevTools protocol to the page, whose collector has run."""
        session = await self.context.new_cdp_session(self.page)
        for _ in range(2):
            await session.send("HeapProfiler.collectGarbage")
        yield session
        await session.detach()

    async def last_picture(self) -> None:
        """Takes a screenshot when a test has failed, as failed-N.png; does nothing where the page is gone too."""
        number = len([*SCREENSHOTS.glob("failed-*.png")]) + 1
        with suppress(Error):
            path = await self.picture(f"failed-{number}")
            print(f"the page when it failed: {path}, {self.page.url}, complaints: {self.faults}")

    async def picture(self, name: str) -> Path:
        """Takes a screenshot into build/screenshots/ and returns its path."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        path = SCREENSHOTS / f"{name}.png"
        await self.page.screenshot(path=str(path), full_page=False)
        return path


@asynccontextmanager
async def seat(
    browser: Browser,
    origin: str,
    *,
    tone: int = 700,
    dark: bool = False,
    width: int = 1280,
    height: int = 800,
    language: str = "en",
) -> AsyncIterator[Seat]:
    """Opens a page of its own in the browser, with a microphone that plays a tone."""
    context = await browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", locale=language
    )
    try:
        await context.grant_permissions(["microphone"], origin=origin)
        await context.add_init_script(MICROPHONE.replace("HERTZ", str(tone)))
        page = await context.new_page()
        page.set_default_timeout(15_000)
        one = Seat(context, page, origin, tone)
        try:
            yield one
        except Exception:
            await one.last_picture()
            raise
    finally:
        await context.close()
