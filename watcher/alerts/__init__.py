"""From transition to message: what obliges whom to hear what, in which words, and how it gets there for certain.

    transitions -> route.oblige -> obligations -> pipeline.plan -> drafts -> message.compose -> outbox -> send

Everything before the outbox is a plain function of its arguments that returns a value saying why; the outbox is the one
place with effects and order. `send.py` is the only module that imports Apprise. Later stages (silence, inhibit, mute,
repeat, cap) are further small decisions inside `pipeline.plan`, between the open obligations and the groups.
"""
