"""Settings as one frozen value: read at the door (load_settings), handed down, never looked up again.

Each setting has one key (`graphql.port`), the environment name `PREFECT_SERVER__GRAPHQL__PORT`, and possibly aliases
from the legacy server (actions.md §8.2). Precedence: environment > user file > default. What is declared here is all
there is to know about a setting: server_core.config_loader reads, converts and checks by it, docs/settings.md lists it.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_HOME = Path("~/.prefect_server")
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
LOG_FORMATS = ("auto", "json", "console")


def _setting(
    default: Any,
    doc: str,
    *,
    keys: tuple[str, ...] = (),
    env: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> Any:
    """Declare a setting: its default, what it does, legacy keys and environment names for it, which values it takes."""
    return field(
        default=default,
        repr=not secret,
        metadata={
            "doc": doc,
            "keys": keys,
            "env": env,
            "least": least,
            "most": most,
            "choices": choices,
            "secret": secret,
        },
    )


def _port(default: int, *, keys: tuple[str, ...] = (), env: tuple[str, ...] = ()) -> Any:
    return _setting(default, "Port to listen on; 0: any free one.", keys=keys, env=env, least=0, most=65535)


@dataclass(frozen=True, kw_only=True)
class DatabaseSettings:
    """How to reach Postgres; with no `connection_url` an embedded one is run."""

    connection_url: str | None = _setting(
        None, "DSN of the database; empty: `start` runs an embedded Postgres under `home`.", secret=True
    )
    host: str | None = _setting(
        None,
        "With `port`, `name`, `username` or `password`: makes the DSN when `connection_url` is empty (localhost).",
    )
    port: int | None = _setting(None, "Port of that database (5432).", least=1, most=65535)
    name: str | None = _setting(None, "Name of that database (prefect_server).")
    username: str | None = _setting(None, "Who connects to that database (prefect).")
    password: str | None = _setting(None, "Password for that database.", secret=True)
    pool_size: int = _setting(10, "Most connections one service keeps to the database.", least=1)
    direct_url: str | None = _setting(
        None,
        "DSN of Postgres itself where `connection_url` leads through a pooler: for migrations, leases and the"
        " notifications of live queries (`connection_url`).",
        secret=True,
    )
    statement_cache_size: int | None = _setting(
        None,
        "Prepared statements kept per connection (200; 0 through a pooler, unless it is PgBouncer 1.21 or later with"
        " `max_prepared_statements`).",
        least=0,
    )
    connect_retry_seconds: float = _setting(1.0, "Pause between attempts while the database is not there yet.", least=0)
    connect_timeout_seconds: float = _setting(
        0.0, "Give up waiting for the database after this long; 0: never.", least=0
    )
    upgrade_wait_seconds: float = _setting(
        300.0, "Longest that an upgrade of the schema waits for another program's transaction; 0: for ever.", least=0
    )


@dataclass(frozen=True, kw_only=True)
class ApiSettings:
    """How the outside world names this server."""

    url: str = _setting("http://localhost:4200", "Base of the links in notifications.")


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """The one endpoint that clients know."""

    host: str = _setting(
        "127.0.0.1",
        "Address to listen on.",
        keys=("services.apollo.host", "services.host"),
        env=("APOLLO_API_BIND_ADDRESS",),
    )
    port: int = _port(4200, keys=("services.apollo.port",), env=("APOLLO_API_PORT",))
    data_url: str = _setting(
        "http://127.0.0.1:3000/v1alpha1/graphql",
        "The data API, when it runs as a process of its own (default: this host or `hasura.host`, at `data.port`).",
        keys=("hasura.graphql_url",),
        env=("HASURA_API_URL",),
    )
    graphql_url: str = _setting(
        "http://127.0.0.1:4201/graphql/",
        "The actions, when they run as a process of their own (by default at `graphql.port` and `graphql.path`).",
        env=("PREFECT_API_URL",),
    )
    body_limit_bytes: int = _setting(
        5 * 1024 * 1024, "Largest request body; `5mb` works too.", env=("APOLLO_API_BODY_LIMIT",), least=1
    )
    compression: bool = _setting(True, "Send larger answers in gzip to clients that take it.")
    depth_limit: int = _setting(7, "Deepest selection; a root field has depth 0.", least=0)
    token_limit: int = _setting(
        100_000, "Longest document, in tokens; that of the data API should not be less (`data.token_limit`).", least=1
    )
    alias_limit: int = _setting(1_000, "Most aliases in a document.", least=0)
    plan_cache: bool = _setting(True, "Remember how documents were planned. Off: plan each anew, to find faults.")
    keep_alive_seconds: int = _setting(
        5, "Idle connections close after this long.", env=("APOLLO_KEEPALIVE_TIMEOUT",), least=0
    )
    data_timeout_seconds: float = _setting(
        60.0, "Longest wait for an answer of the data API, when it is a process of its own.", least=0.001
    )
    graphql_timeout_seconds: float = _setting(
        60.0, "Longest wait for an answer of the actions, when they are a process of their own.", least=0.001
    )
    connect_timeout_seconds: float = _setting(5.0, "Longest wait for a connection to one of them.", least=0.001)
    data_connections: int = _setting(64, "Most requests under way to the data API's process; others wait.", least=1)
    graphql_connections: int = _setting(64, "Most requests under way to the actions' process; others wait.", least=1)
    reads_at_once: int = _setting(
        8,
        "Most queries of the data API under way at a time, best its `pool_size`. A quarter of them is kept for flow"
        " runs and agents, whose queries also come before those of others that wait.",
        least=1,
    )
    reads_waiting: int = _setting(
        1000,
        "Most queries that wait for their turn, and as many of flow runs and agents; more are answered 503 with"
        " `Retry-After`, unasked.",
        least=0,
    )
    reads_wait_seconds: float = _setting(
        5.0, "A query that waits longer for its turn is answered in the same way.", least=0
    )
    playground: bool = _setting(
        True, "Answer a browser's GET with GraphiQL, a query page.", env=("APOLLO_API_ENABLE_PLAYGROUND",)
    )
    base_path: str = _setting(
        "", "Prefix below which a proxy shows the server (`/prefect`), whether it takes it off the path or not."
    )
    trusted_proxies: str = _setting(
        "127.0.0.1",
        "Whose `X-Forwarded-*` and `Forwarded` headers are believed: addresses, networks, comma-separated; `*`: all.",
    )
    tls_cert: Path | None = _setting(  # noqa: RUF009
        None, "Certificate (chain) in PEM; the server then speaks HTTPS."
    )
    tls_key: Path | None = _setting(None, "Its key in PEM, unless it is in the same file.")  # noqa: RUF009
    tls_key_password: str | None = _setting(None, "Password of the key.", secret=True)
    introspection: bool = _setting(True, "Answer questions about the schema (`__schema`, `__type`).")


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The data API: GraphQL queries over the tables."""

    host: str = _setting("127.0.0.1", "Address to listen on.", keys=("services.host",))
    port: int = _port(3000, keys=("hasura.port",))
    null_collapse: bool = _setting(True, "`{_eq: null}` restricts nothing, as the legacy server was run.")
    statement_timeout_seconds: float = _setting(
        30.0, "Longest time one query may take in Postgres; 0: no limit.", least=0
    )
    pool_size: int = _setting(8, "Most connections the data API keeps to the database.", least=1)
    waiting: int = _setting(
        1000, "Most requests that wait for one of these connections; more are answered 503, unasked.", least=0
    )
    wait_seconds: float = _setting(
        5.0, "A request that waits longer for a connection is answered in the same way.", least=0
    )
    depth_limit: int = _setting(50, "Deepest selection; a root field has depth 0.", least=0)
    node_limit: int = _setting(
        10_000, "Most fields that one operation selects, fragments counted where spread.", least=1
    )
    document_limit_bytes: int = _setting(16 * 1024 * 1024, "Longest document, without its variables.", least=1)
    token_limit: int = _setting(100_000, "Longest document, in tokens.", least=1)
    alias_limit: int = _setting(1_000, "Most aliases in a document.", least=0)
    plan_cache: bool = _setting(True, "Remember how documents were planned. Off: plan each anew, to find faults.")
    mutations: bool = _setting(
        False, "Offer `insert_*`, `update_*` and `delete_*` on the tables too (up to `pool_size` more connections)."
    )


