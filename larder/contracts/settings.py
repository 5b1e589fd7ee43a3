"""The only reader of environment variables: one frozen `Settings`, built once and passed on."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path

from dotenv import dotenv_values

import larder
from larder.contracts.clock import Clock, parsed_instant, replay_clock, system_clock
from larder.contracts.errors import ConfigurationError
from larder.contracts.feature_store_file import FEATURE_STORE, store_section

FEATURE_REPO = "feature_repo"


@dataclass(frozen=True)
class Settings:
    """Where things are and how they run. Field `x` is the variable `LARDER_X`; see `.env.example`."""

    home: Path
    """The folder that holds `feature_repo/` and the other stages' use case files, or a Feast repository by itself."""
    state: Path
    """Everything that a run writes; safe to delete."""
    lake: str
    """Root of all Delta tables: a folder or an object-store URI."""
    raw: Path
    """Where raw files arrive."""
    redis: str = "embedded"
    """`embedded` (a private redis-server under `state`) or an address as docs/redis_servers.md lists them."""
    registry: str = ""
    """SQLAlchemy address of the Feast registry; empty means sqlite under `state`."""
    mlflow: str = ""
    """MLflow tracking address; empty means sqlite under `state`."""
    use_case: str = ""
    """Name of the use case files; empty means the only one in `feature_repo/`."""
    spark_master: str = "local[*]"
    spark_memory: str = "3g"
    """Heap of the Spark driver."""
    host: str = "127.0.0.1"
    port: int = 8600
    signing_key: Path | None = None
    """PEM file of the Ed25519 private key with which promotion signs bundles; None: they are not signed."""
    trusted_keys: Path | None = None
    """PEM file of the Ed25519 public keys by one of which a bundle has to be signed; None: signatures do not count."""
    tokens: Path | None = None
    """File of the tokens of which whoever asks a server has to show one, a token a line; None: everyone may ask."""
    replay_at: datetime | None = field(default=None, metadata={"variable": "LARDER_CLOCK"})
    """The instant at which the clock stands (`LARDER_CLOCK`); None means real time."""

    @property
    def clock(self) -> Clock:
        return system_clock if self.replay_at is None else replay_clock(self.replay_at)

    @property
    def feature_repo(self) -> Path:
        """The folder of `feature_store.yaml`."""
        return _repository(self.home)

    @property
    def bundles(self) -> Path:
        """Where promotion freezes champions and serving finds them."""
        return self.state / "bundles"

    @property
    def reports(self) -> Path:
        """Where each command leaves its result as `<step>.json` for the run's report."""
        return self.state / "reports"


def load_settings(
    environment: Mapping[str, str] | None = None, *, near: Path | None = None, configured_lake: str | None = None
) -> Settings:
    """Settings from `LARDER_*` variables; those in `<home>/.env` count where the environment is silent.

    Home is `LARDER_HOME`, else the nearest folder at or above `near` that has a `feature_repo/feature_store.yaml`
    or, under another name than `feature_repo`, is a Feast repository itself; else the checkout from which the
    package is installed. `near` is the folder of the `feature_store.yaml` in use, so that what a repository keeps
    does not depend on the folder it is called from; without one, the current folder. `configured_lake`: that of the
    offline store in use, empty for its default; None means what `feature_store.yaml` says.
    """
    given = dict(os.environ if environment is None else environment)
    home = _home(given.get("LARDER_HOME", ""), (near or Path()).absolute())
    values = {name: value for name, value in dotenv_values(home / ".env").items() if value is not None}
    if values.get("LARDER_HOME") and Path(values["LARDER_HOME"]).absolute() != home:
        raise ConfigurationError(
            f"{home / '.env'} sets LARDER_HOME to {values['LARDER_HOME']!r}, but it is LARDER_HOME where that file is "
            "looked for. Set it in the environment, or take the line out."
        )
    values |= given
    known = {_variable(item.name) for item in fields(Settings)} - {"LARDER_REPLAY_AT"} | {"LARDER_CLOCK"}
    unknown = sorted(name for name in values if name.startswith("LARDER_") and name not in known)
    if unknown:
        raise ConfigurationError(f"No such setting: {', '.join(unknown)}. The settings are {', '.join(sorted(known))}.")

    def text(name: str, default: str) -> str:
        return values.get(_variable(name), "").strip() or default

    state = _absolute(text("state", ".larder"), home)
    clock = values.get("LARDER_CLOCK", "").strip()
    lake = text("lake", "")
    if not lake:
        lake = _lake_in(_repository(home)) if configured_lake is None else configured_lake
    return Settings(
        home=home,
        state=state,
        lake=_place(lake or str(state / "lake"), home),
        raw=_absolute(text("raw", str(state / "raw")), home),
        redis=text("redis", "embedded"),
        registry=text("registry", f"sqlite:///{state / 'registry.db'}"),
        mlflow=text("mlflow", f"sqlite:///{state / 'mlflow.db'}"),
        use_case=text("use_case", ""),
        spark_master=text("spark_master", "local[*]"),
        spark_memory=text("spark_memory", "3g"),
        host=text("host", "127.0.0.1"),
        port=_port(text("port", "8600")),
        signing_key=_file(text("signing_key", ""), home),
        trusted_keys=_file(text("trusted_keys", ""), home),
        tokens=_file(text("tokens", ""), home),
        replay_at=parsed_instant(clock, name="LARDER_CLOCK") if clock else None,
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """The environment of this process, changed so that a child loads exactly these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LARDER_")}
    values = {
        _variable(item.name): getattr(settings, item.name) for item in fields(Settings) if item.name != "replay_at"
    }
    values["LARDER_CLOCK"] = "" if settings.replay_at is None else settings.replay_at.isoformat()
    return kept | {name: "" if value is None else str(value) for name, value in values.items()}


def _variable(field_name: str) -> str:
    return "LARDER_" + field_name.upper()


def _home(given: str, here: Path) -> Path:
    if given:
        return Path(given).absolute()
    folders = (here, *here.parents, Path(larder.__file__).parent.parent)
    return next((folder for folder in folders if _is_home(folder)), here)


def _is_home(folder: Path) -> bool:
    is_repository = (folder / FEATURE_STORE).is_file() and folder.name != FEATURE_REPO
    return is_repository or (folder / FEATURE_REPO / FEATURE_STORE).is_file()


def _repository(home: Path) -> Path:
    below = home / FEATURE_REPO
    return next((folder for folder in (below, home) if (folder / FEATURE_STORE).is_file()), below)


def _lake_in(repository: Path) -> str:
    """`lake` of our offline store in `feature_store.yaml`, where a relative one starts; else empty."""
    store = store_section(repository, "offline_store")
    lake = store.get("lake") if str(store.get("type")).startswith("larder.offline.") else None
    return _place(lake, repository) if isinstance(lake, str) and lake else ""


def _absolute(path: str, home: Path) -> Path:
    return home / Path(path).expanduser()


def _file(path: str, home: Path) -> Path | None:
    return _absolute(path, home) if path else None


def _place(address: str, home: Path) -> str:
    return address if "://" in address else str(_absolute(address, home))


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ConfigurationError(f"LARDER_PORT is {text!r}; it must be a number from 1 to 65535.")
    return int(text)
