"""Rotation functions: four steps, strategies and engines, written once each.

The package imports the standard library and boto3 only, and nothing else of Keyturn, so the same files run in Keyturn
and in AWS Lambda. :mod:`.package` builds a deployment package from them.
"""