@dataclass(frozen=True, kw_only=True)
class LiveSettings:
    """Subscriptions, and the WebSockets of gateway and data API."""

    min_interval_seconds: float = _setting(
        0.1, "A subscription is answered anew at most this often, however much changes.", least=0
    )
    poll_interval_seconds: float = _setting(
        1.0,
        "Pause between looks at what a subscription reads where Postgres tells of no changes (views, functions …).",
        least=0.01,
    )
    keep_alive_seconds: float = _setting(
        10.0, "Pause between two messages that show that a WebSocket is alive.", least=0.01
    )
    init_timeout_seconds: float = _setting(
        10.0, "A WebSocket on which a client does not begin within this time is closed.", least=0.01
    )
    send_timeout_seconds: float = _setting(
        30.0, "A WebSocket whose client does not read for so long is closed.", least=0.01
    )
    max_sockets: int = _setting(1000, "Most WebSockets one service keeps open at a time.", least=0)
    max_operations_per_socket: int = _setting(100, "Most subscriptions and requests open on one of them.", least=1)


@dataclass(frozen=True, kw_only=True)
class GraphQLSettings:
    """The actions: mutations and a few computed queries."""

    host: str = _setting("127.0.0.1", "Address to listen on.", keys=("services.host",))
    port: int = _port(4201)
    path: str = _setting("/graphql/", "Path of the endpoint.")
    body_limit_bytes: int = _setting(16 * 1024 * 1024, "Largest request body of the actions.", least=1)
    keep_alive_seconds: int = _setting(
        5, "Idle connections close after this long.", keys=("services.graphql.timeout_keep_alive",), least=0
    )
    plan_cache: bool = _setting(
        True,
        "Remember how to answer the operations that clients send; off: each is read and checked anew, and costs about"
        " five times as much.",
    )
    keep_schedule_off_seconds: float = _setting(
        0.0,
        "When a flow whose schedule was switched off is registered anew, its new version stays off: requests to turn it"
        " on are not obeyed for so long after the registration, because `flow.register()` sends one by itself (60 is"
        " enough); 0: registering turns it on.",
        least=0,
    )


