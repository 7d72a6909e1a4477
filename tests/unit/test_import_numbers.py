"""Numbers and prices mean what people wrote, in every way of writing them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmrec.catalog.importers.numbers import Price, decimal_sign, is_ambiguous, parse_number, parse_price

SIGNS = {"$": "USD", "€": "EUR", "£": "GBP", "Rs. ": "INR", "₹": "INR", "US$ ": "USD", "CHF ": "CHF", "": ""}
STYLES = [(",", "."), (".", ","), (" ", ","), ("'", "."), ("\u202f", ","), ("", "."), ("", ",")]
"""(between groups of digits, before decimals)."""

cents = st.integers(min_value=0, max_value=10**12)
styles = st.sampled_from(STYLES)


def written(value: int, group: str, decimal: str, *, num_decimals: int = 2) -> str:
    whole, rest = divmod(value, 10**num_decimals)
    return f"{whole:,}".replace(",", group) + (f"{decimal}{rest:0{num_decimals}d}" if num_decimals else "")


@given(cents, styles, st.sampled_from(sorted(SIGNS)), st.booleans())
@settings(max_examples=300)
def test_a_price_reads_back_in_every_style_with_the_sign_on_either_side(
    value: int, style: tuple[str, str], sign: str, before: bool
) -> None:
    number = written(value, *style)
    text = f"{sign}{number}" if before or sign.endswith((". ", "$ ")) else f"{number} {sign}".strip()
    assert parse_price(text) == Price(pytest.approx(value / 100), SIGNS[sign])


@given(st.integers(min_value=-(10**9), max_value=10**9), styles, st.sampled_from((0, 1, 2, 3, 4)))
@settings(max_examples=300)
def test_a_number_reads_back_where_its_decimal_sign_is_known(
    value: int, style: tuple[str, str], num_decimals: int
) -> None:
    text = ("-" if value < 0 else "") + written(abs(value), *style, num_decimals=num_decimals)
    assert parse_number(text, decimal=style[1]) == pytest.approx(value / 10**num_decimals)


@given(st.lists(cents, min_size=1, max_size=20), styles)
def test_the_decimal_sign_of_a_column_is_found_wherever_it_has_two_decimals(
    values: list[int], style: tuple[str, str]
) -> None:
    assert decimal_sign(written(value, *style) for value in values) == style[1]


@given(st.floats(min_value=0, max_value=1e12, allow_nan=False))
def test_what_python_writes_is_read_as_the_same_number(value: float) -> None:
    assert parse_number(repr(value)) == value


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *[("1.299,00", 1299.0), ("1,299.00", 1299.0), ("12,5", 12.5), ("1 299", 1299.0), ("1,29,999.50", 129_999.5)],
        *[("1.299.000", 1_299_000.0), ("1,299", 1299.0), ("1.299", 1.299), ("0,125", 0.125), ("12,-", 12.0)],
        *[("-5", -5.0), ("\u22125", -5.0), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1'299.95", 1299.95)],
        *[("", None), ("abc", None), ("1,2,3", None), ("1.2,3.4", None), ("12 EUR", None), ("--5", None), (",", None)],
    ],
)
def test_numbers_by_example(text: str, number: float | None) -> None:
    assert parse_number(text) == number


@pytest.mark.parametrize(
    ("text", "price"),
    [
        *[("$12.99", Price(12.99, "USD")), ("€ 12", Price(12.0, "EUR")), ("12 EUR", Price(12.0, "EUR"))],
        *[("Rs. 399", Price(399.0, "INR")), ("Rs.1,299", Price(1299.0, "INR")), ("1.299,00 €", Price(1299.0, "EUR"))],
        *[("US$5", Price(5.0, "USD")), ("EUR 12,50", Price(12.5, "EUR")), ("399", Price(399.0, ""))],
        ("$12.99 - $20.00", Price(12.99, "USD", is_range=True)),
        ("10,00 – 12,00 €", Price(10.0, "EUR", is_range=True)),
        *[("call us", None), ("", None), ("$", None), ("12 widgets", None), ("$12 EUR", None), ("20 - 10", None)],
        (".a-section { margin: 0 }", None),
    ],
)
def test_prices_by_example(text: str, price: Price | None) -> None:
    assert parse_price(text) == price


def test_one_separator_before_three_digits_is_ambiguous_until_the_column_says_more() -> None:
    assert [is_ambiguous(text) for text in ("1,299", "1.299", "12,99", "1.299,00", "0.125", "12999")] == [
        *(True, True, False, False, False, False)
    ]
    assert parse_number("1.299", decimal=decimal_sign(["12,50", "1.299"])) == 1299.0
    assert parse_number("1,299", decimal=decimal_sign(["12,5", "1,299"])) == 1.299
    assert decimal_sign(["12,5", "12.5"]) == ""  # a column that contradicts itself decides nothing
    assert decimal_sign(["1.299.000"]) == ","
