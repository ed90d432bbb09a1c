// Serves the database of PGHOST, PGPORT, PGUSER and PGDATABASE at http://127.0.0.1:$PORT/, as PostGraphile is meant to be
// run in production: no GraphiQL, no explain, no watching, no WebSockets. Copied beside its packages and started there.
import { createServer } from "node:http";
import pg from "pg";
import { postgraphile } from "postgraphile";
import { makePgService } from "postgraphile/adaptors/pg";
import { grafserv } from "postgraphile/grafserv/node";
import { PostGraphileAmberPreset } from "postgraphile/presets/amber";
import { PostGraphileConnectionFilterPreset } from "postgraphile-plugin-connection-filter";

const pool = new pg.Pool({ max: Number(process.env.POOL) });
const instance = postgraphile({
  extends: [PostGraphileAmberPreset, PostGraphileConnectionFilterPreset],
  // Without it only columns with an index can be filtered and ordered by.
  disablePlugins: ["PgIndexBehaviorsPlugin"],
  pgServices: [makePgService({ pool, schemas: ["public"] })],
  grafserv: { graphqlPath: "/", graphiql: false, graphiqlOnGraphQLGET: false, websockets: false, watch: false },
  grafast: { explain: false },
  schema: { connectionFilterRelations: true },
});
const server = createServer();
await instance.createServ(grafserv).addTo(server);
await instance.getSchema();
server.listen(Number(process.env.PORT), "127.0.0.1");
