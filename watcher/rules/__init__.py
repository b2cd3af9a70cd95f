"""Rules: from YAML packs to transitions, in event time (design, section 5; invariants 3, 4, 8, 9 and 10).

The way of a point: `known` puts it into its `columns`, `board` says which alerts it concerns and makes the `ground`
that they are judged on: a `frame` of one series (with `aggregates`), or several `joined`. `timeline` judges it, `alert`
compares the verdict with what was already said, `speech` words it, `memory` is what of it survives a restart (`recall`
reads the points back), and `engine` holds all of that together. `view` is an alert as others see it.
`pack` makes `rule`s of what users write, by `shapes` and `sense`; `rehearsal` runs the tests that users write of them.
Nothing here knows a vendor, a store or a clock: instants come in as arguments.
"""
