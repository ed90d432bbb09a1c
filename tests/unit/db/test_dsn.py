"""Database URLs as people write them, and as messages may show them."""

import pytest

from server_core.db.dsn import plain_dsn, redacted
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
        ("postgresql+asyncpg://u:secret@/d?host=/tmp", "postgresql://u:***@/d?host=/tmp"),
        ("nonsense secret", "***"),
    ],
)
def test_a_password_is_never_shown(written: str, shown: str) -> None:
    assert redacted(written) == shown
