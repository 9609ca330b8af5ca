"""What an operator decides by environment and `.env`, read once at the start and checked as a whole.

It decides which values are allowed and says everything that is wrong at once, naming the variable, the value and
what would be accepted. It opens nothing but the sealed key file, and no secret it holds can be printed.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from actors.home import DEFAULT_HOME, Home
from adapters.chains.registry import check_address
from adapters.mail import smtp
from adapters.secrets import sealed
from adapters.secrets.keys import ApiKey, keys_from_environment
from engine.ids import AccountId
from engine.money import Network
from storage.accounts import Environment

T = TypeVar("T")

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POOL_MAX = 5_000


class Secret(msgspec.Struct, frozen=True):
    """A text that is never printed."""

    value: str

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__


class FeedKind(StrEnum):
    """Where the PaperVenue's prices come from."""

    AUTO = "auto"
    """`live` when the venue's public stream answers within 3 s, else `model`."""
    LIVE = "live"
    MODEL = "model"
    REPLAY = "replay"


class FeedChoice(msgspec.Struct, frozen=True):
    """The feed an operator asks for. `path` and `speed` belong to a replay."""

    kind: FeedKind
    path: Path | None = None
    speed: int = 1

    def __str__(self) -> str:
        return f"replay:{self.path}@{self.speed}" if self.path else self.kind.value


class Placement(msgspec.Struct, frozen=True):
    """How many bots share one Ray actor, and with it one process."""

    bots_per_host: int = 1

    def __str__(self) -> str:
        return "dedicated" if self.bots_per_host == 1 else f"pooled({self.bots_per_host})"


class Club(StrEnum):
    """Whether companies settle here."""

    OFF = "off"
    DEMO = "demo"
    """On a TRON of our own with money of no value, with four companies to try it with."""
    ON = "on"
    """On the TRON that `TRELLIS_TRON_NODES` speak for."""


class Settings(msgspec.Struct, frozen=True):
    """Everything that an operator decides. Made by `load`, valid as a whole."""

    home: Path
    database_url: Secret | None
    """None: the embedded server."""
    ray_address: str | None
    """None: a Ray of our own on this machine."""
    ray_auth_token: Secret | None
    api_host: str
    api_port: int
    api_token: Secret | None
    """None: drawn at the first start and kept in the home folder."""
    api_allowed_hosts: tuple[str, ...]
    """Names under which a browser may address the API, beside those of this machine."""
    trusted_proxies: tuple[str, ...]
    """Whose word about where a request comes from is believed."""
    public_url: str | None
    """What links in letters begin with; None: the API's own address."""
    registration: str
    smtp_url: Secret | None
    """None: letters wait in the outbox, for the operator to read."""
    feed: FeedChoice
    placement: Placement
    log_level: str
    bybit_environment: Environment
    sealed_keys: Path | None
    sealed_keys_passphrase: Secret | None
    sealed_keys_passphrase_file: Path | None
    sealing_keys: Path | None
    """What seals the keys in the database; None: a file in the home folder, drawn at the first start."""
    environment_keys: dict[AccountId, ApiKey]
    club: Club
    tron_nodes: tuple[str, ...]
    """The main node first, then those that stand in for it and are asked whether they agree."""
    tron_api_key: Secret | None
    tron_treasury: tuple[str, ...]
    """The operator's own addresses: what they send to a hot wallet stays the operator's."""


class SettingProblem(msgspec.Struct, frozen=True):
    """One variable that does not hold. A secret's value is not repeated."""

    variable: str
    message: str
    allowed: str

    def __str__(self) -> str:
        return f"{self.variable}: {self.message}. Allowed: {self.allowed}"


