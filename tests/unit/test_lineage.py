"""Which database may be obeyed after which, and what of it is remembered over a restart."""

from dataclasses import replace
from pathlib import Path

import pytest

from agentbridge.directory.lineage import Mark, Memory, why_older

KNOWN = Mark(cluster="7711751197984048434", timeline=1, change=100, microseconds=5000)


def test_the_same_database_is_obeyed_whatever_came_meanwhile() -> None:
    assert why_older(KNOWN, replace(KNOWN, change=900, microseconds=9000), has_known=True, may_be_pruned=True) == ""


def test_a_promoted_standby_that_has_all_is_obeyed() -> None:
    assert why_older(KNOWN, replace(KNOWN, timeline=2), has_known=True, may_be_pruned=True) == ""


def test_a_promoted_standby_that_is_behind_is_not_obeyed_even_when_it_has_gone_on() -> None:
    found = replace(KNOWN, timeline=2, change=133, microseconds=5001)
    assert "change 100" in why_older(KNOWN, found, has_known=False, may_be_pruned=True)


def test_a_backup_that_was_restored_is_not_obeyed() -> None:
    assert "change 100" in why_older(
        KNOWN, replace(KNOWN, change=90, microseconds=4000), has_known=False, may_be_pruned=True
    )


def test_an_old_primary_that_comes_back_is_not_obeyed_even_when_nothing_is_missing() -> None:
    known = replace(KNOWN, timeline=2)
    assert "overtaken by a failover" in why_older(known, KNOWN, has_known=True, may_be_pruned=True)


def test_another_cluster_is_not_obeyed() -> None:
    found = replace(KNOWN, cluster="1", change=900, microseconds=9000)
    assert "another database" in why_older(KNOWN, found, has_known=False, may_be_pruned=True)


def test_another_cluster_that_has_all_is_obeyed_since_the_directory_was_moved_there() -> None:
    assert why_older(KNOWN, replace(KNOWN, cluster="1"), has_known=True, may_be_pruned=True) == ""


def test_a_change_that_was_pruned_long_ago_is_not_missed() -> None:
    assert why_older(KNOWN, replace(KNOWN, change=500, microseconds=7000), has_known=False, may_be_pruned=True) == ""


def test_a_backup_in_which_more_was_changed_than_it_lacks_is_not_obeyed() -> None:
    found = replace(KNOWN, change=500, microseconds=7000)
    assert "change 100" in why_older(KNOWN, found, has_known=False, may_be_pruned=False)


def test_a_directory_without_any_change_yet_may_be_followed_by_a_later_one() -> None:
    assert why_older(replace(KNOWN, change=0, microseconds=0), KNOWN, has_known=False, may_be_pruned=True) == ""


def test_the_mark_outlives_the_process(tmp_path: Path) -> None:
    Memory(tmp_path / "database", lambda: 0.0).keep(KNOWN)
    assert Memory(tmp_path / "database", lambda: 0.0).mark == KNOWN


def test_a_daemon_that_stood_by_knows_what_the_other_one_obeyed(tmp_path: Path) -> None:
    first, second = (Memory(tmp_path / "database", lambda: 0.0) for _ in range(2))
    first.keep(KNOWN)
    second.read_file()
    assert second.mark == KNOWN


def test_a_daemon_that_stood_by_knows_of_the_failover_though_nothing_was_changed_since(tmp_path: Path) -> None:
    first, second = (Memory(tmp_path / "database", lambda: 0.0) for _ in range(2))
    second.keep(KNOWN)
    first.keep(replace(KNOWN, timeline=2))
    second.read_file()
    assert second.mark == replace(KNOWN, timeline=2)


def test_a_look_at_the_file_forgets_nothing_newer(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "database", lambda: 0.0)
    memory.keep(KNOWN)
    newer = replace(KNOWN, change=101)
    memory.keep(newer)  # too soon to be written
    memory.read_file()
    assert memory.mark == newer


def test_a_busy_directory_is_written_down_once_a_second(tmp_path: Path) -> None:
    now = 0.0
    memory = Memory(tmp_path / "database", lambda: now)
    for change in range(100, 200):
        memory.keep(replace(KNOWN, change=change))
    assert Memory(tmp_path / "database", lambda: now).mark == KNOWN
    now = 1.0
    memory.keep(replace(KNOWN, change=200))
    assert Memory(tmp_path / "database", lambda: now).mark == replace(KNOWN, change=200)


@pytest.mark.parametrize("text", ["", "rubbish", "1 2 3", "1 x 3 4", "\0\0\0\0"])
def test_a_file_that_is_no_mark_is_as_good_as_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "database"
    file.write_text(text)
    assert Memory(file, lambda: 0.0).mark is None


def test_a_place_that_can_not_be_written_costs_only_the_memory_over_a_restart(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "no such folder" / "database", lambda: 0.0)
    memory.keep(KNOWN)
    assert memory.mark == KNOWN
