"""May Secrets Manager invoke the function?"""

from __future__ import annotations

from .world import FUNCTION, World


def invoke_permission_missing(world: World) -> None:
    world.function_policy = None
    world.fail()


def invoke_permission_condition(world: World) -> None:
    assert world.function_policy is not None
    world.function_policy["Statement"][0]["Condition"] = {"StringEquals": {"AWS:SourceAccount": "999988887777"}}
    world.fail()


def invoke_permission_qualifier(world: World) -> None:
    assert world.function_policy is not None
    world.function_policy["Statement"][0]["Resource"] = f"{FUNCTION}:live"
    world.fail()


def function_missing(world: World) -> None:
    world.lose("lambda:GetFunctionConfiguration", message=f"Function not found: {FUNCTION}")
    world.lose("lambda:GetPolicy")
    world.fail()


def function_wrong_region(world: World) -> None:
    elsewhere = FUNCTION.replace("eu-west-1", "us-east-1")
    assert world.function_policy is not None
    world.function_policy["Statement"][0]["Resource"] = elsewhere
    world.secret["RotationLambdaARN"] = elsewhere
