"""What a client of TensorFlow Serving sends and gets."""

from typing import Any

import pytest

from tests.serving.conftest import Client

PREDICT = "/v1/models/returns:predict"


def post(server: Client, content: Any, *, path: str = PREDICT) -> Any:
    import json

    return server.post(json.dumps(content).encode(), path=path)


def test_rows_and_columns_are_answered_as_by_predict(server: Client, known: dict[str, Any]):
    other = known | {"amount": 90.0}
    own = server.ask(known, other).json["predictions"]

    by_row = post(server, {"instances": [known, other]})
    by_column = post(server, {"inputs": {name: [known[name], other[name]] for name in known}})

    assert (by_row.status, by_row.json) == (200, {"predictions": own})
    outputs = by_column.json["outputs"]
    assert outputs["return_probability"] == [row["return_probability"] for row in own]
    assert set(outputs) == set(own[0])


def test_the_version_that_answers_may_be_named_and_no_other(server: Client, known: dict[str, Any]):
    body = {"signature_name": "serving_default", "instances": [known]}

    assert post(server, body, path="/v1/models/returns/versions/1:predict").status == 200
    assert (
        post(server, body, path="/v1/models/returns/versions/7:predict").json["error"].startswith("Version 7 does not")
    )
    assert post(server, body, path="/v1/models/sales:predict").status == 404


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"instances": [{"shop": "north"}]}, "customer"),
        ({"instances": {"shop": "north"}}, "`instances` is no list of objects"),
        ({"instances": [7]}, "`instances` is no list of objects"),
        ({"instances": []}, "length >= 1"),
        ({"inputs": {"shop": ["north"], "customer": [1, 2]}}, "columns of different lengths"),
        ({"inputs": [1]}, "`inputs` is no object of lists"),
        ({"rows": []}, "The request has ['rows']"),
        ({"instances": [], "inputs": {}}, "The request has ['inputs', 'instances']"),
        ({"instances": [], "signature_name": "other"}, "no signature 'other'"),
        ([], "cannot be used"),
    ],
)
def test_what_cannot_be_used_is_400_with_the_reason(server: Client, body: Any, said: str):
    found = post(server, body)

    assert found.status == 400 and said in found.json["error"]


def test_status_and_metadata_name_the_champion_and_its_fields(server: Client):
    [state] = server.get("/v1/models/returns").json["model_version_status"]
    metadata = server.get("/v1/models/returns/metadata").json

    assert (state["version"], state["state"]) == ("1", "AVAILABLE")
    inputs = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    assert {name: item["dtype"] for name, item in inputs.items()} == {
        "shop": "DT_STRING", "customer": "DT_INT64", "amount": "DT_DOUBLE", "ordered_at": "DT_STRING",
    }  # fmt: skip


def test_another_method_is_named_with_the_one_there_is(server: Client):
    found = server.post(b"{}", path="/v1/models/returns:classify")

    assert found.status == 404
    assert found.json["error"] == "There is no method 'classify' here; a model answers to `:predict`."
