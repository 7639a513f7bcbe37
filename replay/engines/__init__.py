"""Where pieces of work are done: one implementation a file."""
