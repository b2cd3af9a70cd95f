"""The daemon's own schedule, ledger, rules and alert path over recorded points, in virtual time (design, section 8).

recording   a CSV of points as columns, and what was wrong with it
source      the vendor as the recording knew it, seen only through queries and the vendor's delay
memory      the state in memory: nothing is opened, nothing outlives the run
replay      the driver: steps accounts and outboxes on a clock set by hand
unlimited   what the same rules would have paged with no budget and no delay
compare     two configurations over the same points
"""
