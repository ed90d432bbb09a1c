// A gateway as they were made of Apollo Server 2 and graphql-tools 4: two remote schemas (DATA_URL, GRAPHQL_URL) are
// introspected, made executable over HTTP links and merged; Express serves the result at http://127.0.0.1:$PORT/.
// Copied beside its packages and started there.
const http = require("http");
const express = require("express");
const fetch = require("node-fetch");
const depthLimit = require("graphql-depth-limit");
const { HttpLink } = require("apollo-link-http");
const { ApolloServer } = require("apollo-server-express");
const { introspectSchema, makeRemoteExecutableSchema, mergeSchemas } = require("graphql-tools");

const agent = new http.Agent({ keepAlive: true });

async function remote(uri) {
  const link = new HttpLink({ uri, fetch, fetchOptions: { agent } });
  return makeRemoteExecutableSchema({ schema: await introspectSchema(link), link });
}

async function main() {
  const schemas = await Promise.all([remote(process.env.DATA_URL), remote(process.env.GRAPHQL_URL)]);
  const server = new ApolloServer({
    schema: mergeSchemas({ schemas }),
    validationRules: [depthLimit(7)],
    introspection: true,
    playground: false,
    subscriptions: false,
  });
  const app = express();
  app.get("/ready", (_, response) => response.send("ok"));
  server.applyMiddleware({ app, path: "/", bodyParserConfig: { limit: "5mb" } });
  app.listen(Number(process.env.PORT), "127.0.0.1");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
