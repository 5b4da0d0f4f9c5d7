"""Asterisk dies, hangs, or is started anew under a centre at work."""

from tests.faults.stand import Stand


async def test_asterisk_killed(stand: Stand) -> None:
    await stand.asterisk.kill()
    await changed_meanwhile(stand)
    await stand.asterisk.start()
    await stand.converged()
    await back_at_work(stand)


async def test_asterisk_stopped_for_thirty_seconds(stand: Stand) -> None:
    lines = len(stand.bridge.lines())
    stand.asterisk.pause()
    await stand.pause("dua", "while it hung")
    await stand.lasts(30)
    assert stand.bridge.events("ami.lost", since=lines, link="actions")
    stand.asterisk.resume()
    await stand.until_member("support", stand.internal["dua"], paused=True, reason="while it hung")
    await stand.unpause("dua")
    await stand.healed()


async def test_asterisk_restarted_from_its_console(stand: Stand) -> None:
    lines = len(stand.bridge.lines())
    await stand.asterisk.cli("core restart now")
    await stand.bridge.logged("ami.lost", since=lines, link="actions")
    await changed_meanwhile(stand)
    await stand.bridge.logged("ami.connected", since=lines, link="actions", within=60)
    await stand.converged()
    await back_at_work(stand)


async def changed_meanwhile(stand: Stand) -> None:
    """What Asterisk does not hear of: one more on pause, one less, and one who comes."""
    await stand.pause("dua", "while it was away")
    await stand.logout("ana")
    await stand.agent("fay", "billing", penalty=3)
    await stand.login("fay")


async def back_at_work(stand: Stand) -> None:
    await stand.until_member("support", stand.internal["dua"], paused=True, reason="while it was away")
    assert await stand.member("sales", stand.internal["ana"]) is None
    await stand.login("ana")
    await stand.unpause("dua")
    await stand.phones_return()
    await stand.healed()
