"""Live queries: the answer at once, and again when it changes, over WebSockets.

    socket          a WebSocket of Starlette: reads, writes, watches the clock
    conversation    one client: its operations, begun and ended as the protocol says
    protocol        the two sub-protocols, pure: a message in, what to do out
    outbox          what one client still has to be sent: bounded, only the newest result of each subscription
    hub             the live queries: one per statement and parameters, however many watch it
    listener        LISTEN: which tables changed

A change, room by room: trigger → NOTIFY → listener → hub (which live queries read that table? ask again; are the bytes
others than before?) → outbox of each watcher → socket.
"""
