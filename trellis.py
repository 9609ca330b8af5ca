"""The console: hangs each folder's own commands under one name, imports them lazily, decides nothing."""

import importlib

import click

COMMANDS = {
    "up": "api.cli",
    "status": "api.cli",
    "bots": "api.cli",
    "club": "api.club_cli",
    "mail": "api.cli",
    "migrate": "actors.cli",
    "record": "actors.cli",
    "keys": "actors.cli",
    "audit": "actors.audit_cli",
    "devnet": "actors.devnet_cli",
    "simulate": "benchmarks.cli",
}


class LazyCommands(click.Group):
    """A group whose commands are imported when they are asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the commands in the order in which people need them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command."""
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command


@click.command(
    cls=LazyCommands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="First time? `make run` starts everything on paper money; `.env.example` documents the settings.",
)
@click.version_option(package_name="trellis")
def main() -> None:
    """Trellis: grid bots that show their work."""


if __name__ == "__main__":
    main()
