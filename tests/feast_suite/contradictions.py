"""Tests of Feast's suite that ask for what Larder does not want to do: a pytest plugin that expects them to fail.

Each is listed with its reason in docs/offline_store.md or docs/online_store.md. Should one pass one day, the run fails,
and the list is wrong.
"""

import re

import pytest

CONTRADICTIONS = {
    r"historical_features_types_match\[TypeTestConfig\(feature_dtype='float'": (
        "the view declares Float32: training sees the 32 bits that serving returns, not the 64 that are stored"
    ),
    r"historical_features_types_match\[TypeTestConfig\(feature_dtype='int32', feature_is_list=True, has_empty_list=F": (
        "the view declares Array(Int32): its items are int32, not the int64 that are stored"
    ),
    r"non_entity_mode_preserves_multiple_timestamps": (
        "0.1 written to a Float32 feature comes back as a float32; Feast's own file store fails here as well"
    ),
    r"online_store/.*test_write_to_online_store_event_check": (
        "reads values of an hour ago from a view with a ttl of five minutes: they are withheld"
    ),
    r"integration/materialization/.*test_odfv_write_methods": (
        "computes on demand from a value that is older than its view's ttl: it is withheld"
    ),
    r"online_store/.*test_entity_ttl_online_store": (
        "sets key_ttl_seconds, by which Redis drops whole entities: values are withheld by the ttl of their view"
    ),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for pattern, reason in CONTRADICTIONS.items():
            if re.search(pattern, item.nodeid):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
