"""`python -m cli`: the `pullarm` command without its script."""

from cli.main import main

main()
