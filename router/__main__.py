"""`python -m router` is the `turnout` command."""

from router.cli import main

main()
