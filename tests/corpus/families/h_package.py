"""The function's package cannot be loaded."""

from __future__ import annotations

from datetime import timedelta

from tests.corpus import lines
from tests.corpus.account import FAILED_AT, Account
from tests.corpus.cases import Family

package = Family("package", "public thread: aws-secrets-manager-rotation-lambdas")
SOURCE = "public thread: aws-secrets-manager-rotation-lambdas"

IMPORT = "Runtime.ImportModuleError"


def _cannot_load(account: Account, message: str, error: str = IMPORT, trace: tuple[str, ...] = ()) -> None:
    account.failing(retries=1)
    for seconds in (420, 0):
        account.ran(lines.Init(error, message, trace), at=FAILED_AT - timedelta(seconds=seconds + 2), ms=1.9)


@package.fault("lambda-import-error", source=f"{SOURCE}#68")
def no_module_pg(account: Account) -> None:
    _cannot_load(account, "Unable to import module 'lambda_function': No module named 'pg'")


@package.fault("lambda-import-error", source=f"{SOURCE}#26")
def no_module_psycopg2(account: Account) -> None:
    _cannot_load(account, "Unable to import module 'lambda_function': No module named 'psycopg2'")


@package.fault("lambda-import-error", source=f"{SOURCE}#68, a comment")
def no_module_pymysql(account: Account) -> None:
    _cannot_load(account, "Unable to import module 'lambda_function': No module named 'pymysql'")


@package.fault("lambda-import-error", source="public thread: aws-secrets-manager-ssh-key-rotation#4")
def no_module_cryptography_in_a_module_of_another_name(account: Account) -> None:
    account.configuration["Handler"] = "rotate.lambda_handler"
    _cannot_load(account, "Unable to import module 'rotate': No module named 'cryptography'")


@package.fault(
    "lambda-import-error", source="public thread: cdk-iam-credentials-rotator#1, as Node.js's runtime logs it"
)
def no_module_in_node(account: Account) -> None:
    account.failing()
    account.configuration |= {"Runtime": "nodejs22.x", "Handler": "index.handler"}
    said = "Error: Cannot find module '@aws-sdk/client-secrets-manager'\nRequire stack:\n- /var/task/index.js\n- /var/runtime/index.mjs"
    account.raw(
        lines.node_init_error(FAILED_AT, said),
        "INIT_REPORT Init Duration: 150.79 ms\tPhase: init\tStatus: error\tError Type: Runtime.ImportModuleError\n",
        lines.node_init_error(FAILED_AT, said),
        "START RequestId: 8f000000-0000-4000-8000-000000000001 Version: $LATEST\n",
        "END RequestId: 8f000000-0000-4000-8000-000000000001\n",
        "REPORT RequestId: 8f000000-0000-4000-8000-000000000001\tDuration: 402.11 ms\tBilled Duration: 403 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 72 MB\tStatus: error\tError Type: Runtime.ImportModuleError\n",
        at=FAILED_AT,
    )


@package.fault(
    "lambda-import-error", source="form of words: a log posted with INIT_REPORT, Status error, Runtime.Unknown"
)
def no_module_with_an_init_report(account: Account) -> None:
    account.failing()
    said = "[ERROR] Runtime.ImportModuleError: Unable to import module 'app': No module named 'daily'\nTraceback (most recent call last):\n"
    account.raw(
        "INIT_START Runtime Version: python:3.12.v38\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:7515e00d\n",
        said,
        "INIT_REPORT Init Duration: 1670.77 ms\tPhase: init\tStatus: error\tError Type: Runtime.Unknown\n",
        said,
        "INIT_REPORT Init Duration: 1502.10 ms\tPhase: invoke\tStatus: error\tError Type: Runtime.Unknown\n",
        "START RequestId: 8f000000-0000-4000-8000-000000000002 Version: $LATEST\n",
        "RequestId: 8f000000-0000-4000-8000-000000000002 Error: Unknown application error occurred\nRuntime.Unknown\n",
        "END RequestId: 8f000000-0000-4000-8000-000000000002\n",
        "REPORT RequestId: 8f000000-0000-4000-8000-000000000002\tDuration: 1523.02 ms\tBilled Duration: 1524 ms\t"
        "Memory Size: 128 MB\tMax Memory Used: 70 MB\t\n",
        at=FAILED_AT,
    )


