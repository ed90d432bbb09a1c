"""Live queries: the answer at once, and again when it changes.

    hub             the live queries: one per statement and parameters, however many watch it
    listener        LISTEN: which tables changed

A change, room by room: trigger → NOTIFY → listener → hub (which live queries read that table? ask again; are the bytes
others than before?) → each watcher: a client on a WebSocket (server_core.graphql_ws), or the gateway in this process.
"""