@dataclass(frozen=True, kw_only=True)
class TowelSettings:
    """The maintenance loops."""

    host: str = _setting("127.0.0.1", "Address of `/health` and `/metrics`.", keys=("services.host",))
    port: int = _port(4202)
    loops: str | None = _setting(
        None,
        "Loops to run, of scheduler, lazarus, zombie_killer, removal, retention and statistics, comma-separated (all).",
    )
    max_scheduled_runs_per_flow: int = _setting(10, "Runs planned ahead per flow.", least=1, most=10_000)
    scheduler_interval_seconds: float = _setting(
        150.0, "From the start of one scheduler pass to the next.", least=0.001, most=1e9
    )
    lazarus_interval_seconds: float = _setting(
        600.0, "From the start of one lazarus pass to the next.", least=0.001, most=1e9
    )
    zombie_killer_interval_seconds: float = _setting(
        120.0, "From the start of one zombie killer pass to the next.", least=0.001, most=1e9
    )
    removal_interval_seconds: float = _setting(
        10.0, "From the start of one removal pass to the next; it goes on with large deletions.", least=0.001, most=1e9
    )
    retention_interval_seconds: float = _setting(
        300.0, "From the start of one retention pass to the next.", least=0.001, most=1e9
    )
    statistics_interval_seconds: float = _setting(
        10.0,
        "From the start of one look for tables that have outgrown what Postgres knows of them, which are then analyzed,"
        " to the next.",
        least=0.001,
        most=1e9,
    )
    interval_jitter: float = _setting(
        0.1, "Part of an interval by which a pass may begin early, at random, so that loops spread.", least=0, most=0.9
    )
    heartbeat_timeout_seconds: float = _setting(
        600.0,
        "A run is silent when its last heartbeat is older than this. A flow group may have its own.",
        least=0,
        most=1e9,
    )
    submitted_timeout_seconds: float | None = _setting(
        None,
        "The same for a Submitted run, whose process may take long to start (`heartbeat_timeout_seconds`)."
        " A flow group may have its own.",
        least=0,
        most=1e9,
    )
    resurrection_attempt_limit: int = _setting(
        3,
        "Times lazarus reschedules one run; 0: it fails at once. A flow group may have its own.",
        keys=("services.lazarus.resurrection_attempt_limit",),
        least=0,
        most=2**31 - 1,
    )
    silent_cancelling_state: str = _setting(
        "Failed",
        "Where a run ends that falls silent while Cancelling: `Failed`, or `Cancelled`, which takes its unfinished task"
        " runs along. A flow group may have its own.",
        choices=("Failed", "Cancelled"),
    )
    lazarus_batch_size: int = _setting(500, "Most flow runs one lazarus pass looks at.", least=1, most=1_000_000)
    zombie_killer_batch_size: int = _setting(
        5000, "Most task runs, and most flow runs, one zombie killer pass looks at.", least=1, most=1_000_000
    )


@dataclass(frozen=True, kw_only=True)
class RemovalSettings:
    """Deleting flows, projects and tenants that have very many runs."""

    call_seconds: float = _setting(
        1.0, "A call that deletes works for this long; the towel deletes what is left then.", least=0
    )


def _days(doc: str) -> Any:
    return _setting(None, doc, least=0)


