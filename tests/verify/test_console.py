from io import StringIO

from rich.console import Console

from larder.verify.console import print_comparison
from larder.verify.counts import FeatureComparison, ViewComparison


def test_names_of_features_are_no_pictures_and_no_styles():
    shown = StringIO()
    features = [FeatureComparison(name, 0, 0, 1, {"missing": 1}) for name in ("x", "[bold]")]

    print_comparison(Console(file=shown, width=200), [ViewComparison("cat", 1, tuple(features))], title="?")

    assert "cat:x: 1 different (1 missing)" in shown.getvalue()
    assert "cat:[bold]: 1 different (1 missing)" in shown.getvalue()
