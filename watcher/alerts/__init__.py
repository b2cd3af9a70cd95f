"""From transition to message: what obliges whom to hear what, in which words, and how it gets there for certain.

    transitions -> route.oblige -> obligations -> pipeline.plan -> drafts -> message.compose -> outbox -> send

Everything before the outbox is a plain function of its arguments that returns a value saying why; the outbox is the one
place with effects and order (`deciding` and `attempts` are its halves, `keeping` its door to the store). `send` is the
only module that imports Apprise, `picture` the only one that draws. What people decide (silences, acknowledgements)
lies on the `desk`; each stage that can keep an alert from being said is a module of its own, asked by `pipeline.plan`.
"""
