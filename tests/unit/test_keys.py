"""The names by which things are known."""

import pytest

from agentbridge.model import NumberRange

RANGE = NumberRange(998, 1002)


def test_a_range_is_its_numbers_in_their_order() -> None:
    numbers = ["998", "999", "1000", "1001", "1002"]
    assert list(RANGE) == numbers
    assert (len(RANGE), RANGE[1], RANGE[-1]) == (5, "999", "1002")
    assert [RANGE[start : start + 2] for start in (0, 2, 4)] == [numbers[:2], numbers[2:4], numbers[4:]]
    assert all(number in RANGE for number in numbers)
    assert not list(NumberRange(1000, 999))


@pytest.mark.parametrize("key", ["997", "1003", "0999", "desk7", "", "-999", "٩٩٩", "²", None, 999])
def test_what_is_none_of_the_numbers_is_not_in_the_range(key: object) -> None:
    assert key not in RANGE
