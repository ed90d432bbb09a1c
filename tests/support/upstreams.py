"""Two small real GraphQL services with the manners of ours, for the gateway to stand in front of."""

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping
from functools import cache
from typing import Any

from graphql import GraphQLSchema, build_schema, execute, introspection_from_schema, parse, print_schema, validate

from server_core.errors import ServerError
from server_core.observe import server_version
from server_core.wire import End, GraphQLRequest, GraphQLResponse, ServiceStatus, Watcher, schema_digest
from services.gateway.stitch import Introspection, StitchedSchema, stitch

DATA_SDL = """
schema { query: query_root mutation: mutation_root subscription: subscription_root }
scalar uuid
scalar jsonb
input flow_bool_exp { _and: [flow_bool_exp!] name: String_comparison_exp id: uuid_comparison_exp }
input String_comparison_exp { _eq: String _in: [String!] }
input uuid_comparison_exp { _eq: uuid }
type flow { id: uuid! name: String! project: project parameters: jsonb flows: [flow!]! }
type project { id: uuid! name: String! flows: [flow!]! }
type flow_mutation_response { affected_rows: Int! }
type query_root {
  flow(where: flow_bool_exp, limit: Int): [flow!]!
  flow_by_pk(id: uuid!): flow
  project(limit: Int): [project!]!
}
type mutation_root {
  delete_flow(where: flow_bool_exp!): flow_mutation_response
  delete_flow_by_pk(id: uuid!): flow
  insert_flow(name: String!): flow_mutation_response
}
type subscription_root { flow: [flow!]! flow_by_pk(id: uuid!): flow }
"""

ACTIONS_SDL = """
scalar UUID
scalar JSON
type Query { hello: String api: api_info echo(value: JSON, id: UUID, count: Int): JSON }
type api_info { version: String backend: String }
input delete_flow_input { flow_id: UUID! }
input name_input { name: String! flow_id: UUID labels: [String!] }
input write_run_logs_input { logs: [write_run_log_input!]! }
input write_run_log_input { message: String }
type success_payload { success: Boolean error: String }
type Mutation {
  "Deletes one flow."
  delete_flow(input: delete_flow_input!): success_payload
  set_name(input: name_input!): success_payload
  write_run_logs(input: write_run_logs_input!): success_payload
}
"""

Resolver = Callable[..., Any]
Witness = Callable[[GraphQLRequest], Awaitable[None]]


@cache
def stitched(data: str = DATA_SDL, actions: str = ACTIONS_SDL) -> StitchedSchema:
    """Stitch two schemas given as SDL; what is returned is shared, so nobody may change it."""
    return stitch(shown(data), shown(actions))


@cache
def shown(sdl: str) -> Introspection:
    """Return what a service with this schema answers to the introspection query; shared likewise."""
    introspection: Introspection = introspection_from_schema(build_schema(sdl))
    return introspection


class SchemaService:
    """A LiveService over an SDL and resolvers named `Type.field`; subscriptions are told what a test says.

    Args:
        sdl: the schema.
        resolvers: functions of the field's arguments; a plain value is a constant.
        whole: fail a whole request for one error, with the data service's body; else answer what can be answered.
        witness: awaited before each request is executed.
    """

    def __init__(
        self, sdl: str, resolvers: Mapping[str, Any], *, whole: bool = False, witness: Witness | None = None
    ) -> None:
        self.schema: GraphQLSchema = build_schema(sdl)
        self.requests: list[GraphQLRequest] = []
        self.followed: dict[Watcher, GraphQLRequest] = {}
        self.running = False
        self.version = server_version()
        self.looks = 0
        self.introspections = 0
        self._whole = whole
        self._witness = witness
        for name, resolver in resolvers.items():
            type_name, _, field_name = name.partition(".")
            self.schema.type_map[type_name].fields[field_name].resolve = _resolve(resolver)  # type: ignore[attr-defined]

    async def start(self) -> None:
        """Note that it was started."""
        self.running = True

    async def stop(self) -> None:
        """Note that it was stopped."""
        self.running = False

    async def status(self) -> ServiceStatus:
        """Tell that it is well, and which schema it has."""
        self.looks += 1
        return ServiceStatus(ready=True, version=self.version, schema=schema_digest(print_schema(self.schema)))

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer as our services do: errors before data, 400 for what was not executed."""
        if "__schema" in request.query:
            self.introspections += 1
        else:
            self.requests.append(request)
        if self._witness is not None:
            await self._witness(request)
        document = parse(request.query)
        problems = validate(self.schema, document)
        if problems:
            return _response({"errors": [self._shaped(problem) for problem in problems]}, 400)
        result = execute(
            self.schema,
            document,
            variable_values=dict(request.variables),
            operation_name=request.operation_name,
            context_value=request,
        )
        if inspect.isawaitable(result):
            result = await result
        errors = getattr(result, "errors", None)
        data = getattr(result, "data", None)
        if not errors:
            return _response({"data": data}, 200)
        if self._whole:
            return _response({"errors": [self._shaped(errors[0])]}, 400)
        return _response({"errors": [self._shaped(error) for error in errors], "data": data}, 200)

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Begin a subscription, unless it does not fit the schema; `followed` holds who is to be told."""
        problems = validate(self.schema, parse(request.query))
        if problems:
            return _response({"errors": [self._shaped(problem) for problem in problems]}, 400)
        self.followed[watcher] = request

        def end() -> None:
            self.followed.pop(watcher, None)

        return end

    def _shaped(self, error: Any) -> dict[str, Any]:
        cause = error.original_error
        code = cause.code if isinstance(cause, ServerError) else None
        if self._whole:
            return {"extensions": {"path": "$", "code": code or "validation-failed"}, "message": error.message}
        shaped = dict(error.formatted)
        if code:
            shaped["extensions"] = {"code": code}
        return shaped


class Overridden:
    """A service that shows its schema, and answers everything else by a function."""

    def __init__(self, service: SchemaService, answer: Callable[[GraphQLRequest], GraphQLResponse]) -> None:
        self._service = service
        self._answer = answer

    async def start(self) -> None:
        """Start the service."""
        await self._service.start()

    async def stop(self) -> None:
        """Stop the service."""
        await self._service.stop()

    async def status(self) -> ServiceStatus:
        """Tell what the service tells."""
        return await self._service.status()

    async def execute(self, request: GraphQLRequest) -> GraphQLResponse:
        """Answer by the function, unless it is the schema that is asked for."""
        if "__schema" in request.query:
            return await self._service.execute(request)
        return self._answer(request)

    async def subscribe(self, request: GraphQLRequest, watcher: Watcher) -> GraphQLResponse | End:
        """Pass a subscription on to the service."""
        return await self._service.subscribe(request, watcher)


def _resolve(resolver: Any) -> Resolver:
    def resolve(_source: object, _info: object, **arguments: Any) -> Any:
        return resolver(**arguments) if callable(resolver) else resolver

    return resolve


def _response(document: Mapping[str, Any], status: int) -> GraphQLResponse:
    return GraphQLResponse(body=json.dumps(document, separators=(",", ":")).encode(), status=status)
