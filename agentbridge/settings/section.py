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
    """ValueError for a path that depends on where the process was started."""
    if not path.is_absolute():
        raise ValueError("must be an absolute path: the daemon runs in another folder than you do")
    return path


def one_line(text: SecretStr) -> SecretStr:
    """Returns the secret. Raises ValueError for what is empty or not one printable line."""
    value = text.get_secret_value()
    if not value or not value.isprintable():
        raise ValueError("must be printable text of at least one character")
    return text


def first_line(file: Path) -> str:
    """Returns the text of a file that holds one secret. Raises ValueError where it can't be read."""
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
    """A section of the configuration: its fields are the settings, and an unknown one is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, hide_input_in_errors=True)

    def _read_secret(self, key: str) -> None:
        """Takes `key` from the file that `<key>_file` names, unless it was given directly."""
        file: Path | None = getattr(self, f"{key}_file")
        if getattr(self, key) is not None or file is None:
            return
        try:
            secret = one_line(SecretStr(first_line(file)))
        except ValueError as error:
            raise refuse(f"{key}_file", f"{file} {error}") from None
        object.__setattr__(self, key, secret)  # frozen for everybody after this


class Account(Section):
    """A log-in that can't be without its secret; `section` is its name in the file."""

    section: ClassVar[str]
    secret: Secret | None = None
    secret_file: SecretFile | None = None

    @model_validator(mode="after")
    def _checked(self) -> Self:
        """Takes the secret from its file where it was not given; ValueError where there is none."""
        self._read_secret("secret")
        if self.secret is None:
            raise refuse(
                "secret",
                f"is missing: set {self.section}.secret_file, the credential {self.section}_secret or "
                f"{PREFIX}{self.section.upper()}__SECRET",
            )
        return self

    def password(self) -> str:
        """For the log-in alone, never for a message."""
        return self.secret.get_secret_value() if self.secret else ""
