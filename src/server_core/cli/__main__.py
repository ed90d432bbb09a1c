"""python -m server_core.cli: the same as the command `prefect-server`, for the interpreter that is running."""

from server_core.cli.main import main

main()
