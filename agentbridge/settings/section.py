"""What the sections have in common: strict keys, and secrets that come from a file or directly."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

PREFIX = "AGENTBRIDGE_"
"""of the environment's variables"""

Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]
Port = Annotated[int, Field(ge=1, le=65535)]


def absolute(path: Path) -> Path:
    """Returns the path. Raises ValueError for a relative one, which would depend on where the process was started."""
    if not path.is_absolute():
        raise ValueError("must be an absolute path: the daemon runs in another folder than you do")
    return path


def one_line(text: SecretStr) -> SecretStr:
    """Returns the secret. Raises ValueError for one that is empty or not a single printable line."""
    value = text.get_secret_value()
    if not value or not value.isprintable():
        raise ValueError("must be printable text of at least one character")
    return text


def first_line(file: Path) -> str:
    """Returns the text of a file that holds one secret, without the line end. Raises ValueError where it can't be
    read."""
    try:
        return file.read_text("utf-8").strip("\r\n")
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8") from None
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from None


def refuse(key: str, rule: str) -> ValueError:
    return ValueError(f"{key}: {rule}")


SecretFile = Annotated[Path, AfterValidator(absolute)]
Secret = Annotated[SecretStr, AfterValidator(one_line)]


class Section(BaseModel):
    """Base class of a section of the configuration: its fields are the settings, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    def _read_secret(self, key: str) -> None:
        """Sets `key` from the file that `<key>_file` names, unless `key` was given directly.

        Raises ValueError where the file can't be read, or holds no single printable line.
        """
        file: Path | None = getattr(self, f"{key}_file")
        if getattr(self, key) is not None or file is None:
            return
        try:
            secret = one_line(SecretStr(first_line(file)))
        except ValueError as error:
            raise refuse(f"{key}_file", f"{file} {error}") from None
        object.__setattr__(self, key, secret)  # frozen for everybody after this


class Account(Section):
    """Base class of a section with a login whose secret is required; `section` is its name in the configuration
    file."""

    section: ClassVar[str]
    secret: Secret | None = None
    secret_file: SecretFile | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        """Validates: sets the secret from its file where it was not given. Raises ValueError where there is none."""
        self._read_secret("secret")
        if self.secret is None:
            raise refuse(
                "secret",
                f"is missing: set {self.section}.secret_file, the credential {self.section}_secret or "
                f"{PREFIX}{self.section.upper()}__SECRET",
            )
        return self

    def password(self) -> str:
        """Returns the secret in clear text: for the login only, never for a message."""
        return self.secret.get_secret_value() if self.secret else ""
