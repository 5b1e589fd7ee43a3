import json
from typing import Any

import pytest

from larder.contracts.errors import InvalidDataError
from larder.contracts.plan import FeaturePlan
from serving.requests import MAX_ROWS, decoder

ROW = {"shop": "north", "customer": 7, "amount": 20.0, "ordered_at": "2024-03-01T12:00:00Z"}


def _refusal(plan: FeaturePlan, body: bytes) -> str:
    with pytest.raises(InvalidDataError) as refused:
        decoder(plan)(body)
    return str(refused.value)


def _body(**changes: Any) -> bytes:
    return json.dumps({"rows": [ROW | changes]}).encode()


def test_a_row_comes_out_with_its_fields_typed(plan: FeaturePlan):
    [row] = decoder(plan)(_body(amount=20))

    assert row["amount"] == 20.0
    assert row["ordered_at"].isoformat() == "2024-03-01T12:00:00+00:00"


@pytest.mark.parametrize("name", ROW)
def test_every_field_may_be_null(plan: FeaturePlan, name: str):
    assert decoder(plan)(_body(**{name: None}))[0][name] is None


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (_body(colour="red"), "`colour`"),
        (json.dumps({"rows": [{name: ROW[name] for name in ROW if name != "amount"}]}).encode(), "`amount`"),
        (_body(customer="7"), "$.rows[0].customer"),
        (_body(customer=True), "$.rows[0].customer"),
        (_body(customer=2**63), "$.rows[0].customer"),
        (_body(customer=7.5), "$.rows[0].customer"),
        (_body(amount="nan"), "$.rows[0].amount"),
        (_body(amount=True), "$.rows[0].amount"),
        (_body(ordered_at="2024-03-01T12:00:00"), "$.rows[0].ordered_at"),
        (_body(ordered_at="noon"), "$.rows[0].ordered_at"),
        (_body(ordered_at=1709294400), "$.rows[0].ordered_at"),
        (_body(shop="x" * 1001), "$.rows[0].shop"),
        (_body(shop=["north"]), "$.rows[0].shop"),
        (_body().replace(b"20.0", b"1e999"), "$.rows[0].amount"),
        (b'{"rows": []}', "$.rows"),
        (json.dumps({"rows": [ROW] * (MAX_ROWS + 1)}).encode(), "$.rows"),
        (json.dumps({"rows": [ROW], "debug": 1}).encode(), "`debug`"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_field_named(plan: FeaturePlan, body: bytes, named: str):
    assert named in _refusal(plan, body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"rows"',
        b"{",
        b'{"rows": [',
        b"\xff\xfe\x00",
        b"\xef\xbb\xbf" + _body(),
        _body().replace(b"20.0", b"NaN"),
        _body().replace(b"20.0", b"Infinity"),
        _body().replace(b"20.0", b"0x10"),
        _body().replace(b"north", b"\xff"),
        _body().replace(b"north", rb"\ud800"),
        _body().replace(b"north", b"a\x00b"),
        b'{"rows": ' + b"[" * 200_000,
        b'{"rows": [{"shop": ' + b'{"a": ' * 200_000,
        _body().replace(b"20.0", b"9" * 300_000),
        _body() + b"{}",
    ],
    ids=lambda body: repr(body[:30]),
)
def test_what_is_no_request_is_refused_with_the_expected_form(plan: FeaturePlan, body: bytes):
    assert "shop (string)" in _refusal(plan, body)


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        (_body().replace(b'"amount"', b'"amount": 1.0, "amount"'), "amount"),
        (b'{"rows": [], ' + _body()[1:], "rows"),
    ],
)
def test_a_key_given_twice_is_refused(plan: FeaturePlan, body: bytes, twice: str):
    assert twice in _refusal(plan, body)


def test_a_refusal_does_not_send_the_callers_text_back_at_length(plan: FeaturePlan):
    assert len(_refusal(plan, _body(**{"x" * 100_000: 1}))) < 1_000
