"""The pre-flight: would a rotation succeed, asked from where the rotation function runs, with nothing changed.

Keyturn starts ``program.py`` in the function's stead, once, in an execution environment of the function's own: its
package and layers, its variables, its role, its sandbox. Only the standard library, boto3 and the engines of this
package are used, so that it looks into functions that are not Keyturn's as well.
"""
