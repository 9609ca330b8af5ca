"""Settings: what holds, what is refused and how the refusal reads."""

from pathlib import Path

import pytest

from actors import settings
from actors.dotenv import DotenvError, merged_environment, read_dotenv
from actors.home import AlreadyRunning, Home, UnusableHome
from actors.settings import Club, FeedChoice, FeedKind, Placement, SettingsError, load
from adapters.secrets import sealed
from adapters.secrets.keys import ApiKey
from engine.ids import AccountId
from storage.accounts import Environment

ROOT = Path(__file__).parents[2]
PHRASE = "correct horse battery"
SECRET = "s3cr3t-of-the-operator-that-nobody-sees"


def test_nothing_needs_to_be_set() -> None:
    loaded = load({})
    assert loaded.database_url is None
    assert (loaded.api_host, loaded.api_port) == ("127.0.0.1", 8787)
    assert loaded.feed == FeedChoice(FeedKind.AUTO)
    assert str(loaded.placement) == "dedicated"
    assert loaded.bybit_environment is Environment.PAPER


@pytest.mark.parametrize(
    ("name", "text", "field", "value"),
    [
        ("TRELLIS_FEED", "live", "feed", FeedChoice(FeedKind.LIVE)),
        ("TRELLIS_FEED", f"replay:{ROOT}", "feed", FeedChoice(FeedKind.REPLAY, ROOT, 1)),
        ("TRELLIS_FEED", f"replay:{ROOT}@50", "feed", FeedChoice(FeedKind.REPLAY, ROOT, 50)),
        ("TRELLIS_PLACEMENT", "pooled(20)", "placement", Placement(20)),
        ("TRELLIS_API_PORT", "0", "api_port", 0),
        ("TRELLIS_API_ALLOWED_HOSTS", "a.example, B.example", "api_allowed_hosts", ("a.example", "b.example")),
        ("TRELLIS_PUBLIC_URL", "https://trellis.example.org/", "public_url", "https://trellis.example.org"),
        ("TRELLIS_TRUSTED_PROXIES", "10.0.0.2, ::1", "trusted_proxies", ("10.0.0.2", "::1")),
        ("TRELLIS_REGISTRATION", "invite", "registration", "invite"),
        ("RAY_ADDRESS", "10.0.0.5:6379", "ray_address", "10.0.0.5:6379"),
        ("TRELLIS_LOG_LEVEL", "debug", "log_level", "debug"),
    ],
)
def test_a_setting_is_read(name: str, text: str, field: str, value: object) -> None:
    assert getattr(load({name: text}), field) == value


