"""What network ACLs are only refused after many calls."""

from __future__ import annotations

import pytest

from keyturn.errors.ec2 import NetworkAclLimitExceeded
from keyturn.testing.handlers import HandlerBench


def test_a_vpc_has_two_hundred_acls(bench: HandlerBench) -> None:
    vpc_id = bench.call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    # One of them is the default one.
    for _ in range(199):
        bench.call("ec2", "CreateNetworkAcl", VpcId=vpc_id)
    with pytest.raises(NetworkAclLimitExceeded):
        bench.call("ec2", "CreateNetworkAcl", VpcId=vpc_id)
    assert len(bench.call("ec2", "DescribeNetworkAcls")["NetworkAcls"]) == 200
