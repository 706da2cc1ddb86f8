"""Replicas of a secret in other regions: made, removed, and promoted to secrets of their own."""

from __future__ import annotations

from keyturn.console.confirmation import check_confirmed
from keyturn.console.pages.secret import SERVICE, known, show
from keyturn.console.replies import Redirect, Reply, address
from keyturn.console.routing import action
from keyturn.console.visit import Visit


@action("secret/replicate", shows=show)
def replicate(visit: Visit) -> Reply:
    """Make a replica."""
    form, secret_id = visit.form, visit.asked("id")
    region = {"Region": form.line("region")}
    if form.line("replica_key"):
        region["KmsKeyId"] = form.line("replica_key")
    visit.clients[SERVICE].replicate_secret_to_regions(SecretId=secret_id, AddReplicaRegions=[region])
    return Redirect(
        address("secret", id=secret_id), f"A replica in {region['Region']} was asked for: its state is below."
    )


@action("secret/unreplicate", shows=show)
def remove(visit: Visit) -> Reply:
    """Remove a replica."""
    form, secret_id = visit.form, visit.asked("id")
    region = form.line("region")
    check_confirmed(form, region)
    visit.clients[SERVICE].remove_regions_from_replication(SecretId=secret_id, RemoveReplicaRegions=[region])
    return Redirect(address("secret", id=secret_id), f"The replica in {region} is removed.")


@action("secret/promote", shows=show)
def promote(visit: Visit) -> Reply:
    """Make a replica a secret of its own."""
    secret, _ = known(visit)
    check_confirmed(visit.form, secret["Name"])
    visit.clients[SERVICE].stop_replication_to_replica(SecretId=secret["ARN"])
    return Redirect(address("secret", id=secret["ARN"]), "The replica is a secret of its own now.")
