"""Rules: from YAML packs to transitions, in event time (design, section 5; invariants 3 and 4).

The way of a point: `columns` keep what the vendor said, `frame` says what of it can be judged, `timeline` judges it,
`alert` compares the verdict with what was already said, `engine` holds all of that together. `pack` is the only module
that reads text. Nothing here knows a vendor, a store or a clock: instants come in as arguments.
"""
