"""Champions whose features the definitions no longer give: a model reads the fields with which it was trained."""

from feast import FeatureStore
from feast.errors import FeatureViewNotFoundException

from larder.contracts.bundle import bundle_plan, champion_bundle, champions, read_files, read_manifest
from larder.contracts.errors import LarderError
from larder.contracts.plan import ViewPlan
from larder.contracts.settings import Settings
from larder.online.planning import stored_plan


def starved_champions(store: FeatureStore, settings: Settings) -> list[str]:
    """A sentence for each champion that cannot read its views as they are now registered."""
    return [
        f"{model} version {version} answers from {' and '.join(lost)}. Without it the server refuses requests or calls "
        "these values missing: run `larder train` and `larder promote` now, or bring back what was there. Next time "
        "declare what changes under a new name, beside the old view, until the next version is promoted."
        for model, version in champions(settings.bundles)
        if (lost := _lost_views(store, settings, model))
    ]


def _lost_views(store: FeatureStore, settings: Settings, model: str) -> list[str]:
    bundle = champion_bundle(settings.bundles, model)
    try:
        plan = bundle_plan(read_files(bundle, read_manifest(bundle, trusted_keys=settings.trusted_keys)))
    except LarderError:  # the server, and the next promotion, say what is wrong with it
        return []
    lost = {view.name: _loss(store, view) for view in plan.views if plan.project == store.project}
    return [f"view {name!r}, {loss}" for name, loss in lost.items() if loss]


def _loss(store: FeatureStore, view: ViewPlan) -> str:
    """What became of a view as a champion reads it; empty while it is as it was."""
    name = view.name.partition("@")[0]
    try:
        now = stored_plan(store.registry.get_any_feature_view(name, store.project), store.config)
    except FeatureViewNotFoundException:
        return "which is no longer defined"
    if now.name != view.name or now.fingerprint == view.fingerprint:  # each version has records of its own
        return ""
    fields = sorted(set(now.join_keys + now.features) ^ set(view.join_keys + view.features), key=lambda item: item.name)
    return f"whose fields {', '.join(dict.fromkeys(field.name for field in fields))} changed"