@pytest.mark.parametrize(
    ("name", "text", "allowed"),
    [
        ("TRELLIS_FEED", "replay:/no/such/file", "replay:<path>"),
        ("TRELLIS_FEED", f"replay:{ROOT}@0", "1 to 1000"),
        ("TRELLIS_FEED", "stream", "auto, live, model"),
        ("TRELLIS_PLACEMENT", "pooled(1)", "pooled(2 to"),
        ("TRELLIS_API_PORT", "80800", "0 to 65535"),
        ("TRELLIS_API_PORT", "²", "0 to 65535"),
        ("TRELLIS_API_ALLOW_REMOTE", "true", "yes or no"),
        ("TRELLIS_LOG_LEVEL", "loud", "debug, info"),
        ("TRELLIS_BYBIT_ENVIRONMENT", "mainnet", "paper, demo"),
        ("TRELLIS_PUBLIC_URL", "http://trellis.example.org", "https://name"),
        ("TRELLIS_TRUSTED_PROXIES", "proxy", "addresses"),
        ("TRELLIS_REGISTRATION", "closed", "open or invite"),
        ("RAY_ADDRESS", "ray://", "host:port"),
        ("TRELLIS_SEALED_KEYS", "/no/such/file", "trellis keys seal"),
    ],
)
def test_a_refusal_names_the_variable_the_value_and_what_is_allowed(name: str, text: str, allowed: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({name: text})
    (problem,) = refused.value.problems
    assert problem.variable == name
    assert text in problem.message
    assert allowed in problem.allowed


def test_every_problem_is_said_at_once() -> None:
    with pytest.raises(SettingsError) as refused:
        load({"TRELLIS_FEED": "x", "TRELLIS_PLACEMENT": "y", "TRELLIS_PLACEMNT": "dedicated"})
    assert [problem.variable for problem in refused.value.problems] == [
        "TRELLIS_FEED",
        "TRELLIS_PLACEMENT",
        "TRELLIS_PLACEMNT",
    ]


def test_a_misspelt_name_is_refused_with_the_name_that_was_meant() -> None:
    with pytest.raises(SettingsError, match=r"TRELLIS_PLACEMNT: is not a setting\. Allowed: TRELLIS_PLACEMENT"):
        load({"TRELLIS_PLACEMNT": "dedicated"})


def test_listening_beyond_loopback_must_be_asked_for_twice() -> None:
    with pytest.raises(SettingsError, match="TRELLIS_API_HOST"):
        load({"TRELLIS_API_HOST": "0.0.0.0"})  # noqa: S104
    assert load({"TRELLIS_API_HOST": "10.0.0.1", "TRELLIS_API_ALLOW_REMOTE": "yes"}).api_host == "10.0.0.1"


def test_trading_for_real_needs_a_key() -> None:
    with pytest.raises(SettingsError, match="needs an API key"):
        load({"TRELLIS_BYBIT_ENVIRONMENT": "live"})
    keys = {"TRELLIS_KEY_MAIN": "abc", "TRELLIS_KEY_MAIN_SECRET": SECRET}
    loaded = load({"TRELLIS_BYBIT_ENVIRONMENT": "live", **keys})
    assert settings.api_keys(loaded) == {AccountId("main"): ApiKey("abc", SECRET)}


@pytest.mark.parametrize(
    "url", [f"smtp://me:{SECRET}@host", f"smtp://me:{SECRET}/x@host", f"smtp://me:{SECRET}@host:port?from=a@b"]
)
def test_a_wrong_mail_server_is_refused_without_quoting_its_password(url: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load({"TRELLIS_SMTP_URL": url})
    assert SECRET not in str(refused.value)
    assert "TRELLIS_SMTP_URL: ***" in str(refused.value)


def test_no_secret_is_ever_printed() -> None:
    loaded = load(
        {
            "DATABASE_URL": f"postgresql://me:{SECRET}@127.0.0.1/trellis",
            "TRELLIS_API_TOKEN": SECRET,
            "TRELLIS_SMTP_URL": f"smtps://me:{SECRET}@mail.example.org?from=trellis@example.org",
            "RAY_AUTH_TOKEN": SECRET,
            "TRELLIS_KEY_MAIN": "abc",
            "TRELLIS_KEY_MAIN_SECRET": SECRET,
            "TRELLIS_SEALED_KEYS_PASSPHRASE": SECRET,
        }
    )
    assert SECRET not in repr(loaded)
    assert SECRET not in str(loaded)


def test_a_refused_secret_is_not_repeated() -> None:
    with pytest.raises(SettingsError) as refused:
        load({"DATABASE_URL": f"mysql://me:{SECRET}@127.0.0.1", "TRELLIS_API_TOKEN": "short-" + "x"})
    assert SECRET not in str(refused.value)
    assert "short-x" not in str(refused.value)


def test_keys_come_from_a_sealed_file(tmp_path: Path) -> None:
    file, phrase = tmp_path / "keys.sealed", tmp_path / "phrase"
    sealed.seal(file, {AccountId("main"): ApiKey("abc", "def")}, PHRASE)
    phrase.write_text(PHRASE + "\n")
    phrase.chmod(0o600)
    environ = {"TRELLIS_BYBIT_ENVIRONMENT": "demo", "TRELLIS_SEALED_KEYS": str(file)}
    with pytest.raises(SettingsError, match="needs its passphrase"):
        load(environ)
    loaded = load({**environ, "TRELLIS_SEALED_KEYS_PASSPHRASE_FILE": str(phrase)})
    assert settings.api_keys(loaded) == {AccountId("main"): ApiKey("abc", "def")}


def test_the_example_names_every_setting_and_holds() -> None:
    text = (ROOT / ".env.example").read_text()
    assert read_dotenv(text) == {}
    named = {line.removeprefix("# ").split("=")[0] for line in text.splitlines() if "=" in line}
    assert {variable.name for variable in settings._VARIABLES} <= named


# ---------------------------------------------------------------------- .env


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("  export A = 1  # one", "1"),
        ('A="1 # 2"', "1 # 2"),
        ("A='1 2'", "1 2"),
        ("A=", ""),
        ("A=postgresql://u:p@h:5432/d?x=y", "postgresql://u:p@h:5432/d?x=y"),
        ("A=pooled(20)", "pooled(20)"),
    ],
)
def test_a_line_of_dotenv_is_read(line: str, value: str) -> None:
    assert read_dotenv(f"# comment\n\n{line}\n") == {"A": value}


