"""The way of a packet through a VPC: subnets, routes, gateways, endpoints, security groups, network ACLs.

Pure functions over EC2's own entries, as ``Describe`` calls answer them: whoever draws the :class:`~.picture.Picture`,
the doctor from an account or Keyturn from its own tables, is told the same.

- ``traffic`` has the words: a flow, a side, the public addresses.
- ``hops`` has the answers: what passes, what is blocked and by which rule, what is not known.
- ``groups``, ``acls`` and ``routes`` each know one kind of rule; ``gateways`` what a route leads to.
- ``ways`` puts them one behind the other: to Secrets Manager, to a database.

And for Keyturn's own functions, whose network is enforced:

- ``plan`` says what a function reaches: ``permits`` has the packets that may leave, ``doors`` where Keyturn's APIs are.
- ``packet_rules`` writes what a kernel enforces; ``maps`` has the operator's networks behind a VPC's addresses.
- ``trace`` tells the way of one packet, hop by hop.
"""
