"""The commands that each group of records has alike: create, list, show, set and delete."""

# no `from __future__ import annotations`: typer evaluates annotations, and those here name the group's own arguments

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import typer

from agentbridge.cli import output
from agentbridge.cli.directory import editing
from agentbridge.cli.options import (
    ConfigPath,
    Fields,
    Json,
    Limit,
    Offset,
    Search,
    Sort,
    Yes,
    assignments,
    in_directory,
)
from agentbridge.directory import admin
from agentbridge.directory.kinds import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The commands for one kind of record, such as `agentbridge team`: each method adds some to it.

    metavar: what stands for the record's key in the help.
    """

    app: typer.Typer
    kind: Kind
    metavar: str

    def create(self, help_: str, told: Callable[[admin.Record], str]) -> None:
        """Adds the command `create`; told: returns the text to print about the new record."""
        key_type = Annotated[str, typer.Argument(metavar=self.metavar)]

        @self.app.command("create", help=help_)
        def create(key: key_type, fields: Fields = None, config: ConfigPath = None, as_json: Json = False) -> None:
            made = in_directory(
                config, lambda connection: editing.create(connection, self.kind, key, assignments(fields))
            )
            if as_json:
                output.document(made)
            else:
                output.line(told(made))

    def list(self, help_: str) -> None:
        """Adds the command `list`, which sorts by the key unless told otherwise."""

        @self.app.command("list", help=help_)
        def list_(
            search: Search = "",
            limit: Limit = 100,
            offset: Offset = 0,
            sort: Sort = self.kind.key,
            config: ConfigPath = None,
            as_json: Json = False,
        ) -> None:
            """Prints a page of the records, as a table or as JSON."""
            page = admin.Page(search=search, sort=sort, limit=limit, offset=offset)
            editing.show_list(config, self.kind, page, as_json=as_json)

    def edit(self, *, show: str, delete: str, set_: str = "Change fields; shows what changed, old → new.") -> None:
        """Adds the commands `show`, `set` and `delete`, each with its help text."""
        key_type = Annotated[str, typer.Argument(metavar=self.metavar)]
        keys_type = Annotated[list[str], typer.Argument(metavar=f"{self.metavar}...")]

        @self.app.command("show", help=show)
        def show_(key: key_type, config: ConfigPath = None, as_json: Json = False) -> None:
            editing.show_one(config, self.kind, key, as_json=as_json)

        @self.app.command("set", help=set_)
        def set_fields(key: key_type, fields: Fields, config: ConfigPath = None, as_json: Json = False) -> None:
            editing.set_fields(config, self.kind, key, fields or [], as_json=as_json)

        @self.app.command("delete", help=delete)
        def delete_(keys: keys_type, config: ConfigPath = None, yes: Yes = False) -> None:
            editing.delete(config, self.kind, keys, yes=yes)
