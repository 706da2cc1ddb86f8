"""The diagnosis: why does this secret not rotate, and what exactly is to be changed?

It looks where AWS's guide to troubleshooting rotation tells a person to look, through clients that are handed in: on
Keyturn and in an AWS account alike, reading only. It needs no Keyturn server.

- ``model`` has the words: cause, finding, evidence, remedy, report.
- ``facts`` asks each question at most once and keeps the answers; ``collect`` asks all that one secret needs.
- ``subject`` (what a rotation consists of) and ``case`` (what became of it) give what was collected its names.
- ``checks/`` are pure functions of a case, each deciding one cause.
- ``runner`` runs them, tells causes from consequences and reaches the verdict; ``render`` shows it.
"""
