# The verbs, the same at home and in CI. Each is one command that also works without `just`.

# install everything for development into the active virtual environment
setup:
    pip install -e '.[test]'

# format the code
fmt:
    ruff check --fix . && ruff format .

# style and import contracts
lint:
    ruff check . && ruff format --check . && lint-imports

# static types
types:
    mypy

# tests without any I/O
unit:
    pytest tests/unit

# tests of one service on a real Postgres
service:
    pytest -n auto tests/service

# real processes and the real prefect 1.4.1 client; `just integration four`, `just integration replicas`
integration topology="one":
    pytest -n auto tests/integration --topology {{topology}}

# send invented requests and documents to a real server; `just fuzz 10000 --fuzz-seed 1f` repeats a run
fuzz count="10000" *options:
    pytest tests/integration/test_fuzzing.py -s -o faulthandler_timeout=0 --fuzz {{count}} {{options}}

# start the whole server on an embedded Postgres
up:
    prefect-server start

# bring the database to the current revision
migrate:
    prefect-server database upgrade

# the tests on Postgres 11 to 18, out of npm packages: `just postgres-matrix --versions 11,18 -- tests/service -n 2`
postgres-matrix *options:
    python -m tests.support.postgres_matrix {{options}}

# measure each target beside its baseline: `just bench` (forty minutes), `just bench quick` (under three); or one thing: `just bench served`
bench name="full" *options:
    python -m {{ if name =~ '^(full|quick)$' { "bench " + name } else { "bench." + name } }} {{options}}

# build the documentation into site/, failing on dead links
docs:
    mkdocs build --strict
