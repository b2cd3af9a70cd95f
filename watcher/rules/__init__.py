"""Rules: from YAML packs to transitions, in event time (design, section 5; invariants 3, 4, 8, 9 and 10).

The way of a point: `known` puts it into its `columns`, `frame` says what of them can be judged (with `aggregates`),
`timeline` judges it, `alert` compares the verdict with what was already said, `speech` words it, `memory` is what of it
survives a restart, and `engine` holds all of that together. `pack` is the only module that reads what users write.
Nothing here knows a vendor, a store or a clock: instants come in as arguments.
"""
