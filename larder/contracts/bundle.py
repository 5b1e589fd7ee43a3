"""The serving bundle: a champion frozen with everything that answers need, protected by hashes.

    <bundles>/<model>/<version>/manifest.json   hashes of the other files, runtime, columns, bounds
    <bundles>/<model>/<version>/plan.json       the feature plan
    <bundles>/<model>/<version>/model.onnx      or model.joblib where ONNX does not reproduce the model
    <bundles>/<model>/<version>/baseline.json   what was usual in training, for monitors; older bundles lack it
    <bundles>/<model>/<version>/manifest.sig    who froze it: the manifest's signature; only with a signing key
    <bundles>/<model>/champion                  the version that serves; replaced atomically
    <bundles>/<model>/shadow                    the version that answers beside it, unseen by callers; may be absent

A version's folder is written once and never changed, but for the signature.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from larder.contracts.errors import InvalidDataError, MissingTableError
from larder.contracts.monitoring import Baseline, decoded_baseline, encoded_baseline
from larder.contracts.objective import CLASSIFICATION
from larder.contracts.plan import FeaturePlan, decoded, encoded
from larder.contracts.signature import is_signed, signature
from larder.whole_file import write_durably, write_synced

MANIFEST, PLAN, BASELINE, SIGNATURE = "manifest.json", "plan.json", "baseline.json", "manifest.sig"
CHAMPION, SHADOW = "champion", "shadow"
_PARTIAL = ".partial-"
MODEL_FILES = {"onnx": "model.onnx", "sklearn": "model.joblib"}


class Bounds(msgspec.Struct, frozen=True):
    """Range of a numeric model input in training; an answer outside it deserves humility."""

    low: float
    high: float


class Manifest(msgspec.Struct, frozen=True):
    model: str
    version: str
    run_id: str
    """MLflow run that trained the model."""
    label: str
    """What the prediction speaks of: the label column of training."""
    runtime: str
    """`onnx`, or `sklearn` where the ONNX graph does not reproduce the model within 1e-5."""
    numbers: tuple[str, ...]
    """Columns of the float32 input `numbers`, in order."""
    strings: tuple[str, ...]
    """Columns of the string input `strings`, in order; may be empty."""
    bounds: dict[str, Bounds]
    threshold: float | None
    """Probability from which acting is cheaper than not acting, by the cost matrix; None where a number is answered."""
    parity: float
    """Largest difference between the served runtime and scikit-learn over real rows."""
    created_at: str
    task: str = CLASSIFICATION
    """`classification` or `regression`."""
    costs: dict[str, float] = {}
    """Of the KPI by which the model was judged, and from which the threshold follows; empty in bundles from before they
    were kept."""
    hashes: dict[str, str] = {}
    """File name -> SHA-256, of every other file in the bundle."""


def write_bundle(
    folder: Path,
    manifest: Manifest,
    plan: FeaturePlan,
    model: bytes,
    baseline: Baseline | None = None,
    *,
    signing_key: Path | None = None,
) -> Path:
    """Write `<folder>/<model>/<version>` whole or not at all and return its path; one caller per model at a time.

    With the file of a private key it is signed; one that was there before stays as it is. Raises InvalidDataError
    when that version exists with other content, ConfigurationError when the file holds no key.
    """
    files = {PLAN: encoded(plan), MODEL_FILES[manifest.runtime]: model}
    if baseline is not None:
        files[BASELINE] = encoded_baseline(baseline)
    manifest = msgspec.structs.replace(manifest, hashes={name: _sha256(data) for name, data in files.items()})
    target = folder / manifest.model / manifest.version
    if target.exists():
        if read_manifest(target).hashes == manifest.hashes:
            return target
        raise InvalidDataError(
            f"{target} already holds another bundle of this version; a bundle is never overwritten. "
            "Train a new version."
        )
    described = msgspec.json.format(msgspec.json.encode(manifest), indent=1)
    written = files | {MANIFEST: described}
    if signing_key is not None:
        written[SIGNATURE] = signature(described, signing_key)
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob(f"{_PARTIAL}*"):  # by a promotion that was killed
        shutil.rmtree(left, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=_PARTIAL, dir=target.parent))
    try:
        for name, data in written.items():
            write_synced(partial / name, data)
        os.replace(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def sign_bundle(bundle: Path, signing_key: Path) -> Manifest:
    """Sign a bundle that is there, whoever signed it before; its manifest.

    Raises MissingTableError when there is none, InvalidDataError when a file of it does not have its hash.
    """
    manifest = read_manifest(bundle)
    read_files(bundle, manifest)
    write_durably(bundle / SIGNATURE, signature((bundle / MANIFEST).read_bytes(), signing_key))
    return manifest


def set_champion(folder: Path, model: str, version: str) -> None:
    """Point serving at `version`, in one atomic step."""
    write_durably(folder / model / CHAMPION, version.encode())


def set_shadow(folder: Path, model: str, version: str | None) -> None:
    """Let `version` answer beside the champion, or nothing, in one atomic step."""
    if version is None:
        (folder / model / SHADOW).unlink(missing_ok=True)
    else:
        write_durably(folder / model / SHADOW, version.encode())


def champions(folder: Path) -> list[tuple[str, str]]:
    """(model, version) of every promoted model, by model."""
    return [(path.parent.name, path.read_text().strip()) for path in sorted(folder.glob(f"*/{CHAMPION}"))]


def champion_version(folder: Path, model: str) -> str | None:
    """The version that serves; None when nothing was promoted."""
    return _pointed(folder / model / CHAMPION)


def shadow_version(folder: Path, model: str) -> str | None:
    """The version that answers beside the champion; None when there is none."""
    return _pointed(folder / model / SHADOW)


def champion_bundle(folder: Path, model: str) -> Path:
    """Folder of the version that serves. Raises MissingTableError when nothing was promoted."""
    pointer = folder / model / CHAMPION
    if not pointer.is_file():
        raise MissingTableError(
            f"No champion of {model!r} under {folder}. Run `larder train` and `larder promote` first."
        )
    return folder / model / pointer.read_text().strip()


def read_manifest(bundle: Path, *, trusted_keys: Path | None = None) -> Manifest:
    """With the file of public keys it is decoded only if one of them signed it: by its hashes, all of the bundle is.

    Raises MissingTableError, or InvalidDataError for a manifest that is damaged or not signed by these keys.
    """
    path = bundle / MANIFEST
    if not path.is_file():
        raise MissingTableError(f"{bundle} holds no {MANIFEST}; it is no bundle. Run `larder promote` to write one.")
    data = path.read_bytes()
    if trusted_keys is not None:
        _require_signature(path, data, trusted_keys)
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as problem:
        raise InvalidDataError(f"{path} is damaged: {problem}. Promote the model again.") from problem


def read_files(bundle: Path, manifest: Manifest) -> Mapping[str, bytes]:
    """All files of the bundle, each checked against its hash before anybody decodes it."""
    expected = {PLAN, MODEL_FILES.get(manifest.runtime, "")}
    if set(manifest.hashes) - {BASELINE} != expected:
        raise InvalidDataError(
            f"{bundle / MANIFEST} names {sorted(manifest.hashes)} where {sorted(expected)} belong. "
            "Promote the model again."
        )
    files = {}
    for name, digest in manifest.hashes.items():
        path = bundle / name
        data = path.read_bytes() if path.is_file() else b""
        if _sha256(data) != digest:
            raise InvalidDataError(
                f"{path} does not have the hash that its manifest names; refused. Promote the model again."
            )
        files[name] = data
    return files


def bundle_plan(files: Mapping[str, bytes]) -> FeaturePlan:
    return decoded(files[PLAN])


def bundle_baseline(bundle: Path) -> Baseline | None:
    """What was usual when the bundle's model was trained; None for bundles written before that was kept.

    Raises InvalidDataError when a file of the bundle does not have its hash.
    """
    files = read_files(bundle, read_manifest(bundle))
    return decoded_baseline(files[BASELINE], where=str(bundle)) if BASELINE in files else None


def _require_signature(path: Path, data: bytes, trusted_keys: Path) -> None:
    signed = path.with_name(SIGNATURE)
    if not signed.is_file():
        raise InvalidDataError(
            f"{path.parent} is not signed; refused, since LARDER_TRUSTED_KEYS is set. Where LARDER_SIGNING_KEY is set, "
            f"`larder promote` signs what it freezes, and `larder models sign {path.parent.name}` what is there."
        )
    if not is_signed(data, signed.read_bytes(), trusted_keys):
        raise InvalidDataError(
            f"{path} was not signed by a key in {trusted_keys}, or was changed since; refused. Train and promote a new "
            "version, or add the public key of who signed this one."
        )


def _pointed(pointer: Path) -> str | None:
    return pointer.read_text().strip() if pointer.is_file() else None


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
