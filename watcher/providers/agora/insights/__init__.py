"""Data Insights: what days were like, half a day late (dossier section 5).

settings   the plans' numbers, signals <-> the vendor's metrics
client     by time and by group, typed
hourly     a look at the past of a live series, for what is normal
daily      a look: the days that are new, and those that are computed again
"""
