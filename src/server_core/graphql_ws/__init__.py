"""GraphQL over WebSockets for any service that has subscriptions (wire.LiveService), in both sub-protocols.

socket          a WebSocket of Starlette: reads, writes, watches the clock
conversation    one client: its operations, begun and ended as the protocol says
protocol        the two sub-protocols, pure: a message in, what to do out
outbox          what one client still has to be sent: bounded, only the newest result of each subscription

    audience        many watchers of one subscription, for whoever answers them
"""
