"""Database URLs as people write them, and as messages may show them."""

import pytest

from server_core.db.dsn import database_name, is_local, plain_dsn, redacted
from server_core.errors import ConfigError


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("postgresql://u:p@h:5432/d", "postgresql://u:p@h:5432/d"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u@h/d", "postgresql://u@h/d"),
        ("postgresql+psycopg2://u@h/d", "postgresql://u@h/d"),
        ("POSTGRESQL://u@h/d", "postgresql://u@h/d"),
        ("  postgresql://u@h/d\n", "postgresql://u@h/d"),
        ("postgresql://Mixed:p%40%3A%2F%25@h/d", "postgresql://Mixed:p%40%3A%2F%25@h/d"),
        ("postgresql://u:p@:w@h/d", "postgresql://u:p@:w@h/d"),
        ("postgresql://u@/d?host=/var/run/pg&port=5433", "postgresql://u@/d?host=/var/run/pg&port=5433"),
        ("postgresql://u@%2Fvar%2Frun/d", "postgresql://u@%2Fvar%2Frun/d"),
        ("postgresql://u@h/d?sslmode=verify-full", "postgresql://u@h/d?sslmode=verify-full"),
        (
            "postgresql://u@h1:1,h2:2/d?target_session_attrs=primary",
            "postgresql://u@h1:1,h2:2/d?target_session_attrs=primary",
        ),
        ("postgresql://u@[::1]:5432/d", "postgresql://u@[::1]:5432/d"),
        ("postgresql:///d", "postgresql:///d"),
        ("postgresql://", "postgresql://"),
    ],
)
def test_the_driver_gets_what_was_written(written: str, plain: str) -> None:
    assert plain_dsn(written) == plain


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("postgresql://h/d?sslmode=require&channel_binding=require", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?connect_timeout=10&keepalives=1", "postgresql://h/d"),
        ("postgresql+asyncpg://h/d?ssl=verify-ca", "postgresql://h/d?sslmode=verify-ca"),
        ("postgresql+asyncpg://h/d?ssl=true", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?options=-c%20a%3Db", "postgresql://h/d?options=-c%20a%3Db"),
    ],
)
def test_parameters_of_other_drivers_do_not_reach_postgres(written: str, plain: str) -> None:
    assert plain_dsn(written) == plain


@pytest.mark.parametrize("written", ["", "mysql://h/d", "h:5432/d", "host=h dbname=d", "postgresql:/h", "sqlite:///x"])
def test_what_is_not_a_postgres_url_is_refused(written: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.connection_url must start with postgresql://"):
        plain_dsn(written)


@pytest.mark.parametrize("secret", ["pa/ss", "pa[ss"])
def test_an_unencoded_password_is_explained_and_not_shown(secret: str) -> None:
    with pytest.raises(ConfigError, match="percent-encoded") as caught:
        plain_dsn(f"postgresql://user:{secret}@host:5432/d")
    assert secret not in caught.value.message


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("postgresql://u:secret@h:5432/d", "postgresql://u:***@h:5432/d"),
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgresql://h/d", "postgresql://h/d"),
        ("postgresql://u:sec@ret:x@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se/cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql://u:se?cret@h/d", "postgresql://u:***@h/d"),
        ("postgresql:///d?user=u&password=secret&port=1", "postgresql:///d?user=u&password=***&port=1"),
        ("postgresql://h/d?sslpassword=secret", "postgresql://h/d?sslpassword=***"),
        ("postgresql://h/d?a=b&passw%6Frd=secret", "postgresql://h/d?a=b&passw%6Frd=***"),
        ("postgresql+asyncpg://u:secret@/d?host=/tmp", "postgresql://u:***@/d?host=/tmp"),
        ("nonsense secret", "***"),
    ],
)
def test_a_password_is_never_shown(written: str, shown: str) -> None:
    assert redacted(written) == shown


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://u:p@h:1/prefect_server", "prefect_server"),
        ("postgres://u@h/a%2Fb%20%22", 'a/b "'),
        ("postgresql://u@/d?host=/tmp/x&port=1", "d"),
        ("postgresql://u@h1:1,h2:2/d", "d"),
        ("postgresql://u@h?dbname=d", "d"),
        ("postgresql://u@h", None),
        ("postgresql://u@h/", None),
    ],
)
def test_the_name_of_the_database(url: str, name: str | None) -> None:
    assert database_name(url) == name


@pytest.mark.parametrize(
    ("url", "environ", "local"),
    [
        ("postgresql://u:p@localhost:5432/d", {}, True),
        ("postgresql://u@127.0.0.2/d", {"PGHOST": "db"}, True),
        ("postgresql://u@[::1]:1/d", {}, True),
        ("postgresql://u@/d?host=/var/run/postgresql", {}, True),
        ("postgresql://u@%2Fvar%2Frun/d", {}, True),
        ("postgresql:///d", {}, True),
        ("postgresql:///d", {"PGHOST": "db.example.com"}, False),
        ("postgresql:///d", {"PGHOST": "/run"}, True),
        ("postgresql://u:p%40localhost@db/d", {}, False),
        ("postgresql://u@postgres:5432/d", {}, False),
        ("postgresql://u@10.0.0.1/d", {}, False),
        ("postgresql://u@localhost.example.com/d", {}, False),
        ("postgresql://u@/d?host=db", {}, False),
        ("postgresql://u@localhost:1,db:2/d", {}, False),
        ("postgresql://u@127.0.0.1:1,localhost:2/d", {}, True),
        ("postgresql:///d", {"PGHOST": "db", "PGHOSTADDR": "127.0.0.1"}, False),
        ("postgresql:///d", {"PGSERVICE": "production"}, False),
        ("postgresql:///d?service=production", {}, False),
        ("postgresql://localhost/d?service=production", {"PGSERVICE": "production"}, True),
        ("postgresql://db:5432#@localhost/d", {}, False),
    ],
)
def test_only_a_database_of_this_machine_is_local(url: str, environ: dict[str, str], local: bool) -> None:
    assert is_local(url, environ) is local
