"""Our errors as Feast's servers and clients know them."""

import json

import pytest
from feast.errors import FeastError, SavedDatasetLocationAlreadyExists

from larder.contracts.errors import (
    BusyError,
    ConfigurationError,
    DamagedRecordError,
    InvalidDataError,
    LarderError,
    MissingColumnsError,
    MissingKeyError,
    MissingTableError,
    OnlineStoreError,
    UnsupportedError,
)
from larder.feast_errors import as_feast_error, told_to_feast
from larder.offline.storage import DatasetExistsError


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (InvalidDataError("7.5"), 422),
        (MissingKeyError("no key"), 422),
        (MissingColumnsError("no column"), 422),
        (UnsupportedError("no vectors"), 501),
        (OnlineStoreError("no Redis"), 503),
        (DamagedRecordError("half a record"), 500),
        (ConfigurationError("a setting"), 500),
        (MissingTableError("no table"), 500),
        (BusyError("another process"), 500),
    ],
)
def test_a_kind_of_error_has_a_status_and_is_caught_as_before(problem: LarderError, status: int) -> None:
    with pytest.raises(type(problem), match=str(problem)) as caught, told_to_feast():
        raise problem

    assert isinstance(caught.value, FeastError)
    assert caught.value.http_status_code() == status


def test_what_an_error_says_besides_its_sentence_is_kept() -> None:
    with pytest.raises(InvalidDataError) as caught, told_to_feast():
        try:
            int("x")
        except ValueError as problem:
            raise InvalidDataError("'age' is 'x'.", field="age") from problem

    assert caught.value.field == "age"
    assert isinstance(caught.value.__cause__, ValueError)
    assert caught.value.format_message() == "'age' is 'x'."


def test_a_client_of_feast_gets_the_kind_of_error_that_a_server_named() -> None:
    detail = as_feast_error(MissingKeyError("The request lacks 'shop_id'.", field="shop_id")).to_error_detail()

    received = FeastError.from_error_detail(detail)

    assert json.loads(detail)["message"] == str(received) == "The request lacks 'shop_id'."
    assert isinstance(received, MissingKeyError)
    assert (received.format_message(), received.field) == ("The request lacks 'shop_id'.", None)


def test_errors_that_are_feasts_already_and_those_of_others_stay_what_they_are() -> None:
    theirs = DatasetExistsError("saved/may")

    with pytest.raises(SavedDatasetLocationAlreadyExists) as kept, told_to_feast():
        raise theirs
    assert kept.value is theirs
    with pytest.raises(ZeroDivisionError) as caught, told_to_feast():
        raise ZeroDivisionError
    assert not isinstance(caught.value, FeastError)
