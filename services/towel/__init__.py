"""The maintenance loops: what is due is planned, what is silent is revived or ended (actions.md §5).

A tick, stage by stage: runner (when) → lease (who, of several towels) → grace (may silence be believed?) → a loop of
loops/ (find → act). The decisions are in server_core.rules, the writing in server_core.actions.
"""
