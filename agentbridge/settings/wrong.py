"""What is wrong with the configuration, in words that name the key and the rule and never show a value."""

from __future__ import annotations

import difflib
import re

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails


def details(error: ValidationError) -> list[ErrorDetails]:
    return error.errors(include_url=False, include_input=False)


def error_line(settings: type[BaseModel], detail: ErrorDetails) -> str:
    """Returns the line for one validation error of the configuration: the setting's key and the rule, never the
    value."""
    key = ".".join(str(part) for part in detail["loc"])
    match detail["type"]:
        case "extra_forbidden":
            return f"{key}: there is no such setting{_near(settings, detail['loc'])}"
        case "value_error":
            rule = str(detail["ctx"]["error"])
            # a rule of a whole section names its key itself
            return f"{key}.{rule}" if re.match(r"[a-z_]+: ", rule) else f"{key}: {rule}"
        case _:
            return f"{key}: {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _near(settings: type[BaseModel], location: tuple[int | str, ...]) -> str:
    """Returns the end of the message about an unknown setting: the known one that is most like it, else all known
    ones."""
    *group, name = (str(part) for part in location)
    model = settings
    for part in group:
        annotation = model.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return ""
        model = annotation
    near = difflib.get_close_matches(name, model.model_fields, n=1)
    return f"; did you mean {'.'.join([*group, near[0]])}?" if near else f"; known are {', '.join(model.model_fields)}"
