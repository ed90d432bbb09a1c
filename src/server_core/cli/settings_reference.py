"""The declarations of the settings → docs/settings.md. Called by the test that compares the committed file."""

from collections.abc import Iterator

import typer

from server_core.config_values import Setting, all_settings, environment_name

INTRODUCTION = """\
# Settings

Written by `python -m server_core.cli.settings_reference`; a test compares it with the code.
`prefect-server config show` prints what is in force and where it comes from, `prefect-server config check` what is
wrong with it.

Settings are read once, at start: from the environment, else from the user file `~/.prefect_server/config.toml`
(`config.toml` under `PREFECT_SERVER__HOME`; another file: `PREFECT_SERVER__USER_CONFIG_PATH`), else the default holds.

- In the file, `gateway.port` is `port` in the table `[gateway]`. The settings of a service may also stand under
  `[services.<service>]`, for example `[services.graphql]`, as in the legacy server.
- In the environment it is `PREFECT_SERVER__GATEWAY__PORT`: upper case, parts joined by `__`. Names are case-sensitive.
  The value is `true` or `false` in any case, else a Python literal, else a string. An empty value counts as not set.
- `${gateway.port}` in a value stands for the value of that setting; `$${` for a plain `${`.
- Names of the legacy server are aliases. Where several names are set, the environment wins over the file, and then the
  name in the first column over its aliases, in their order here.
- A value that cannot be used ends the program with a line that names the setting and where it came from. An unknown
  name is reported and ignored. `services.*`, `hasura.*`, `telemetry.*`, `state_colors.*`, `env`, `dev` and `debug` of
  the legacy server are accepted in silence; where the tables do not list them, they have no effect. There is no
  telemetry.
- When `database.connection_url` is not set but `database.host`, `.port`, `.name`, `.username` or `.password` is, the
  URL is made of these parts, quoted as needed, with the defaults in brackets for those that are missing.
"""


def reference() -> str:
    """Return docs/settings.md."""
    return INTRODUCTION + "".join(_tables())


def _tables() -> Iterator[str]:
    section = None
    for setting in all_settings():
        own = setting.key.rpartition(".")[0]
        if own != section:
            section = own
            title = f"`{section}`" if section else "Top level"
            yield f"\n## {title}\n\n"
            yield "| setting | environment | default | what it does | aliases |\n|---|---|---|---|---|\n"
        aliases = (*setting.aliases, *setting.env)
        yield (
            f"| `{setting.key}` | `{environment_name(setting.key)}` | {_default(setting)} |"
            f" {setting.doc} | {', '.join(f'`{alias}`' for alias in aliases)} |\n"
        )


def _default(setting: Setting) -> str:
    value = setting.default
    if value is None:
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    typer.echo(reference(), nl=False)
