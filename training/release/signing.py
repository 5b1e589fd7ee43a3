"""A frozen bundle is signed by hand: one from before there was a key, or after a change of keys."""

from datetime import datetime

from larder.contracts.bundle import sign_bundle
from larder.contracts.errors import ConfigurationError
from larder.contracts.settings import Settings
from larder.ledger import Act, Entry, Ledger
from training.release.settle import bundle_record


def sign(settings: Settings, model: str, version: str, *, ledger: Ledger, now: datetime, reason: str) -> Entry:
    """The entry that says so.

    Raises ConfigurationError without a key, MissingTableError without a bundle, InvalidDataError for a damaged one.
    """
    if settings.signing_key is None:
        raise ConfigurationError(
            "There is no key to sign with. Set LARDER_SIGNING_KEY to the PEM file of an Ed25519 private key; "
            "docs/governance.md shows how to make one."
        )
    ledger.require_writable()
    manifest = sign_bundle(settings.bundles / model / version, settings.signing_key)
    return ledger.append(Act.SIGNATURE, f"{model}/{version}", at=now, reason=reason, inputs=bundle_record(manifest))
