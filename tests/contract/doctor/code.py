"""The rotation function's own code."""

from __future__ import annotations

from .world import PENDING, SECRET, World


def _raises(world: World, said: str, step: str = "setSecret") -> None:
    world.fail(step)
    frame = '  File "/var/task/lambda_function.py", line 41, in set_secret\n    raise'
    world.run(f"[ERROR] {said}\nTraceback (most recent call last):\n{frame}")


def function_not_implemented(world: World) -> None:
    _raises(world, "NotImplementedError")


def function_token_mishandled(world: World) -> None:
    _raises(world, f"ValueError: Secret version {PENDING} not set as AWSPENDING for rotation of secret {SECRET}.")


def function_not_enabled_check(world: World) -> None:
    world.run(f"[ERROR] ValueError: Secret {SECRET} is not enabled for rotation\nTraceback (most recent call last):")


def function_bound_to_other_secret(world: World) -> None:
    _raises(world, f"ValueError: Secret {SECRET} is not allowed to use this Lambda function for rotation")


def function_step_unknown(world: World) -> None:
    _raises(world, f"ValueError: Invalid step parameter None for secret {SECRET}")


def function_leaves_pending(world: World) -> None:
    world.fail("finishSecret")
    world.run(f"[INFO]\tfinishSecret: Successfully set AWSCURRENT stage for secret {SECRET}.")


def function_unhandled_error(world: World) -> None:
    _raises(world, "ZeroDivisionError: division by zero")