@package.fault("lambda-native-module-mismatch", source=f"{SOURCE}#161")
def pg_of_another_python(account: Account) -> None:
    account.configuration["Runtime"] = "python3.10"
    _cannot_load(account, "Unable to import module 'lambda_function': No module named '_pg'")


@package.fault("lambda-native-module-mismatch", source="public thread: aws-cdk#23331, a hosted function")
def pg_in_a_hosted_function(account: Account) -> None:
    account.configuration["Runtime"] = "python3.9"
    account.failing()
    account.raw(
        "[ERROR] Runtime.ImportModuleError: Unable to import module 'lambda_function': No module named '_pg' Traceback (most recent call last):",
        at=FAILED_AT,
    )


@package.fault("lambda-native-module-mismatch", source=f"{SOURCE}#143, {SOURCE}#120")
def pymssql_of_another_python(account: Account) -> None:
    account.configuration["Runtime"] = "python3.11"
    _cannot_load(account, "Unable to import module 'lambda_function': No module named 'pymssql._pymssql'")


@package.fault("lambda-native-module-mismatch", source="public thread: aws-secrets-manager-ssh-key-rotation#1")
def bcrypt_of_another_system(account: Account) -> None:
    account.configuration["Handler"] = "rotate.lambda_handler"
    _cannot_load(account, "Unable to import module 'rotate': /var/task/bcrypt/_bcrypt.so: invalid ELF header")


@package.fault("lambda-syntax-error", source=f"{SOURCE}#52")
def the_package_pg_that_is_another(account: Account) -> None:
    trace = ('  File "/var/task/pg/__init__.py" Line 3\n        async,\n',)
    said = "Syntax error in module 'lambda_function': invalid syntax (__init__.py, line 3)"
    _cannot_load(account, said, "Runtime.UserCodeSyntaxError", trace)


@package.fault("lambda-syntax-error", source=f"{SOURCE}#69, the answer of the function as it was posted")
def the_package_pg_that_is_another_as_json(account: Account) -> None:
    account.json_log = True
    account.configuration["LoggingConfig"]["LogFormat"] = "JSON"
    the_package_pg_that_is_another(account)


@package.fault("lambda-syntax-error", source="form of words: a Node.js function that does not parse")
def a_file_that_ends_too_early_in_node(account: Account) -> None:
    account.failing()
    account.configuration |= {"Runtime": "nodejs22.x", "Handler": "index.handler"}
    said = (
        '2026-11-27T10:59:58.523Z\tundefined\tERROR\tUncaught Exception \t{"errorType":"Runtime.UserCodeSyntaxError",'
        '"errorMessage":"SyntaxError: Unexpected end of input","stack":["Runtime.UserCodeSyntaxError: SyntaxError: '
        'Unexpected end of input","    at _loadUserApp (file:///var/runtime/index.mjs:1084:17)"]}\n'
    )
    account.raw(
        said,
        "INIT_REPORT Init Duration: 150.79 ms\tPhase: init\tStatus: error\tError Type: Runtime.UserCodeSyntaxError\n",
        at=FAILED_AT,
    )


@package.fault("lambda-handler-missing", source="AWS documentation: Troubleshoot execution issues in Lambda")
def no_such_module(account: Account) -> None:
    account.configuration["Handler"] = "lambda_functoin.lambda_handler"
    _cannot_load(account, "Unable to import module 'lambda_functoin': No module named 'lambda_functoin'")


@package.fault("lambda-handler-missing", source="AWS documentation: Lambda Developer Guide, handler in Python")
def no_such_handler(account: Account) -> None:
    account.configuration["Handler"] = "lambda_function.handler"
    _cannot_load(account, "Handler 'handler' missing on module 'lambda_function'", "Runtime.HandlerNotFound")
