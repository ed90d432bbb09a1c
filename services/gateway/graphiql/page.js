"use strict";
// Puts GraphiQL on the page. It asks the URL it was loaded from, so that it works wherever a proxy has put the server.
(() => {
  const url = location.pathname;
  const live = new URL(url, location.href);
  live.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const asked = new URLSearchParams(location.search);
  const fetcher = GraphiQL.createFetcher({
    url,
    headers: { "X-Prefect-Interactive-API": "true" },
    wsClient: graphqlWs.createClient({ url: live.href, lazy: true, retryAttempts: 0 }),
  });
  const defaultQuery = `query {
  flow_run(limit: 10, order_by: { created: desc }) {
    id
    name
    state
    flow { name }
  }
}
`;
  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultQuery,
      query: asked.get("query") ?? undefined,
      variables: asked.get("variables") ?? undefined,
      defaultTheme: "light",
    }),
  );
})();
