"""Scripts the Makefile runs; nothing here is part of the installed package."""
