"""What can be wrong with data that a user hands in."""


class DatasetError(ValueError):
    """A data set is missing, cut off or malformed; the message names the file and the fix."""
