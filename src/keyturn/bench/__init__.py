"""A bench for rotation functions: does this one keep its contract, and what is left when something breaks?

The function runs as it would in production, in its sandbox, against a Keyturn of its own that is thrown away at the
end, and against a real database. Between the function and both stand a door (:mod:`.door`) and a relay
(:mod:`.relay`): each call and each message that passes is a boundary (:mod:`.boundaries`) at which a fault can be
played. :mod:`.contract` holds what a rotation function owes its caller, :mod:`.faults` what can go wrong, :mod:`.card`
what came of it.
"""
