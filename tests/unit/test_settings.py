"""An administrator's mistakes in the configuration are named; secrets never show."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from agentbridge.errors import ConfigError
from agentbridge.settings import Settings, chosen_path, load, secrets_in

SHIPPED = Path(__file__).parents[2] / "config/agentbridge.toml"
MAIL = "[mail]\nhost = 'mx.example.com'\nsender = 'desk@example.com'\n"
LINK = "link = 'https://desk.example.com/?t={token}'\n"
SECRETS = '[ami]\nsecret = "ami-s3cr3t"\n[ari]\nsecret = "ari-s3cr3t"\n'


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AGENTBRIDGE_CONFIG", "CREDENTIALS_DIRECTORY", "AGENTBRIDGE_AMI__SECRET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "agentbridge.toml"


def written(file: Path, text: str) -> Path:
    file.write_text(text, encoding="utf-8")
    return file


def test_two_secrets_are_all_that_is_needed(file: Path) -> None:
    settings = load(written(file, SECRETS))
    assert settings.ami.password() == "ami-s3cr3t"
    assert settings.pace.ceiling == 300


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[ami]\nprot = 1", "ami.prot: there is no such setting; did you mean ami.port?"),
        ("[resinc]\nseconds = 1", "resinc: there is no such setting; did you mean resync?"),
        ("colour = 1", "colour: there is no such setting; known are node, database, ami"),
        ("[pace]\nceiling = 451", "pace.ceiling: input should be less than or equal to 450"),
        ("[pace]\nceiling = 'many'", "pace.ceiling: input should be a valid integer"),
        ("[limits]\nremovals_share = 1.5", "limits.removals_share: input should be less than or equal to 1"),
        ("[resync]\nseconds = 0", "resync.seconds: input should be greater than or equal to 1"),
        ("[resync]\nseconds = nan", "resync.seconds: input should be a finite number"),
        ("[log]\nformat = 'xml'", "log.format: input should be 'auto', 'console', 'logfmt' or 'json'"),
        ("[database]\ndsn = 'mysql://x'", "database.dsn: must be as in postgresql://user@host:port/name"),
        ("[database]\npassword_file = 'secret'", "database.password_file: must be an absolute path"),
        ("[database]\npassword_file = '/nowhere/x'", "database.password_file: /nowhere/x can't be read: No such file"),
        ("[ari]\nurl = '127.0.0.1:8088'", "ari.url: string should match pattern"),
        ("[node]\nname = 'a b'", "node.name: string should match pattern"),
        ("ami = 3", "ami: input should be a valid dictionary"),
        ("", "ami.secret: is missing: set ami.secret_file, the credential ami_secret or AGENTBRIDGE_AMI__SECRET"),
        ("[ami]\nsecret = ''", "ami.secret: must be printable text of at least one character"),
        ("[ami]\nsecret = 'x\ny'", "is not TOML"),
        ("[mail]\nhost = 'mx'", "mail.sender: is missing; it is needed with mail.host"),
        ("[mail]\nsender = 'desk'", "mail.sender: string should match pattern"),
        ("[mail]\nencryption = 'ssl'", "mail.encryption: input should be 'starttls', 'tls' or 'none'"),
        (f"{MAIL}link = 'https://x/reset'", "mail.link: must hold {token} once"),
        (f"{MAIL}link = 'javascript:{{token}}'", "mail.link: string should match pattern"),
        (f"{MAIL}{LINK}username = 'u'", "mail.password: is missing: set mail.password_file, the credential mail_pass"),
        (
            f"{MAIL}{LINK}username = 'u'\npassword = 'x'\nencryption = 'none'",
            "mail.encryption: must be starttls or tls, or the password goes over the network in clear text",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_rule(file: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(written(file, text))
    assert told in str(error.value)
    assert all(line.startswith(f"{file}: ") for line in str(error.value).splitlines())


def test_all_that_is_wrong_is_told_at_once(file: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(written(file, SECRETS + "[pace]\nceiling = 1\n[log]\nlevel = 'loud'\n[database]\npool = 3"))
    assert len(str(error.value).splitlines()) == 3


@pytest.mark.parametrize(
    "text",
    [
        "[ami]\nsecret = 'hunter2'\nport = 'hunter2'",
        "[ami]\nsecret = ['hunter2']",
        "[database]\ndsn = 'mysql://x:hunter2@y'",
        "[database]\npassword = 'hunter2'\npool_size = 0",
        f"{MAIL}{LINK}password = 'hunter2'\nport = 0",
    ],
)
def test_no_error_shows_a_secret(file: Path, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(written(file, text))
    assert "hunter2" not in str(error.value)
    assert error.value.__cause__ is None


def test_no_secret_shows_in_a_repr_or_a_dump(file: Path) -> None:
    settings = load(written(file, SECRETS + "[database]\ndsn = 'postgresql://u:hunter2@h/d'\npassword = 'hunter3'"))
    for text in (repr(settings), str(settings), str(settings.model_dump()), settings.model_dump_json()):
        assert not re.search("hunter|s3cr3t", text)


def test_the_environment_goes_over_credentials_over_the_file(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(file, SECRETS + "[database]\npassword = 'of-the-file'\n")
    (tmp_path / "ami_secret").write_text("of-the-credential\n")
    (tmp_path / "ari_secret").write_text("of-the-credential\n")
    (tmp_path / "database_password").write_text("")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.setenv("AGENTBRIDGE_AMI__SECRET", "of-the-environment")
    monkeypatch.setenv("AGENTBRIDGE_PACE__CEILING", "200")
    settings = load(file)
    assert settings.ami.password() == "of-the-environment"
    assert settings.ari.password() == "of-the-credential"
    assert "of-the-file" in settings.database.url()
    assert settings.pace.ceiling == 200


def test_the_password_of_the_mail_server_may_be_a_credential(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mail_password").write_text("of-the-credential\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    mail = load(written(file, SECRETS + MAIL + LINK + "username = 'desk'\n")).mail
    assert mail.log_in_password() == "of-the-credential"
    assert mail.encryption == "starttls"


@pytest.mark.parametrize(
    ("content", "told"), [("é", "mail.password: must be ASCII"), (None, "mail.password_file: .* can't be read")]
)
def test_the_daemon_starts_without_the_password_of_the_mail_server_which_is_missed_when_it_is_used(
    file: Path, tmp_path: Path, content: str | None, told: str
) -> None:
    password = tmp_path / "mail_password"
    if content:
        password.write_text(content)
    mail = load(written(file, SECRETS + MAIL + LINK + f"username = 'u'\npassword_file = '{password}'\n")).mail
    with pytest.raises(ConfigError, match=told):
        mail.log_in_password()


def test_a_credential_stands_in_for_a_file_that_only_root_may_read(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ami_secret").write_text("of-the-credential")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    settings = load(written(file, "[ami]\nsecret_file = '/not/for/you'\n[ari]\nsecret = 'x'\n"))
    assert settings.ami.password() == "of-the-credential"


def test_a_misspelt_variable_of_the_environment_is_an_error(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENTBRIDGE_AMI__SECERT", "hunter2")
    with pytest.raises(ConfigError, match=r"ami\.secert: there is no such setting; did you mean ami\.secret\?"):
        load(written(file, SECRETS))


def test_a_secret_is_read_from_its_file_without_the_line_end(file: Path, tmp_path: Path) -> None:
    (tmp_path / "s").write_text("from the file\r\n")
    settings = load(written(file, f"[ami]\nsecret_file = '{tmp_path}/s'\n[ari]\nsecret = 'x'\n"))
    assert settings.ami.password() == "from the file"


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("postgresql://u@h/d", "postgresql://u@h/d?password=p%26%3D+%2F"),
        ("postgresql://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require&password=p%26%3D+%2F"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=/run/postgresql&password=p%26%3D+%2F"),
    ],
)
def test_the_password_goes_to_the_driver_whatever_is_in_it(file: Path, dsn: str, url: str) -> None:
    assert load(written(file, SECRETS + f"[database]\ndsn = '{dsn}'\npassword = 'p&= /'")).database.url() == url


def test_the_path_is_the_option_else_the_environment_else_etc(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chosen_path(None) == Path("/etc/agentbridge/agentbridge.toml")
    monkeypatch.setenv("AGENTBRIDGE_CONFIG", "/tmp/other.toml")
    assert chosen_path(None) == Path("/tmp/other.toml")
    assert chosen_path(Path("/tmp/given.toml")) == Path("/tmp/given.toml")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[ami", b"ami = 1\nami = 2"])
def test_a_file_that_is_no_toml_is_an_error_with_its_place(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match="is not"):
        load(file)


def test_secrets_of_a_file_are_found() -> None:
    text = SECRETS + "[database]\ndsn = 'postgresql://u:p@h/d'"
    assert secrets_in(tomllib.loads(text)) == ["ami.secret", "ari.secret", "database.dsn"]
    assert secrets_in({"ami": {"secret_file": "/x"}}) == []


def test_the_shipped_file_loads_and_shows_every_setting_with_its_default(file: Path) -> None:
    text = SHIPPED.read_text("utf-8")
    without_default = "#(secret|password|owner_)"
    secretless = "".join(line for line in text.splitlines(keepends=True) if not re.match(without_default, line))
    shown = tomllib.loads(re.sub(r"^#(?=\w+ = |\[)", "", secretless, flags=re.MULTILINE))
    written(file, text.replace("[ami]", '[ami]\nsecret = "x"').replace("[ari]", '[ari]\nsecret = "x"'))
    defaults = load(file)
    for section, group in Settings.model_fields.items():
        fields: dict[str, Any] = group.annotation.model_fields  # type: ignore[union-attr]
        for key in fields:
            assert re.search(rf"^#({key} = |\[{section}\.{key}\])", text, re.MULTILINE), f"{section}.{key} is not shown"
            if key in shown[section] and (section, key) not in {("node", "name"), ("phone", "prompts")}:
                default = getattr(getattr(defaults, section), key)
                plain = default.get_secret_value() if hasattr(default, "get_secret_value") else default
                assert shown[section][key] == plain, f"{section}.{key}"


def test_every_setting_has_its_unit_and_reason() -> None:
    for section, group in Settings.model_fields.items():
        for key, field in group.annotation.model_fields.items():  # type: ignore[union-attr]
            assert field.description or key.startswith("secret"), f"{section}.{key} says nothing"