class SettingsError(Exception):
    """The settings do not hold; `problems` lists everything that must change."""

    def __init__(self, problems: list[SettingProblem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class _Variable(msgspec.Struct, frozen=True):
    """How one variable is read. `read` raises ValueError with what is wrong about the text."""

    field: str
    name: str
    read: Callable[[str], Any]
    default: str
    allowed: str
    is_secret: bool = False


def load(environ: Mapping[str, str]) -> Settings:
    """Read and check everything; raise `SettingsError` with every problem at once."""
    problems: list[SettingProblem] = []
    values: dict[str, Any] = {}
    for variable in _VARIABLES:
        text = environ.get(variable.name, "").strip() or variable.default
        try:
            values[variable.field] = variable.read(text) if text else None
        except ValueError as error:
            shown = "***" if variable.is_secret else repr(text)
            problems.append(SettingProblem(variable.name, f"{shown} {error}", variable.allowed))
    remote_allowed = values.pop("api_allow_remote", False)
    try:
        values["environment_keys"] = keys_from_environment(environ)
    except ValueError as error:
        problems.append(SettingProblem("TRELLIS_KEY_…", str(error), "a key and its secret, or neither"))
    problems += _misspelt(environ)
    if not problems:
        problems += _contradictions(values, remote_allowed)
    if problems:
        raise SettingsError(problems)
    return Settings(**values)


def api_keys(settings: Settings) -> dict[AccountId, ApiKey]:
    """Give every account's key: of the sealed file, and of the environment, which wins.

    Raises `SettingsError` when the file does not open.
    """
    if settings.sealed_keys is None:
        return settings.environment_keys
    try:
        keys = sealed.open(settings.sealed_keys, _passphrase(settings))
    except (sealed.SealBroken, OSError) as error:
        allowed = "a file written by `trellis keys seal`, with its passphrase"
        raise SettingsError([SettingProblem("TRELLIS_SEALED_KEYS", str(error), allowed)]) from error
    return keys | settings.environment_keys


def _passphrase(settings: Settings) -> str | bytes:
    if settings.sealed_keys_passphrase_file is not None:
        return sealed.read_key_file(settings.sealed_keys_passphrase_file)
    assert settings.sealed_keys_passphrase is not None
    return settings.sealed_keys_passphrase.value


# ---------------------------------------------------------------------- what belongs together


def _contradictions(values: Mapping[str, Any], remote_allowed: bool) -> list[SettingProblem]:
    problems = []
    if values["api_host"] not in LOOPBACK and not remote_allowed:
        problems.append(
            SettingProblem(
                "TRELLIS_API_HOST",
                f"{values['api_host']!r} can be reached from other machines, and the API has one token for all",
                "127.0.0.1; or set TRELLIS_API_ALLOW_REMOTE=yes behind a proxy with TLS",
            )
        )
    has_phrase = values["sealed_keys_passphrase"] or values["sealed_keys_passphrase_file"]
    if values["sealed_keys"] is not None and not has_phrase:
        problems.append(
            SettingProblem(
                "TRELLIS_SEALED_KEYS",
                "the file needs its passphrase",
                "TRELLIS_SEALED_KEYS_PASSPHRASE_FILE or TRELLIS_SEALED_KEYS_PASSPHRASE",
            )
        )
    has_keys = values["environment_keys"] or values["sealed_keys"] is not None
    if values["bybit_environment"] is not Environment.PAPER and not has_keys:
        problems.append(
            SettingProblem(
                "TRELLIS_BYBIT_ENVIRONMENT",
                f"{values['bybit_environment'].value!r} needs an API key",
                "TRELLIS_KEY_MAIN with TRELLIS_KEY_MAIN_SECRET, or TRELLIS_SEALED_KEYS; or paper",
            )
        )
    if values["club"] is Club.ON and not values["tron_nodes"]:
        problems.append(
            SettingProblem(
                "TRELLIS_CLUB",
                "'on' needs nodes of a TRON network",
                "TRELLIS_TRON_NODES with two independent nodes or more; or demo",
            )
        )
    if values["club"] is Club.DEMO and values["tron_nodes"]:
        problems.append(
            SettingProblem(
                "TRELLIS_CLUB",
                "'demo' brings a TRON of its own and asks no other",
                "on, or no TRELLIS_TRON_NODES",
            )
        )
    return problems


def _misspelt(environ: Mapping[str, str]) -> list[SettingProblem]:
    """Refuse a TRELLIS_ name that nobody reads: a typing mistake would silently leave the default in force."""
    known = [variable.name for variable in _VARIABLES]
    problems = []
    for name in sorted(environ):
        if not name.startswith("TRELLIS_") or name in known or name.startswith(("TRELLIS_KEY_", "TRELLIS_TEST_")):
            continue
        if name == "TRELLIS_SHARED":
            continue  # Where the tests find the recordings.
        close = difflib.get_close_matches(name, known, n=1)
        meant = close[0] if close else "one of " + ", ".join(known)
        problems.append(SettingProblem(name, "is not a setting", meant))
    return problems


# ---------------------------------------------------------------------- how each is read


def _text(text: str) -> str:
    return text


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 <= int(text) <= 65535:
        raise ValueError("is not a port")
    return int(text)


def _yes_or_no(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("is neither yes nor no")
    return text == "yes"


def _one_of(kind: Callable[[str], T], *words: str) -> Callable[[str], T]:
    def read(text: str) -> T:
        if text not in words:
            raise ValueError("is none of the words")
        return kind(text)

    return read


def _file(text: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise ValueError("is not a file")
    return path.absolute()


def _database_url(text: str) -> Secret:
    parts = urlsplit(text)
    if parts.scheme not in ("postgresql", "postgres"):
        raise ValueError("is not the address of a PostgreSQL database")
    hosts = parts.netloc.rpartition("@")[2]
    # A password with a slash ends the host too early, and leaves a "port" behind.
    if not re.fullmatch(r"([^:,]*|\[[^\]]*\])(:\d+)?(,([^:,]*|\[[^\]]*\])(:\d+)?)*", hosts):
        raise ValueError("has a port that is not a number; write / : @ in a password as %2F %3A %40")
    return Secret(text)


def _ray_address(text: str) -> str:
    if text == "auto" or re.fullmatch(r"[\w.\-]+:\d{1,5}|\[[0-9a-fA-F:]+\]:\d{1,5}", text):
        return text
    raise ValueError("is not host:port")


def _token(text: str) -> Secret:
    if len(text) < 32 or not text.isascii() or not text.isprintable() or " " in text:
        raise ValueError("is too short to be safe, or not one printable word")
    return Secret(text)


def _hosts(text: str) -> tuple[str, ...]:
    hosts = tuple(host.strip().lower() for host in text.split(",") if host.strip())
    for host in hosts:
        if not re.fullmatch(r"[a-z0-9.\-]+", host):
            raise ValueError(f"has {host!r}, which is not a host name")
    return hosts


def _addresses(text: str) -> tuple[str, ...]:
    return tuple(str(ipaddress.ip_address(word.strip())) for word in text.split(",") if word.strip())


def _public_url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        raise ValueError("is not the address of a site")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("would send passwords in the clear")
    return text.rstrip("/")


def _node_urls(text: str) -> tuple[str, ...]:
    urls = tuple(word.strip().rstrip("/") for word in text.split(",") if word.strip())
    for url in urls:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.username:
            raise ValueError("has a word that is not the address of a node")
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise ValueError("has a node without TLS on another machine, whose answers anybody could write")
    if len(set(urls)) != len(urls):
        raise ValueError("names a node twice: one node cannot agree with itself")
    return urls


def _tron_addresses(text: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in text.split(",") if word.strip())
    for address in found:
        check_address(Network.TRON, address)
    return found


def _smtp_url(text: str) -> Secret:
    smtp.read_address(text)
    return Secret(text)


def _feed(text: str) -> FeedChoice:
    if text in (FeedKind.AUTO, FeedKind.LIVE, FeedKind.MODEL):
        return FeedChoice(FeedKind(text))
    match = re.fullmatch(r"replay:(?P<path>.+?)(?:@(?P<speed>\d+))?", text)
    if match is None:
        raise ValueError("is not a feed")
    path = Path(match["path"]).expanduser()
    if not path.exists():
        raise ValueError("names no file or folder that exists")
    speed = int(match["speed"] or 1)
    if not 1 <= speed <= 1000:
        raise ValueError("has a speed out of range")
    return FeedChoice(FeedKind.REPLAY, path.absolute(), speed)


def _placement(text: str) -> Placement:
    if text == "dedicated":
        return Placement()
    match = re.fullmatch(r"pooled\((\d{1,5})\)", text)
    if match is None or not 2 <= int(match[1]) <= POOL_MAX:
        raise ValueError("is not a placement")
    return Placement(int(match[1]))


_VARIABLES = (
    _Variable("home", "TRELLIS_HOME", lambda text: Home(Path(text)).path, DEFAULT_HOME, "a folder"),
    _Variable(
        "database_url", "DATABASE_URL", _database_url, "", "postgresql://user:password@host:port/name", True
    ),
    _Variable("ray_address", "RAY_ADDRESS", _ray_address, "", "host:port of a Ray head node, or auto"),
    _Variable("ray_auth_token", "RAY_AUTH_TOKEN", _token, "", "the cluster's token, 32 characters or more", True),
    _Variable("api_host", "TRELLIS_API_HOST", _text, "127.0.0.1", "an address of this machine"),
    _Variable("api_port", "TRELLIS_API_PORT", _port, "8787", "0 to 65535; 0 takes a free one"),
    _Variable("api_token", "TRELLIS_API_TOKEN", _token, "", "32 printable characters or more", True),
    _Variable("api_allow_remote", "TRELLIS_API_ALLOW_REMOTE", _yes_or_no, "no", "yes or no"),
    _Variable("api_allowed_hosts", "TRELLIS_API_ALLOWED_HOSTS", _hosts, ",", "host names, separated by commas"),
    _Variable("trusted_proxies", "TRELLIS_TRUSTED_PROXIES", _addresses, ",", "addresses, separated by commas"),
    _Variable("public_url", "TRELLIS_PUBLIC_URL", _public_url, "", "https://name, or http://address on loopback"),
    _Variable("registration", "TRELLIS_REGISTRATION", _one_of(str, "open", "invite"), "open", "open or invite"),
    _Variable(
        "smtp_url",
        "TRELLIS_SMTP_URL",
        _smtp_url,
        "",
        "smtps://user:password@host:465?from=trellis@example.org, or smtp:// with STARTTLS",
        True,
    ),
    _Variable("feed", "TRELLIS_FEED", _feed, "auto", "auto, live, model, or replay:<path>[@<speed 1 to 1000>]"),
    _Variable("placement", "TRELLIS_PLACEMENT", _placement, "dedicated", f"dedicated, or pooled(2 to {POOL_MAX})"),
    _Variable(
        "log_level",
        "TRELLIS_LOG_LEVEL",
        _one_of(str, "debug", "info", "warning", "error"),
        "info",
        "debug, info, warning or error",
    ),
    _Variable(
        "bybit_environment",
        "TRELLIS_BYBIT_ENVIRONMENT",
        _one_of(Environment, *Environment),
        "paper",
        "paper, demo, testnet or live",
    ),
    _Variable("sealed_keys", "TRELLIS_SEALED_KEYS", _file, "", "a file written by `trellis keys seal`"),
    _Variable(
        "sealed_keys_passphrase", "TRELLIS_SEALED_KEYS_PASSPHRASE", Secret, "", "the file's passphrase", True
    ),
    _Variable(
        "sealed_keys_passphrase_file",
        "TRELLIS_SEALED_KEYS_PASSPHRASE_FILE",
        _file,
        "",
        "a file of mode 600 that holds the passphrase",
    ),
    _Variable(
        "sealing_keys", "TRELLIS_SEALING_KEYS", _file, "", "a file of mode 600 made by an earlier start of Trellis"
    ),
    _Variable("club", "TRELLIS_CLUB", _one_of(Club, *Club), "off", "off, demo or on"),
    _Variable("tron_nodes", "TRELLIS_TRON_NODES", _node_urls, ",", "https://node,https://other-node"),
    _Variable("tron_api_key", "TRELLIS_TRON_API_KEY", Secret, "", "the nodes' API key", True),
    _Variable("tron_treasury", "TRELLIS_TRON_TREASURY", _tron_addresses, ",", "addresses of TRON, T…,T…"),
)