def test_a_bad_line_of_dotenv_is_named_by_number_and_not_repeated() -> None:
    with pytest.raises(DotenvError) as refused:
        read_dotenv(f"A=1\n{SECRET}\n")
    assert str(refused.value) == "line 2 of .env is not NAME=value"


def test_the_environment_wins_over_dotenv(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=file\nB=file\n")
    assert merged_environment({"A": "process"}, tmp_path / ".env") == {"A": "process", "B": "file"}
    assert merged_environment({"A": "process"}, tmp_path / "none") == {"A": "process"}


# ---------------------------------------------------------------------- the home folder


def test_a_token_is_drawn_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    home = Home(tmp_path / "home")
    assert home.known_token("api") is None
    token = home.token("api")
    assert len(token) == 64
    assert home.token("api") == home.known_token("api") == token
    assert home.token("ray") != token
    file = home.path / "api.token"
    assert file.stat().st_mode & 0o777 == 0o600
    file.chmod(0o644)
    with pytest.raises(UnusableHome, match="chmod 600"):
        home.token("api")


def test_one_program_runs_on_a_home_and_the_console_finds_it(tmp_path: Path) -> None:
    first, second = Home(tmp_path), Home(tmp_path)
    assert second.running() is None
    first.claim()
    first.announce("http://127.0.0.1:8787")
    running = second.running()
    assert running is not None
    assert running.address == "http://127.0.0.1:8787"
    with pytest.raises(AlreadyRunning, match=r"already runs on .* answers at http://127\.0\.0\.1:8787"):
        second.claim()
    first.release()
    assert second.running() is None
    second.claim()
    second.release()


NODES = "https://tron.example.org, https://tron.example.net/"


def test_the_club_needs_nodes_of_its_network_and_the_demo_brings_its_own() -> None:
    assert load({}).club is Club.OFF
    assert load({"TRELLIS_CLUB": "demo"}).tron_nodes == ()
    on = load({"TRELLIS_CLUB": "on", "TRELLIS_TRON_NODES": NODES})
    assert on.tron_nodes == ("https://tron.example.org", "https://tron.example.net")
    for environ in ({"TRELLIS_CLUB": "on"}, {"TRELLIS_CLUB": "demo", "TRELLIS_TRON_NODES": NODES}):
        with pytest.raises(SettingsError, match="TRELLIS_CLUB"):
            load(environ)


def test_the_operators_own_addresses_are_checked_before_anything_is_credited_by_them() -> None:
    treasury = "TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t"
    assert load({"TRELLIS_TRON_TREASURY": f"{treasury} ,"}).tron_treasury == (treasury,)
    assert load({}).tron_treasury == ()
    with pytest.raises(SettingsError, match=r"TRELLIS_TRON_TREASURY.*checksum"):
        load({"TRELLIS_TRON_TREASURY": treasury[:-1] + "x"})


@pytest.mark.parametrize(
    "nodes",
    [
        "http://tron.example.org",
        "https://a.example, https://a.example/",
        "https://user:word@a.example",
        "tron.example.org",
        "ftp://a.example",
    ],
)
def test_a_node_that_anybody_could_speak_for_is_refused(nodes: str) -> None:
    with pytest.raises(SettingsError, match="TRELLIS_TRON_NODES"):
        load({"TRELLIS_CLUB": "on", "TRELLIS_TRON_NODES": nodes})
