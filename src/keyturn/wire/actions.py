"""Which actions there are, for those who advise on policies."""

from __future__ import annotations

from functools import cache

from keyturn.rules.policy.service_names import ActionNames, action_names
from keyturn.wire import models


@cache
def known_actions() -> ActionNames:
    """Return the actions of the services that Keyturn speaks, by prefix. The models take their time to load."""
    return action_names({service: models.service(service).operation_names for service in models.API_VERSIONS})
