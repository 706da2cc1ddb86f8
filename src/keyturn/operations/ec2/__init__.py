"""Amazon EC2, as far as the network of a rotation function needs it.

An operation registers with :func:`keyturn.operations.ec2.operation.ec2_operation`, says what it acts on with a loader
of ``subjects.py``, reads and changes documents through ``networks.py``, and lists them through ``listing.py``.
"""
