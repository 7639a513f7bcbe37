"""`pullarm drill`: what nobody wants to do for the first time in earnest."""

COMMANDS = {
    "upgrade": "Replace an older version by this one under load: nothing fails, nothing is lost.",
    "disaster": "Back up, destroy everything, restore elsewhere, go on; tells how long it takes.",
}
"""As `cli.main.COMMANDS`."""
