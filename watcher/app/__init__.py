"""Wiring: from a configuration to a running daemon, so that tests run the whole program in-process.

account   the way of a point: slot -> grant -> look -> points -> verdicts -> record, for one account
recorder  the one transaction of a step, and what is kept while the store fails
daemon    one task group: accounts, outboxes, own troubles, upkeep; reload and drain
snapshot  what the parts know, as the metrics want it
report    what happened, as `demo` and `backtest` print it
service   the daemon as a process: configuration file, listener, signals
systemd   what the service manager is told, and its watchdog fed
trial     one test message
"""
