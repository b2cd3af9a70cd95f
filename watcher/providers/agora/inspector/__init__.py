"""Call Inspector: what single calls, users and streams were like, minutes late (dossier section 8).

    settings   what users write, the plans' numbers
    client     the six calls, typed
    rows       bodies of lists, sessions and the three statistics
    streams    bodies of metrics: the values of every stream, by metric id
    choice     which calls and users are read, and in which order
    figures    from streams to signals
    share      what a sample is a share of, minute by minute
    lossunit   whether packet loss can be in the unit that is configured
    edge       how near to now, and how far back, may be asked
    sample     a look: list, sessions and metrics of the chosen calls, within the user's cap
    callview   one call as a whole, for whoever asks for it
    reading    the requests of one such question, in the order of their worth
    person     one user of a call, minute by minute

Agora has packet loss here only, and 61 requests tell all of a call of 1,000 users. So what is judged is a sample, with
its share on the gauge and in the message, and the cap on requests is the user's to set.
"""