@dataclass(frozen=True, kw_only=True)
class RetentionSettings:
    """What the towel deletes when it is old; nothing unless days are set. Fractions of a day are fine."""

    logs_days: float | None = _days("Log lines of finished runs go after so many days; empty or 0: never.")
    debug_logs_days: float | None = _days("The same for level DEBUG alone; empty: as `logs_days`.")
    info_logs_days: float | None = _days("The same for level INFO alone; empty: as `logs_days`.")
    flow_runs_days: float | None = _days(
        "Finished flow runs go, with all that belongs to them, so many days after they last changed; empty or 0: never."
    )
    success_flow_runs_days: float | None = _days("The same for successful ones alone; empty: as `flow_runs_days`.")
    failed_flow_runs_days: float | None = _days("The same for failed ones alone; empty: as `flow_runs_days`.")
    cancelled_flow_runs_days: float | None = _days("The same for cancelled ones alone; empty: as `flow_runs_days`.")
    kept_flow_runs: int = _setting(
        10, "So many of the newest finished runs of each flow stay, however old.", least=0, most=2**31 - 1
    )
    artifacts_days: float | None = _days("Artifacts of finished runs go after so many days; empty or 0: never.")
    messages_days: float | None = _days("Messages go after so many days; empty or 0: never.")
    agents_days: float | None = _days("Agents go that were silent for so many days; empty or 0: never.")
    dry_run: bool = _setting(False, "Delete nothing; say in the log what would go.")
    pass_seconds: float = _setting(60.0, "Longest time one pass may take.", least=0.001)


@dataclass(frozen=True, kw_only=True)
class HookSettings:
    """How cloud hooks are delivered."""

    forbid_private_targets: bool = _setting(
        False,
        "Refuse hooks that lead to this machine or a private network (proxies of the environment are not used then).",
    )
    poll_interval_seconds: float = _setting(
        5.0, "Pause between looks for deliveries that are due, besides those just caused.", least=0.05
    )
    max_concurrent: int = _setting(50, "Most requests one service sends at a time.", least=2)
    max_concurrent_per_hook: int = _setting(4, "Most of them for one hook.", least=1)
    retry_seconds: float = _setting(5.0, "Pause before the second attempt; it doubles with each further one.", least=0)
    retry_max_seconds: float = _setting(600.0, "Longest pause between two attempts.", least=0)
    max_attempts: int = _setting(200, "A delivery that failed so often is given up.", least=1)
    max_age_seconds: float = _setting(86_400.0, "So is one that would be tried longer after its event.", least=0)
    retention_seconds: float = _setting(
        604_800.0, "Records of deliveries are removed when they have been over for this long.", least=0
    )


@dataclass(frozen=True, kw_only=True)
class LoggingSettings:
    """Log output."""

    level: str = _setting("INFO", "Least severe level that is written.", choices=LOG_LEVELS)
    format: str = _setting(
        "auto",
        "`json`: one object per line; `console`: for a person; `auto`: console at a terminal, else JSON.",
        choices=LOG_FORMATS,
    )
    access_log: bool = _setting(False, "Write one line per HTTP request, with its id, the runs it names and its time.")


@dataclass(frozen=True, kw_only=True)
class TracingSettings:
    """OpenTelemetry traces; nothing is sent anywhere unless an endpoint is set."""

    endpoint: str | None = _setting(
        None,
        "Where spans go: the URL of an OTLP/HTTP collector, for example `http://localhost:4318/v1/traces`; empty: none"
        " are made. Needs `pip install 'prefect-server[otel]'`.",
    )
    sample_ratio: float = _setting(
        1.0, "Part of the requests that are traced; what came with a trace follows its decision.", least=0, most=1
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set, by section."""

    home: Path = _setting(_HOME, "Folder of the embedded database and the user file.")  # noqa: RUF009
    core_version_cutoff: str = _setting("0.6.1", "Flows made by an older client library are refused.")
    queued_runs_returned_limit: int = _setting(25, "Most run ids one `get_runs_in_queue` returns.", least=1)
    insert_many_batch_size: int = _setting(200, "Rows per insert of tasks and edges.", least=1)
    artifacts_max_payload_bytes: int = _setting(1_000_000, "Largest artifact.", least=1)
    logs_max_payload_bytes: int = _setting(
        64 * 1024 * 1024,
        "Largest body of a `write_run_logs` mutation, where that is more than `gateway.body_limit_bytes`: clients send"
        " a batch that is refused again and again, and no later one.",
        least=1,
    )
    states_max_payload_bytes: int = _setting(1_000_000, "Largest serialized state.", least=1)
    database: DatabaseSettings = field(default_factory=DatabaseSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    data: DataSettings = field(default_factory=DataSettings)
    live: LiveSettings = field(default_factory=LiveSettings)
    graphql: GraphQLSettings = field(default_factory=GraphQLSettings)
    towel: TowelSettings = field(default_factory=TowelSettings)
    removal: RemovalSettings = field(default_factory=RemovalSettings)
    retention: RetentionSettings = field(default_factory=RetentionSettings)
    hooks: HookSettings = field(default_factory=HookSettings)
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    tracing: TracingSettings = field(default_factory=TracingSettings)
